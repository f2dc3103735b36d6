package engine_test

import (
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

// A repair does not move a record: the home that a contradicting state brings
// is left to the journal, and the record stays where its scope says.
func TestARepairDoesNotMoveARecord(t *testing.T) {
	s := newSite(t)
	a, b := s.device("a", grant("35.24.14")), s.device("b", grant("35.24.14"))
	id := a.create(1, "35.24.14", "name", "x")
	a.sync()
	b.sync()
	// A phone whose fence failed uses its next counter twice, the second time
	// to move the record to where it may not even write.
	fork := a.minter
	a.set(id, "name", "told to the server")
	a.sync()
	a.minter, a.confirmed, a.confirmedHead = fork, fork.N(), fork.Head()
	rec := b.records[id]
	a.records[id], a.acked[id] = rec, rec.Context()
	a.set(id, syncproto.PathScope, "35.24.16")
	a.exchange()
	a.minter = syncproto.ResumeMinter(fork.Replica(), a.minter.N(), a.confirmedHead, a.minter.Clock())
	a.exchange()
	a.sync()
	b.sync()
	if home := b.records[id].Home(); home != "35.24.14" {
		t.Errorf("b has the record with the home %s", home)
	}
	if err := s.engine.Check(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Fatal(err)
	}
}
