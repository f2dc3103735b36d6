package hq

import (
	"errors"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func TestEveryMutationOfACursorIsRefused(t *testing.T) {
	s := newTestService(t)
	f, box := Filter{Region: "35.24", Kind: "site"}, InboxFilter{Region: "35.24", State: "open"}
	for name, c := range map[string]struct {
		token string
		open  func(string) error
	}{
		"page":   {s.pageToken(f, store.LogKey{UpdatedAt: 5, Scope: "35.24.14/T", Seq: 12}), func(x string) error { _, err := s.openPage(f, x); return err }},
		"stream": {s.streamToken(f, position{seqs: map[syncproto.Scope]uint64{"35.24.14": 7}}), func(x string) error { _, err := s.openStream(f, x); return err }},
		"inbox":  {s.inboxToken(box, syncproto.Digest{9}), func(x string) error { _, err := s.openInbox(box, x); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.open(c.token); err != nil {
				t.Fatal(err)
			}
			n := 0
			try := func(mutant string) {
				if mutant == c.token {
					return
				}
				n++
				if err := c.open(mutant); !errors.Is(err, syncproto.CodeCursorInvalid) {
					t.Errorf("%q: %v", mutant, err)
				}
			}
			for i := range len(c.token) {
				for b := range 256 {
					try(c.token[:i] + string([]byte{byte(b)}) + c.token[i+1:])
					try(c.token[:i] + string([]byte{byte(b)}) + c.token[i:])
				}
				try(c.token[:i] + c.token[i+1:])
			}
			t.Logf("%d mutations of a cursor of %d bytes, all refused", n, len(c.token))
		})
	}
}
