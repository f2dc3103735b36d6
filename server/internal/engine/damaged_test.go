package engine_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// flip changes one bit in each copy of a text in the store's file, or changes
// it back.
func (s *site) flip(from, to string) {
	s.t.Helper()
	if *kind == "postgres" {
		s.place.replace(s.t, from, to)
		return
	}
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	content, err := os.ReadFile(string(s.place))
	if err != nil {
		s.t.Fatal(err)
	}
	changed := bytes.ReplaceAll(content, []byte(from), []byte(to))
	if len(from) != len(to) || bytes.Equal(changed, content) {
		s.t.Fatalf("%q is not in the file", from)
	}
	if err := os.WriteFile(string(s.place), changed, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.open()
}

// TestADamagedRecordStopsNeitherPushNorPull flips a bit in one record. What is
// pushed into it waits in the inbox and is receipted as received, the rest of
// the push is applied; who pulls gets the others, learns of it, and gets it
// when it is repaired, though its cursor has passed it.
func TestADamagedRecordStopsNeitherPushNorPull(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "Penginapan Melati")
	other := a.create(2, "35.24.14", "name", "Penginapan Kenanga")
	a.sync()
	s.flip("Penginapan Melati", "Qenginapan Melati")

	a.set(id, "rooms", "6")
	a.set(other, "rooms", "8")
	r := a.sync()
	if r.refusal != nil || r.sum.Applied != 1 || r.sum.Quarantined != 1 {
		t.Fatalf("push: %+v, %v", r.sum, r.refusal)
	}
	if o := r.begin.GetOutcomes(); len(o) != 1 || o[0].GetResult() != wire.Result_RESULT_QUARANTINED || o[0].GetCode() != string(syncproto.CodeDamaged) {
		t.Errorf("outcomes = %v", o)
	}
	if got, want := held(r, a), uint64(8); got != want {
		t.Errorf("held = %d, want %d: the chain stops at the damaged record", got, want)
	}
	inbox := s.inbox("")
	if len(inbox) != 1 || inbox[0].ID != id || len(inbox[0].Raw) == 0 {
		t.Fatalf("inbox = %+v", inbox)
	}
	if err := s.engine.Release(t.Context(), actor, inbox[0].Key, "too early", s.now); syncproto.CodeOf(err) != syncproto.CodeDamaged {
		t.Errorf("release before the repair: %v", err)
	}
	if err := s.engine.Purge(t.Context(), actor, id, "too early", s.now); syncproto.CodeOf(err) != syncproto.CodeDamaged {
		t.Errorf("purge before the repair: %v", err)
	}

	unreadable := func(r reply) (n int) {
		for _, f := range r.feed {
			for _, e := range f.GetEntries() {
				if u := e.GetUnreadable(); u != nil && bytes.Equal(u.GetId(), id[:]) {
					n++
				}
			}
		}
		return n
	}
	r = b.sync()
	if r.refusal != nil || unreadable(r) != 1 || len(b.records) != 1 || b.cursors["35.24.14"] != 3 {
		t.Errorf("pull: %v, %d times unreadable, %d records, cursor %d", r.refusal, unreadable(r), len(b.records), b.cursors["35.24.14"])
	}
	b.refetch = []syncproto.RecordID{id}
	if r = b.sync(); unreadable(r) != 1 {
		t.Errorf("asked for by its id it is unreadable %d times", unreadable(r))
	}
	var st store.Stats
	err := s.store.View(t.Context(), func(r store.Reader) (err error) {
		st, err = r.Stats()
		return err
	})
	if err != nil || st.Damaged == 0 {
		t.Errorf("%d damaged rows counted, %v", st.Damaged, err)
	}

	s.flip("Qenginapan Melati", "Penginapan Melati")
	if err := s.engine.Release(t.Context(), actor, inbox[0].Key, "repaired", s.now); err != nil {
		t.Fatal(err)
	}
	b.refetch = []syncproto.RecordID{id}
	if b.sync(); get(t, b, id, "name") != "Penginapan Melati" || get(t, b, id, "rooms") != "6" {
		t.Errorf("after the repair b has %v", b.records[id])
	}
	s.check()
}
