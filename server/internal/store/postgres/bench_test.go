package postgres_test

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/syncproto"
)

// batchRows is the push of one batch.
const batchRows = 500

func newRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// rowsOf makes n new records after a head: 3 KB of state and document and 304
// bytes of journal each, as in the measurements of STORAGE 6.
func rowsOf(rng *rand.Rand, n int, scope syncproto.Scope, head uint64) ([]store.Row, []store.Change) {
	rows, changes := make([]store.Row, n), make([]store.Change, n)
	for i := range rows {
		id := syncproto.RecordID{0, 1, 2}
		binary.BigEndian.PutUint64(id[3:], head+uint64(i)) // UUIDv7: in order of time
		binary.BigEndian.PutUint32(id[12:], rng.Uint32())
		state, ops := make([]byte, 1536), make([]byte, 304)
		for _, b := range [][]byte{state, ops} {
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
		}
		seq := head + 1 + uint64(i)
		rows[i] = store.Row{
			Scope: scope, ID: id, Kind: "inspection", Seq: seq, Entered: seq, State: state, Agency: "imigrasi", Officer: "officer-17",
			Doc: fmt.Appendf(nil, `{"text":"%x"}`, state[:750]), CreatedAt: int64(seq), UpdatedAt: int64(seq),
		}
		changes[i] = store.Change{Scope: scope, Seq: seq, ID: id, Device: "device-0123456789", Officer: "officer-17", Agency: "imigrasi", Ops: ops, Digest: sha256.Sum256(ops), At: int64(seq)}
	}
	return rows, changes
}

// BenchmarkPush runs a step that reads the head and the rows of 500 ids and
// writes 500 rows and changes: one writer, and four with scopes of their own.
func BenchmarkPush(b *testing.B) {
	for _, writers := range []int{1, 4} {
		b.Run(fmt.Sprintf("%d writers", writers), func(b *testing.B) {
			s := open(b, database(b), postgres.Options{})
			b.ResetTimer()
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					at := syncproto.Scope(fmt.Sprintf("35.24.%02d", w+1))
					rng := rand.New(rand.NewPCG(1, uint64(w)))
					head := uint64(0)
					for range b.N {
						rows, changes := rowsOf(rng, batchRows, at, head)
						for i := range rows {
							rows[i].ID[0] = byte(w)
							changes[i].ID[0] = byte(w)
						}
						head += batchRows
						if err := push(b.Context(), s, rows, changes); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*batchRows*writers)/b.Elapsed().Seconds(), "rec/s")
		})
	}
}

// BenchmarkRead reads 500 rows of 3 KB: as a feed, by their ids, and as a page
// of the log.
func BenchmarkRead(b *testing.B) {
	s := open(b, database(b), postgres.Options{})
	var ids []syncproto.RecordID
	for head := uint64(0); head < 20*batchRows; head += batchRows {
		rows, changes := rowsOf(newRand(), batchRows, scope, head)
		if err := push(b.Context(), s, rows, changes); err != nil {
			b.Fatal(err)
		}
		ids = ids[:0]
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
	}
	read := func(b *testing.B, do func(r store.Reader) (int, error)) {
		for b.Loop() {
			err := s.View(b.Context(), func(r store.Reader) error {
				n, err := do(r)
				if err == nil && n != batchRows {
					err = fmt.Errorf("%d rows", n)
				}
				return err
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("feed", func(b *testing.B) {
		read(b, func(r store.Reader) (n int, err error) {
			for _, err := range r.Feed(scope, 1000, 1500) {
				if err != nil {
					return n, err
				}
				n++
			}
			return n, nil
		})
	})
	b.Run("live", func(b *testing.B) {
		read(b, func(r store.Reader) (int, error) {
			rows, err := r.Live(ids)
			return len(rows), err
		})
	})
	b.Run("first page of the log", func(b *testing.B) {
		read(b, func(r store.Reader) (int, error) {
			rows, err := r.Log(store.Filter{Grants: syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D"}}}}, nil, batchRows)
			return len(rows), err
		})
	})
}

// BenchmarkCalls runs calls of one record each, from one caller and from 32 at
// once on one scope.
func BenchmarkCalls(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			s := open(b, database(b), postgres.Options{})
			b.SetParallelism(callers / runtime.GOMAXPROCS(0))
			if callers == 1 {
				for b.Loop() {
					if err := s.Update(b.Context(), oneStep(next)); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := s.Update(b.Context(), oneStep(next)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
