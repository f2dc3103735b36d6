//go:build ablate

package sqlite_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

// An answer before the commit is missed when the commit fails.
func TestAblatedRules(t *testing.T) {
	for rule, run := range map[ablate.Rule]string{
		ablate.R09AckAfter: "TestAFailedCommitFailsItsGroupAndNoOther",
	} {
		t.Run(string(rule), func(t *testing.T) { ablatetest.Caught(t, rule, "^("+run+")$") })
	}
}
