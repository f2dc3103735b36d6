package storetest

import (
	"fmt"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Fill writes rows into every table of an empty store, through the contract,
// among them markers, texts in several scripts, and values that are empty,
// absent, or as great as they can be.
func Fill(t *testing.T, s store.Store) {
	t.Helper()
	b := &bench{T: t, s: s}
	b.fill()
	b.add(row(far, id(20), 0), row(far, id(21), 0), row(far, id(22), 0))
	odd := row(secret, id(30), 0)
	odd.Doc = []byte(`{"nama":"Ünïcødé ଓ 𝄞","kosong":"","bilangan":0.1,"n":null,"u":"\u0001"}`)
	odd.State, odd.Conflicts, odd.Of, odd.Deleted = []byte{0, 255, 0}, 3, id(20), true
	odd.Officer, odd.CreatedAt, odd.UpdatedAt = "", -1, 1<<62
	b.add(odd)
	b.must(b.update(store.DeviceScope("device-1"), func(tx store.Tx) error {
		return tx.PutReplicas("device-1", []store.Replica{{ID: 1<<64 - 1, ClaimedN: 1<<63 - 1, HeldN: 2, Broken: true}})
	}))
}

// Add writes n records with their journal into a scope, each with so many bytes
// of state; the numbers of their ids begin at first.
func Add(t testing.TB, s store.Store, scope syncproto.Scope, first, n, bytes int) {
	t.Helper()
	const step = 1000
	for at := 0; at < n; at += step {
		err := s.Update(t.Context(), store.Step{Scopes: []string{string(scope)}, Do: func(tx store.Tx) ([]store.Step, error) {
			head, err := tx.Head(scope)
			if err != nil {
				return nil, err
			}
			var rows []store.Row
			for i := range min(step, n-at) {
				r := row(scope, id(first+at+i), head+1+uint64(i)) //nolint:gosec // small
				r.State = make([]byte, bytes)
				copy(r.State, fmt.Sprintf("state of %d at %d", first+at+i, r.Seq))
				rows = append(rows, r)
			}
			return nil, put(tx, rows...)
		}})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Dump is everything that the contract shows of a store that Fill or Add filled.
func Dump(t *testing.T, s store.Store) []string {
	t.Helper()
	return (&bench{T: t, s: s}).dump()
}

// RecordID is the id of the record with a number of Add's.
func RecordID(n int) syncproto.RecordID { return id(n) }
