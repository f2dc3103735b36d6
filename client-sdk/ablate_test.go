//go:build ablate

package sambang_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

// Rules that the checker of package sim misses after some seeds only are missed
// here at once.
func TestAblatedRules(t *testing.T) {
	for rule, run := range map[ablate.Rule]string{
		ablate.A13EpochForgets: "TestWhatIsSettledWaitsAgainInANewEpoch",
		ablate.A25MarkEachMint: "TestTheMarkGoesOutBeforeTheCommit",
	} {
		t.Run(string(rule), func(t *testing.T) { ablatetest.Caught(t, rule, "^("+run+")$") })
	}
}
