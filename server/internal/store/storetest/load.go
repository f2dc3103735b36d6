package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// What the tests and benchmarks of each engine write, so that they speak of the
// same.

// Home is the scope that they write to.
const Home = home

// BatchRows is the push of one batch.
const BatchRows = 500

// SampleRows is how many records [Sample] makes in [Home].
const SampleRows = 40

// NewRand returns the random numbers that contents are made of, the same ones
// each time.
func NewRand() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) } //nolint:gosec // contents, no secrets

// RowsOf makes n new records after a head: 3 KB of state and document and 304
// bytes of journal each, as in the measurements of STORAGE 6.
func RowsOf(rng *rand.Rand, n int, scope syncproto.Scope, head uint64) ([]store.Row, []store.Change) {
	rows, changes := make([]store.Row, n), make([]store.Change, n)
	for i := range rows {
		id := syncproto.RecordID{0, 1, 2}
		binary.BigEndian.PutUint64(id[3:], head+uint64(i)) //nolint:gosec // not negative; UUIDv7: in order of time
		binary.BigEndian.PutUint32(id[12:], rng.Uint32())
		state, ops := make([]byte, 1536), make([]byte, 304)
		for _, b := range [][]byte{state, ops} {
			for j := range b {
				b[j] = byte(rng.Uint32())
			}
		}
		seq := head + 1 + uint64(i) //nolint:gosec // not negative
		rows[i] = store.Row{
			Scope: scope, ID: id, Kind: "inspection", Seq: seq, Entered: seq, State: state, Agency: "imigrasi", Officer: "officer-17",
			Doc: fmt.Appendf(nil, `{"text":"%x"}`, state[:750]), CreatedAt: int64(seq), UpdatedAt: int64(seq), //nolint:gosec // small
		}
		changes[i] = store.Change{
			Scope: scope, Seq: seq, ID: id, Device: "device-0123456789", Officer: "officer-17", Agency: "imigrasi",
			Ops: ops, Digest: sha256.Sum256(ops), At: int64(seq), //nolint:gosec // small
		}
	}
	return rows, changes
}

