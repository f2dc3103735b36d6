package transport_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/transport"
	"github.com/sambang-id/sambang/syncproto"
)

// A code that was read wrong in one place is no code, or visibly another one:
// of another server (which the pin gives away), or one that the server does
// not know. It is never taken for the right one.
func TestAMutatedCodeIsNeverTakenForTheRightOne(t *testing.T) {
	const good = "sambang:1?u=https%3A%2F%2Fsync.example.go.id%3A8443&p=" + pin + "&e=mzxw6ytboi4dcmrt&s=AAECAwQFBgcICQoLDA0ODw"
	want, err := transport.ParseCode(good)
	if err != nil {
		t.Fatal(err)
	}
	refused, other := 0, 0
	try := func(mutant string) {
		if strings.TrimSpace(mutant) == good {
			return // pasted with white space around it: the same code
		}
		got, err := transport.ParseCode(mutant)
		switch {
		case errors.Is(err, syncproto.CodeEnrolmentInvalid):
			refused++
		case err != nil:
			t.Errorf("%q: %v", mutant, err)
		case got.URL == want.URL && string(got.Pin) == string(want.Pin) && got.Enrolment == want.Enrolment && got.Secret == want.Secret:
			t.Errorf("%q is taken for the code", mutant)
		default:
			other++
		}
	}
	for i := range len(good) {
		for b := range 256 {
			try(good[:i] + string([]byte{byte(b)}) + good[i+1:])
			try(good[:i] + string([]byte{byte(b)}) + good[i:])
		}
		try(good[:i] + good[i+1:])
	}
	t.Logf("%d mutations of a code of %d bytes: %d refused, %d name another server or code", refused+other, len(good), refused, other)
	if refused == 0 || other == 0 {
		t.Error("a kind of mutation is missing")
	}
}
