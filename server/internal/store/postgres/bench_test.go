package postgres_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/syncproto"
)

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
						rows, changes := storetest.RowsOf(rng, storetest.BatchRows, at, head)
						for i := range rows {
							rows[i].ID[0] = byte(w)
							changes[i].ID[0] = byte(w)
						}
						head += storetest.BatchRows
						if err := storetest.Push(b.Context(), s, rows, changes); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*storetest.BatchRows*writers)/b.Elapsed().Seconds(), "rec/s")
		})
	}
}

// BenchmarkRead reads 500 rows of 3 KB.
func BenchmarkRead(b *testing.B) {
	storetest.BenchmarkRead(b, open(b, database(b), postgres.Options{}))
}

// BenchmarkCalls runs calls of one record each.
func BenchmarkCalls(b *testing.B) {
	storetest.BenchmarkCalls(b, func(b *testing.B) store.Store { return open(b, database(b), postgres.Options{}) })
}
