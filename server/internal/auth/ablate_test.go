//go:build ablate

package auth_test

import (
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/internal/ablate/ablatetest"
)

func TestAblatedTokens(t *testing.T) {
	for _, c := range []struct {
		rule ablate.Rule
		run  string
	}{
		{ablate.R05Signature, "^TestHostileTokens$/^another_device's_key$"},
		{ablate.R06Algorithm, "^TestHostileTokens$/^public_key_as_HMAC_secret$"},
		{ablate.R07Expiry, "^TestHostileTokens$/^no_exp$"},
		{ablate.R08Audience, "^TestHostileTokens$/^aud_of_another_server$"},
		{ablate.R15ReplayedJTI, "^TestTokenOpensOneRequest$"},
	} {
		t.Run(string(c.rule), func(t *testing.T) { ablatetest.Caught(t, c.rule, c.run) })
	}
}