// Push writes rows and changes of one scope as the sync engine does.
func Push(ctx context.Context, s store.Store, rows []store.Row, changes []store.Change) error {
	scope := rows[0].Scope
	return s.Update(ctx, step(string(scope), func(tx store.Tx) error {
		if _, err := tx.Head(scope); err != nil {
			return err
		}
		ids := make([]syncproto.RecordID, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		if _, err := tx.Records(scope, ids); err != nil {
			return err
		}
		if err := tx.Put(scope, rows); err != nil {
			return err
		}
		return tx.Append(scope, changes)
	}))
}

// OneStep makes a step of [Home].
func OneStep(do func(store.Tx) error) store.Step { return step(string(Home), do) }

// Next writes one record at the next sequence of [Home].
func Next(tx store.Tx) error {
	head, err := tx.Head(Home)
	if err != nil {
		return err
	}
	rows, changes := RowsOf(NewRand(), 1, Home, head)
	if err := tx.Put(Home, rows); err != nil {
		return err
	}
	return tx.Append(Home, changes)
}

// Sample writes a bit of everything that a store can hold, for tests that damage
// it row by row. [Fill] writes what is odd.
func Sample(ctx context.Context, s store.Store) error {
	rows, changes := RowsOf(NewRand(), SampleRows, Home, 0)
	if err := Push(ctx, s, rows, changes); err != nil {
		return err
	}
	value := []byte(`"value"`)
	dot := syncproto.Dot{Replica: 7, N: 1}
	const dev = "device-1"
	return s.Update(ctx,
		OneStep(func(tx store.Tx) error {
			return tx.AppendHistory(Home, []store.PastWrite{{
				ID: rows[0].ID, Path: "a", Dot: dot, HLC: 5, Value: value, Step: syncproto.StepOf(rows[0].ID, "a", dot, 5, sha256.Sum256(value)),
			}})
		}),
		store.Step{Scopes: []string{string(Home), string(next)}, Do: func(tx store.Tx) ([]store.Step, error) {
			marker := store.Row{ID: rows[1].ID, Seq: SampleRows + 1, MovedTo: next}
			if err := tx.Put(Home, []store.Row{marker}); err != nil {
				return nil, err
			}
			return nil, tx.Put(next, []store.Row{{ID: rows[1].ID, Seq: 1, Entered: 1, Doc: []byte(`{}`)}})
		}},
		store.Step{Scopes: []string{store.DeviceScope(dev), store.RegistryScope, store.EpochScope}, Do: func(tx store.Tx) ([]store.Step, error) {
			if err := tx.PutDevice(store.Device{ID: dev, PublicKey: []byte("key")}); err != nil {
				return nil, err
			}
			if err := tx.PutReplicas(dev, []store.Replica{{ID: 7, ClaimedN: 9, HeldN: 3}, {ID: 8, HeldHead: syncproto.ChainStart(8)}}); err != nil {
				return nil, err
			}
			if _, err := tx.PutSteps(dev, 7, []store.ChainStep{{N: 5}}); err != nil {
				return nil, err
			}
			if _, err := tx.SetEpoch([16]byte{}, store.Epoch{ID: [16]byte{1}}); err != nil {
				return nil, err
			}
			return nil, errors.Join(
				tx.PutWitness(dev, store.Witness{N: 1}), tx.PutReceipt(dev, store.Receipt{N: 1, Body: []byte("body")}), tx.PutSeen(dev, store.Seen{At: 1}),
				tx.PutOfficer(store.Officer{ID: "officer-1"}), tx.SetGrants(dev, nil, 3), tx.AddEnrolment(store.Enrolment{ID: "code-1"}))
		}},
		OneStep(func(tx store.Tx) error {
			return tx.Quarantine(string(Home), []store.Quarantined{{Key: syncproto.Digest{1}, Device: dev, Raw: []byte("raw")}})
		}))
}

// BenchmarkRead reads 500 rows of 3 KB: as a feed, by their ids, and as a page
// of the log.
func BenchmarkRead(b *testing.B, s store.Store) {
	b.Helper()
	var ids []syncproto.RecordID
	for head := uint64(0); head < 20*BatchRows; head += BatchRows {
		rows, changes := RowsOf(NewRand(), BatchRows, Home, head)
		if err := Push(b.Context(), s, rows, changes); err != nil {
			b.Fatal(err)
		}
		ids = ids[:0]
		for _, r := range rows {
			ids = append(ids, r.ID)
		}
	}
	read := func(name string, do func(r store.Reader) (int, error)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				err := s.View(b.Context(), func(r store.Reader) error {
					n, err := do(r)
					if err == nil && n != BatchRows {
						err = fmt.Errorf("%d rows", n)
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	read("feed", func(r store.Reader) (int, error) {
		rows, err := all(r.Feed(Home, 2*BatchRows, 3*BatchRows))
		return len(rows), err
	})
	read("live", func(r store.Reader) (int, error) {
		rows, err := r.Live(ids)
		return len(rows), err
	})
	read("first page of the log", func(r store.Reader) (int, error) {
		rows, err := r.Log(store.Filter{Grants: syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D"}}}}, nil, BatchRows)
		return len(rows), err
	})
}

// BenchmarkCalls runs calls of one record each, from one caller and from 32 at
// once on one scope: what group commit is for.
func BenchmarkCalls(b *testing.B, open func(b *testing.B) store.Store) {
	b.Helper()
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			s := open(b)
			b.SetParallelism(callers / runtime.GOMAXPROCS(0))
			if callers == 1 {
				for b.Loop() {
					if err := s.Update(b.Context(), OneStep(Next)); err != nil {
						b.Fatal(err)
					}
				}
				return
			}
			b.RunParallel(func(p *testing.PB) {
				for p.Next() {
					if err := s.Update(b.Context(), OneStep(Next)); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
