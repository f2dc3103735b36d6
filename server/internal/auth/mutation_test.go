package auth_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/syncproto"
)

// mutations yields every text that differs from s in one byte: each of its
// bits flipped, replaced by bytes that decoders like to forgive, removed,
// doubled, and one of those put before it or at the end.
func mutations(s string, yield func(mutant string)) (n int) {
	const forgiven = "\x00\t\n\r +-./0=A_a~\x7f\xff"
	try := func(mutant string) {
		if mutant != s {
			n++
			yield(mutant)
		}
	}
	for i := range len(s) {
		for bit := range 8 {
			try(s[:i] + string([]byte{s[i] ^ 1<<bit}) + s[i+1:])
		}
		for j := range len(forgiven) {
			try(s[:i] + forgiven[j:j+1] + s[i+1:])
			try(s[:i] + forgiven[j:j+1] + s[i:])
		}
		try(s[:i] + s[i+1:])
		try(s[:i] + s[i:i+1] + s[i:])
	}
	for j := range len(forgiven) {
		try(s + forgiven[j:j+1])
	}
	return n
}

func TestEveryMutationOfADeviceTokenIsRefused(t *testing.T) {
	for _, algorithm := range []string{auth.EdDSA, auth.ES256} {
		t.Run(algorithm, func(t *testing.T) {
			o := newOffice(t)
			d, v := o.enrol(algorithm), o.verifier()
			token := d.Token(now)
			n := mutations(token, func(mutant string) {
				_, err := v.Verify(context.Background(), mutant, now)
				if err == nil || syncproto.CodeOf(err) == syncproto.CodeInternal {
					t.Errorf("%q: %v", mutant, err)
				}
			})
			t.Logf("%d mutations of a token of %d bytes, all refused", n, len(token))
			if _, err := v.Verify(context.Background(), token, now); err != nil {
				t.Errorf("the token itself: %v", err)
			}
		})
	}
}

func TestEveryMutationOfAPersonsTokenIsRefused(t *testing.T) {
	id := newIdentity(t)
	token, err := id.IssuePersonToken(siti(), time.Hour, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	n := mutations(token, func(mutant string) {
		if _, err := id.VerifyPerson(mutant, now); !errors.Is(err, syncproto.CodeTokenInvalid) {
			t.Errorf("%q: %v", mutant, err)
		}
	})
	t.Logf("%d mutations of a token of %d bytes, all refused", n, len(token))
	if _, err := id.VerifyPerson(token, now); err != nil {
		t.Errorf("the token itself: %v", err)
	}
}

// The code as it is shown: what still parses names another server, another pin
// or another code, and what names another code of this server opens nothing,
// although its proof is good.
func TestEveryMutationOfAnEnrolmentCodeIsRefused(t *testing.T) {
	o := newOffice(t)
	text := o.code()
	good, err := auth.ParsePayload(text)
	if err != nil {
		t.Fatal(err)
	}
	d := authtest.NewDevice("EdDSA")
	unreadable, elsewhere, tried := 0, 0, 0
	n := mutations(text, func(mutant string) {
		p, err := auth.ParsePayload(mutant)
		switch {
		case errors.Is(err, syncproto.CodeEnrolmentInvalid):
			unreadable++
		case err != nil:
			t.Errorf("%q: %v", mutant, err)
		case p.URL != good.URL || string(p.Pin) != string(good.Pin):
			elsewhere++
		case p.Enrolment == good.Enrolment && string(p.Secret) == string(good.Secret):
			t.Errorf("%q is the code itself", mutant)
		default:
			tried++
			_, err := o.redeem(d.EnrolBody(mutant, "HP uji"), now)
			wantCode(t, err, syncproto.CodeEnrolmentInvalid)
		}
	})
	t.Logf("%d mutations of a code of %d bytes: %d unreadable, %d name another server, %d refused by this one", n, len(text), unreadable, elsewhere, tried)
	if tried == 0 || unreadable == 0 || elsewhere == 0 {
		t.Error("a kind of mutation is missing")
	}
	if _, err := o.redeem(d.EnrolBody(text, "HP uji"), now); err != nil {
		t.Errorf("the code itself: %v", err)
	}
}

// The request as it travels.
func TestEveryMutationOfAnEnrolmentIsRefused(t *testing.T) {
	for _, algorithm := range []string{auth.EdDSA, auth.ES256} {
		t.Run(algorithm, func(t *testing.T) {
			o := newOffice(t)
			d := authtest.NewDevice(algorithm)
			body, err := json.Marshal(d.EnrolBody(o.code(), "HP uji"))
			if err != nil {
				t.Fatal(err)
			}
			space := 0
			n := mutations(string(body), func(mutant string) {
				var compact bytes.Buffer
				if json.Compact(&compact, []byte(mutant)) == nil && bytes.Equal(compact.Bytes(), body) {
					space++ // between members: the same request
					return
				}
				r, err := auth.ParseEnrolRequest([]byte(mutant))
				if err == nil {
					_, err = o.enroller.Redeem(context.Background(), r, now.UnixMilli())
				}
				if err == nil || syncproto.CodeOf(err) == syncproto.CodeInternal {
					t.Errorf("%q: %v", mutant, err)
				}
			})
			t.Logf("%d mutations of a request of %d bytes, all refused but %d that only add white space between members", n, len(body), space)
			r, err := auth.ParseEnrolRequest(body)
			if err == nil {
				_, err = o.enroller.Redeem(context.Background(), r, now.UnixMilli())
			}
			if err != nil {
				t.Errorf("the request itself: %v", err)
			}
		})
	}
}
