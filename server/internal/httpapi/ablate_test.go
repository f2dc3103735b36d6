//go:build ablate

package httpapi_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

func TestAblatedRegionFilter(t *testing.T) {
	ablatetest.Caught(t, ablate.R13RegionFilter, `^TestAccess$/^POST_\|v1\|sync$`)
}
