//go:build ablate

package cache_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

func TestAblatedNonceAndAAD(t *testing.T) {
	ablatetest.Caught(t, ablate.R11Nonce, "^TestNoNonceSealsTwoRows$")
	ablatetest.Caught(t, ablate.R12AAD, "^TestARowMovedElsewhereDoesNotVerify$")
}
