package sqlite_test

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
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

// BenchmarkPush compares, batch by batch in turn, so that a busy machine
// slows both: a step that reads the head and the rows of 500 ids and writes
// 500 rows and changes; and bare prepared inserts of the same rows into the
// same tables with the same durability. The metric "ratio" is the time of the
// first to the time of the second, checkpoints of the log included.
func BenchmarkPush(b *testing.B) {
	ctx := b.Context()
	dir := b.TempDir()
	s, err := sqlite.Open(ctx, filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	bare := openBare(b, filepath.Join(dir, "bare.db"))

	rng := newRand()
	var head uint64
	var o, f float64
	for b.Loop() {
		rows, changes := rowsOf(rng, batchRows, "35.24.14", head)
		head += batchRows
		start := time.Now()
		if err := push(ctx, s, rows, changes); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		bare.insert(b, rows, changes)
		o += middle.Sub(start).Seconds()
		f += time.Since(middle).Seconds()
	}
	b.ReportMetric(o/f, "ratio")
	b.ReportMetric(float64(head)/o, "rec/s")
	b.ReportMetric(float64(head)/f, "bare-rec/s")
}

// bareDB inserts with nothing around it.
type bareDB struct {
	db              *sql.DB
	record, changes *sql.Stmt
}

func openBare(b *testing.B, path string) *bareDB {
	b.Helper()
	// The tables of a store, copied as they are.
	source := filepath.Join(b.TempDir(), "source.db")
	s, err := sqlite.Open(b.Context(), source, sqlite.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	schema := query(b, source, `SELECT sql FROM sqlite_schema WHERE tbl_name IN ('records', 'changes') AND sql IS NOT NULL ORDER BY type = 'table' DESC, rowid`)

	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}}
	db, err := sql.Open("sqlite", "file:"+path+"?"+q.Encode())
	if err != nil {
		b.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	b.Cleanup(func() { db.Close() })
	for _, ddl := range schema {
		if _, err := db.Exec(ddl); err != nil {
			b.Fatal(err)
		}
	}
	out := &bareDB{db: db}
	if out.record, err = db.Prepare(`INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)`); err != nil {
		b.Fatal(err)
	}
	if out.changes, err = db.Prepare(`INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)`); err != nil {
		b.Fatal(err)
	}
	return out
}

func (d *bareDB) insert(b *testing.B, rows []store.Row, changes []store.Change) {
	b.Helper()
	tx, err := d.db.Begin()
	if err != nil {
		b.Fatal(err)
	}
	record, change := tx.StmtContext(b.Context(), d.record), tx.StmtContext(b.Context(), d.changes)
	for i := range rows {
		r := &rows[i]
		if _, err := record.Exec(string(r.Scope), r.ID[:], int64(r.Seq), int64(r.Entered), r.Kind, 0, 0, 0, nil, nil, r.Agency, r.Officer, r.CreatedAt, r.UpdatedAt, r.State, string(r.Doc)); err != nil {
			b.Fatal(err)
		}
	}
	for i := range changes {
		c := &changes[i]
		if _, err := change.Exec(string(c.Scope), int64(c.Seq), c.ID[:], c.Device, c.Officer, c.Agency, c.At, c.Digest[:], c.Ops); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkRead reads 500 rows of 3 KB: as a feed, and by their ids.
func BenchmarkRead(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
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
// once: what group commit is for.
func BenchmarkCalls(b *testing.B) {
	for _, callers := range []int{1, 32} {
		b.Run(fmt.Sprintf("%d callers", callers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
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
