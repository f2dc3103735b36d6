package hq

import (
	"fmt"
	"maps"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func newTestService(tb testing.TB) *Service {
	tb.Helper()
	s, err := New(Config{Secret: make([]byte, 32)})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func TestAPositionSurvivesItsCursor(t *testing.T) {
	s := newTestService(t)
	f := Filter{Region: "35.24", Kind: "site"}
	p := position{epoch: [16]byte{1, 2, 3}, seqs: map[syncproto.Scope]uint64{
		"01.01.01": 1, "01.01.01/H": 1 << 52, "35.24.14": 7, "35.24.14/T": 8, "35.24.14/H": 9, "99.99.99/T": 10,
	}}
	got, err := s.openStream(f, s.streamToken(f, p))
	if err != nil || got.epoch != p.epoch || !maps.Equal(got.seqs, p.seqs) {
		t.Errorf("position = %+v, %v, want %+v", got, err, p)
	}
	k := store.LogKey{UpdatedAt: -5, Scope: "35.24.14/T", Seq: 12}
	if got, err := s.openPage(f, s.pageToken(f, k)); err != nil || *got != k {
		t.Errorf("key = %+v, %v, want %+v", got, err, k)
	}
	box := InboxFilter{Region: "35", State: "open"}
	if got, err := s.openInbox(box, s.inboxToken(box, syncproto.Digest{9})); err != nil || *got != (syncproto.Digest{9}) {
		t.Errorf("key = %+v, %v", got, err)
	}
}

func TestAProvincesCursorFitsIntoAnAddress(t *testing.T) {
	s := newTestService(t)
	p := position{seqs: map[syncproto.Scope]uint64{}}
	for d := range 666 { // East Java
		region := syncproto.Region(fmt.Sprintf("35.%02d.%02d", 1+d/18, 1+d%18))
		for _, class := range classes {
			scope, err := syncproto.NewScope(region, class)
			if err != nil {
				t.Fatal(err)
			}
			p.seqs[scope] = uint64(100_000 + d)
		}
	}
	if n := len(s.streamToken(Filter{}, p)); n > maxCursor {
		t.Errorf("a cursor over %d scopes has %d bytes, at most %d", len(p.seqs), n, maxCursor)
	}
}

// FuzzCursor opens cursors whose MAC is good and whose content is anything: what
// opens must be what its own cursor opens to, and nothing may panic.
func FuzzCursor(f *testing.F) {
	s := newTestService(f)
	filter := Filter{}
	h := filter.hash()
	f.Add(h[:])
	f.Add(append(h[:], make([]byte, 20)...))
	good, err := s.open(streamCursor, s.streamToken(filter, position{seqs: map[syncproto.Scope]uint64{"35.24.14": 7, "35.24.15/H": 9}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 4096 {
			return
		}
		if p, err := s.openStream(filter, s.seal(streamCursor, content)); err == nil {
			again, err := s.openStream(filter, s.streamToken(filter, p))
			maps.DeleteFunc(p.seqs, func(_ syncproto.Scope, seq uint64) bool { return seq == 0 })
			if err != nil || again.epoch != p.epoch || !maps.Equal(again.seqs, p.seqs) {
				t.Errorf("position %+v opens again as %+v, %v", p, again, err)
			}
		}
		if k, err := s.openPage(filter, s.seal(pageCursor, content)); err == nil {
			if again, err := s.openPage(filter, s.pageToken(filter, *k)); err != nil || *again != *k {
				t.Errorf("key %+v opens again as %+v, %v", k, again, err)
			}
		}
		_, _ = s.openInbox(InboxFilter{}, s.seal(inboxCursor, content))
		_ = readContent(content)
		_, _ = s.openPage(filter, string(content))
	})
}
