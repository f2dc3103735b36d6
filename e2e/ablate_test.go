//go:build ablate

package e2e_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

// What no run of package sim can show, because only a broken server or somebody
// in between does it.
func TestAblatedRules(t *testing.T) {
	for rule, run := range map[ablate.Rule]string{
		ablate.A24Trusted:     "TestContentsUnderOlderGrantsAreNotUsed",
		ablate.A26ChainOnPull: "TestAForeignHeadInAnAnswerIsAFork",
	} {
		t.Run(string(rule), func(t *testing.T) { ablatetest.Caught(t, rule, "^("+run+")$") })
	}
}
