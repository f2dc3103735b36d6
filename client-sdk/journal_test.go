package sambang

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// Rows that wait in the tail and rows that have moved on read as one journal,
// in order, from any place, whatever their sizes and however often the id
// changed between.
func TestTheJournalIsOneWhereverItsRowsAre(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	db, err := cache.Open(t.TempDir(), cache.Options{Key: make([]byte, cache.KeySize)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()

	ids := []syncproto.ReplicaID{9, 3, 7} // not in the order of their keys
	var want [3][]journalRow
	for turn, id := range ids {
		n := uint64(0)
		for range 60 {
			j := journalRow{first: n + 1, records: make([]byte, 16), steps: make([]byte, 32*(1+rnd.IntN(30)))}
			if rnd.IntN(4) > 0 {
				j.steps = j.steps[:32]
			}
			j.steps[0] = byte(rnd.Uint32())
			n += uint64(len(j.steps) / 32)
			want[turn] = append(want[turn], j)
			if err := db.Update(func(tx *cache.Tx) error {
				return putJournal(tx, journalKey(id, n), appendJournal(nil, j))
			}); err != nil {
				t.Fatal(err)
			}
			if err := db.View(func(tx *cache.Tx) error {
				last, err := lastJournal(tx, id)
				if err != nil || last.first != j.first {
					t.Errorf("last row of %v begins at %d (%v), want %d", id, last.first, err, j.first)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	err = db.View(func(tx *cache.Tx) error {
		waiting := 0
		for _, err := range tx.Keys(bucketTail, cache.Range{}) {
			if err != nil {
				return err
			}
			waiting++
		}
		t.Logf("%d rows in the tail", waiting)
		for turn, id := range ids {
			rows := want[turn]
			for skip := range rows {
				left := rows[skip:]
				for j, err := range journal(tx, id, rows[skip].first) {
					if err != nil || len(left) == 0 || j.first != left[0].first || !bytes.Equal(j.steps, left[0].steps) {
						t.Fatalf("replica %v from row %d: row of %d (%v), %d rows to come", id, skip, j.first, err, len(left))
					}
					left = left[1:]
				}
				if len(left) > 0 {
					t.Fatalf("replica %v from row %d: %d rows are missing", id, skip, len(left))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
