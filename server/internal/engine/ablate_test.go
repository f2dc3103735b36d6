//go:build ablate

package engine_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

// Each rule of the engine that the checker of package sim seldom or never
// misses is missed here.
func TestAblatedRules(t *testing.T) {
	for rule, run := range map[ablate.Rule]string{
		ablate.A04Fence:       "TestRequestsThatNoHonestDeviceSendsAreRefused", // the server's part of it
		ablate.A07Stamp:       "TestARollbackIsNoticedThoughTheNumbersGrewAgain",
		ablate.A15Relayed:     "TestARolledBackStoreIsNoticedAndHealed|TestAnotherAuthorsOverwrittenWriteDoesNotLockAPhoneOut",
		ablate.A16Forged:      "TestWritesInAnothersNameAreKeptAside",
		ablate.R10Idempotency: "TestALostReplyIsResentWithoutASecondChange",
	} {
		t.Run(string(rule), func(t *testing.T) { ablatetest.Caught(t, rule, "^("+run+")$") })
	}
}
