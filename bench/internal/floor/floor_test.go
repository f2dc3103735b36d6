package floor_test

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"github.com/sambang-id/sambang/bench/internal/floor"
	"github.com/sambang-id/sambang/bench/internal/link"
	"github.com/sambang-id/sambang/bench/internal/workload"
)

func pairs(n int) (out []floor.KV) {
	for r := range workload.Records(n, workload.DefaultSeed) {
		id := r.UUID()
		out = append(out, floor.KV{Key: id[:], Value: r.JSON})
	}
	return out
}

// stored reads a bbolt file back: what is in it, and how many transactions wrote it.
func stored(t *testing.T, path string) (values map[string]string, transactions int) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	values = map[string]string{}
	err = db.View(func(tx *bbolt.Tx) error {
		transactions = tx.ID()
		return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error { values[string(k)] = string(v); return nil })
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	return values, transactions
}

// created is the transaction ID of a database that holds an empty bucket: bbolt begins at 1.
const created = 2

func TestSavesPutEachPairInItsOwnTransactionAfterItsMark(t *testing.T) {
	dir, in := t.TempDir(), pairs(7)
	synced := 0
	res, err := floor.Bolt{MarkBytes: 100, SyncMark: func(f *os.File) error { synced++; return f.Sync() }}.Saves(dir, in)
	if err != nil {
		t.Fatal(err)
	}
	check(t, res, in, len(in))
	mark, err := os.ReadFile(filepath.Join(dir, "mark"))
	if err != nil {
		t.Fatal(err)
	}
	if len(mark) != 100 || binary.BigEndian.Uint64(mark) != uint64(len(in)) || synced != len(in) {
		t.Errorf("mark of %d bytes at %d, synced %d times; want 100 bytes, %d, %d", len(mark), binary.BigEndian.Uint64(mark), synced, len(in), len(in))
	}
}

func TestPutsShareATransactionByFiveHundreds(t *testing.T) {
	in := pairs(2*floor.BatchSize + 1)
	res, err := floor.Bolt{}.Puts(t.TempDir(), in)
	if err != nil {
		t.Fatal(err)
	}
	check(t, res, in, 3)
}

func check(t *testing.T, res floor.Result, in []floor.KV, transactions int) {
	t.Helper()
	want := map[string]string{}
	var bytes int64
	for _, kv := range in {
		want[string(kv.Key)] = string(kv.Value)
		bytes += int64(len(kv.Key) + len(kv.Value))
	}
	got, n := stored(t, res.Path)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	if n-created != transactions {
		t.Errorf("%d transactions, want %d", n-created, transactions)
	}
	if res.Records != len(in) || res.Bytes != bytes || res.Elapsed <= 0 {
		t.Errorf("result %+v of %d records, %d bytes", res, len(in), bytes)
	}
}

func TestAFloorDoesNotRunIntoAnEarlierOne(t *testing.T) {
	dir, in := t.TempDir(), pairs(1)
	if _, err := (floor.Bolt{}).Puts(dir, in); err != nil {
		t.Fatal(err)
	}
	if _, err := (floor.Bolt{}).Puts(dir, in); !errors.Is(err, os.ErrExist) {
		t.Errorf("second run: %v", err)
	}
}

func TestAFloorThatDoesNotSyncIsRefused(t *testing.T) {
	b := floor.Bolt{Options: &bbolt.Options{NoSync: true}}
	if _, err := b.Saves(t.TempDir(), pairs(1)); !errors.Is(err, floor.ErrWeaker) {
		t.Errorf("saves: %v", err)
	}
}

func rows(n int) (out []floor.Row) {
	seq := map[string]int64{}
	for r := range workload.Records(n, workload.DefaultSeed) {
		seq[r.Region]++
		out = append(out, floor.Row{Scope: r.Region, Seq: seq[r.Region], ID: r.UUID(), Kind: r.Kind, State: r.JSON, Doc: r.JSON,
			Ops: r.JSON[:100], Device: "dev-1", Actor: "officer-1", At: time.UnixMilli(1_800_000_000_000)})
	}
	return out
}

func TestInsertsLeaveEveryRowInBothTables(t *testing.T) {
	const n = floor.BatchSize + 20
	res, err := floor.Inserts(t.Context(), t.TempDir(), floor.Twin(rows(n))...)
	if err != nil {
		t.Fatal(err)
	}
	if res.Records != n || res.Bytes < 2*1600*n || res.Elapsed <= 0 || res.PerRecord() <= 0 || res.PerSecond() <= 0 {
		t.Errorf("result %+v", res)
	}
	for _, table := range []string{"records", "changes"} {
		if got := count(t, res.Path, table); got != n {
			t.Errorf("%s: %d rows, want %d", table, got, n)
		}
	}
}

func TestLoadedTablesInsertIntoAnEqualDatabase(t *testing.T) {
	first, err := floor.Inserts(t.Context(), t.TempDir(), floor.Twin(rows(30))...)
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := floor.Load(t.Context(), first.Path, "records", "changes")
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded[0].Schema) != 3 || len(loaded[1].Schema) != 1 {
		t.Errorf("schemas: %q, %q; want a table with two indexes and one without", loaded[0].Schema, loaded[1].Schema)
	}
	second, err := floor.Inserts(t.Context(), t.TempDir(), loaded...)
	if err != nil {
		t.Fatal(err)
	}
	again, err := floor.Load(t.Context(), second.Path, "records", "changes")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(loaded, again); diff != "" {
		t.Errorf("tables after a second insert (-first +second):\n%s", diff)
	}
	if _, err := floor.Load(t.Context(), first.Path, "nothing"); err == nil {
		t.Error("a table that is not there loads without an error")
	}
}

func count(t *testing.T, path, table string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(context.Background(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTransferIsBytesOverBandwidthAndRoundTrips(t *testing.T) {
	for _, tc := range []struct {
		name     string
		shape    link.Shape
		up, down int64
		trips    int
		want     time.Duration
	}{
		{"8,000 bytes up and 8,000 down on a cold village link", link.Village(), 8000, 8000, floor.ColdTLS, time.Second + 500*time.Millisecond + 900*time.Millisecond},
		{"nothing on an open connection", link.Village(), 0, 0, floor.Warm, 300 * time.Millisecond},
		{"any bytes on a link without a shape", link.Shape{}, 1 << 40, 1 << 40, floor.ColdTLS, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := floor.Transfer(tc.shape, tc.up, tc.down, tc.trips); got != tc.want {
				t.Errorf("%v, want %v", got, tc.want)
			}
		})
	}
}
