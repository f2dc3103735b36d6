package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/sambang-id/sambang/bench/internal/floor"
	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/workload"
)

// limitSaves is how many single saves are enough for a mean: each waits for the disk twice.
const limitSaves = 1000

// limits is scenario L: the floors with the workload's JSON in them, for a reader who wants to know the
// machine before the product. It has no targets.
type limits struct {
	pairs []floor.KV
	rows  []floor.Row
}

func openLimits(_ context.Context, e env) (table.Scenario, error) {
	set, err := e.set()
	if err != nil {
		return nil, err
	}
	l := &limits{}
	seq := map[string]int64{}
	for _, r := range set.Inspections {
		id := r.UUID()
		seq[r.Region]++
		l.pairs = append(l.pairs, floor.KV{Key: id[:], Value: r.JSON})
		l.rows = append(l.rows, limitRow(r, seq[r.Region]))
	}
	return l, nil
}

// limitRow has the JSON where a server has the encoded record, its projection and its writes.
func limitRow(r workload.Record, seq int64) floor.Row {
	return floor.Row{Scope: r.Region, Seq: seq, ID: r.UUID(), Kind: r.Kind, State: r.JSON, Doc: r.JSON, Ops: r.JSON,
		Device: "device", Actor: "officer", At: time.UnixMilli(0)}
}

func (l *limits) Run(ctx context.Context, dir string) ([]table.Figure, error) {
	var sub [3]string
	for i, name := range []string{"saves", "puts", "inserts"} {
		sub[i] = filepath.Join(dir, name)
		if err := os.Mkdir(sub[i], 0o700); err != nil {
			return nil, err
		}
	}
	saves, err := floor.Bolt{}.Saves(sub[0], l.pairs[:min(limitSaves, len(l.pairs))])
	if err != nil {
		return nil, err
	}
	puts, err := floor.Bolt{}.Puts(sub[1], l.pairs)
	if err != nil {
		return nil, err
	}
	inserts, err := floor.Inserts(ctx, sub[2], floor.Twin(l.rows)...)
	if err != nil {
		return nil, err
	}
	return []table.Figure{
		table.Took("mark and bbolt transaction, one record", time.Millisecond, saves.PerRecord(), 0, table.Target{}),
		table.Took("bbolt, all records, 500 a transaction", time.Second, puts.Elapsed, 0, table.Target{}),
		table.Took("SQLite, all records, 500 a transaction", time.Second, inserts.Elapsed, 0, table.Target{}),
	}, nil
}

func (l *limits) Close() error { return nil }
