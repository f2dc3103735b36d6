package sqlite_test

import (
	"database/sql"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

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

	rng := storetest.NewRand()
	var head uint64
	var o, f float64
	for b.Loop() {
		rows, changes := storetest.RowsOf(rng, storetest.BatchRows, "35.24.14", head)
		head += storetest.BatchRows
		start := time.Now()
		if err := storetest.Push(ctx, s, rows, changes); err != nil {
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

// BenchmarkRead reads 500 rows of 3 KB.
func BenchmarkRead(b *testing.B) {
	storetest.BenchmarkRead(b, open(b, filepath.Join(b.TempDir(), "store.db"), sqlite.Options{}))
}

// BenchmarkCalls runs calls of one record each.
func BenchmarkCalls(b *testing.B) {
	storetest.BenchmarkCalls(b, func(b *testing.B) store.Store {
		return open(b, filepath.Join(b.TempDir(), "store.db"), sqlite.Options{})
	})
}
