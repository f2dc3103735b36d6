package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/sambang-id/sambang/bench/internal/floor"
	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/workload"
)

// saves is how many records scenario A saves: enough for a mean, each waits for the disk.
const saves = 1000

// rowOverhead is what a saved record holds beside its JSON: per register a dot, a time and the step of the
// chain, and the seal. The floor writes as many bytes.
const rowOverhead = 600

// localSaves is scenario A: one durable save each, as an officer does it.
type localSaves struct{ records []workload.Record }

func openSaves(_ context.Context, e env) (table.Scenario, error) {
	set, err := e.set()
	if err != nil {
		return nil, err
	}
	return &localSaves{set.Inspections[:saves]}, nil
}

func (l *localSaves) Run(_ context.Context, dir string) ([]table.Figure, error) {
	p, err := openPhone(sub(dir, "phone"))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := os.Mkdir(sub(dir, "floor"), 0o700); err != nil {
		return nil, err
	}
	contents := make([]map[string]any, len(l.records))
	pairs := make([]floor.KV, len(l.records))
	for i, r := range l.records {
		contents[i] = fields(r)
		id := r.UUID()
		pairs[i] = floor.KV{Key: id[:], Value: append(r.JSON[:len(r.JSON):len(r.JSON)], make([]byte, rowOverhead)...)}
	}
	start := time.Now()
	for i, r := range l.records {
		if err := p.CreateWith(r.UUID(), r.Kind, r.Region, contents[i]); err != nil {
			return nil, err
		}
	}
	took := time.Since(start)
	bare, err := floor.Bolt{}.Saves(sub(dir, "floor"), pairs)
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return []table.Figure{
		table.Took("save, one durable write each", time.Millisecond, took/saves, bare.PerRecord(), table.RatioAtMost(1.3)),
	}, nil
}

func (l *localSaves) Close() error { return nil }
