package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sambang-id/sambang/bench/internal/floor"
	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/usage"
	"github.com/sambang-id/sambang/bench/internal/workload"
)

// firstPull is scenario C: a new phone pulls everything.
type firstPull struct {
	full  *full
	pairs []floor.KV
	n     int
}

func openFirstPull(ctx context.Context, e env) (table.Scenario, error) {
	set, err := e.set()
	if err != nil {
		return nil, err
	}
	c := &firstPull{}
	for _, r := range set.Inspections {
		id := r.UUID()
		c.pairs = append(c.pairs, floor.KV{Key: id[:], Value: append(r.JSON[:len(r.JSON):len(r.JSON)], make([]byte, rowOverhead)...)})
	}
	c.full, err = fill(ctx, e, sub(e.dir, "C"), false, set.Inspections)
	return c, err
}

func (c *firstPull) Run(ctx context.Context, dir string) ([]table.Figure, error) {
	c.n++
	p, err := enrolled(ctx, c.full.site, sub(dir, "phone"), fmt.Sprint("new", c.n))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := errors.Join(c.full.site.mark(), usage.ResetPeak(os.Getpid()), os.Mkdir(sub(dir, "floor"), 0o700)); err != nil {
		return nil, err
	}
	before, err := usage.Self()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	rep, err := p.Sync(ctx)
	took := time.Since(start)
	if err != nil {
		return nil, err
	}
	if n := p.Counts().Records; n != len(c.pairs) {
		return nil, fmt.Errorf("the phone holds %d records of %d", n, len(c.pairs))
	}
	counts := c.full.site.link.Counts()
	here, err := usage.Self()
	if err != nil {
		return nil, err
	}
	there, err := c.full.site.spent()
	if err != nil {
		return nil, err
	}
	bare, err := floor.Bolt{}.Puts(sub(dir, "floor"), c.pairs)
	if err != nil {
		return nil, err
	}
	return append([]table.Figure{
		table.Took("first pull", time.Second, took, bare.Elapsed, table.RatioAtMost(4)),
		table.Bytes("on the wire, both ways", counts.Up+counts.Down, table.Target{}),
		table.Count("requests", "", float64(rep.Requests), table.Target{}),
	}, append(table.Spent("phone", here.Since(before)), there...)...), nil
}

func (c *firstPull) Close() error { return c.full.close() }

// idle is a sync with nothing to do, with many records in scope, over TLS on a connection that is open, as a
// phone has it.
type idle struct{ full *full }

// idleRecords is how many records the idle phone holds.
const idleRecords = 40_000

func openIdle(ctx context.Context, e env) (table.Scenario, error) {
	var records []workload.Record
	for r := range workload.Records(idleRecords, workload.DefaultSeed) {
		records = append(records, r)
	}
	f, err := fill(ctx, e, sub(e.dir, "idle"), true, records)
	if err != nil {
		return nil, err
	}
	return &idle{f}, errors.Join(f.phone(ctx, "reader"))
}

func (i *idle) Run(ctx context.Context, _ string) ([]table.Figure, error) {
	p, err := openPhone(sub(i.full.dir, "reader"))
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if _, err := p.Sync(ctx); err != nil { // opens the connection
		return nil, err
	}
	i.full.site.link.Reset()
	start := time.Now()
	rep, err := p.Sync(ctx)
	took := time.Since(start)
	if err != nil {
		return nil, err
	}
	counts := i.full.site.link.Counts()
	return []table.Figure{
		table.Bytes(fmt.Sprintf("idle sync, %d records in scope, both ways with headers and TLS", idleRecords), counts.Up+counts.Down, table.AtMost(1)),
		table.Bytes("of them bodies", rep.BytesUp+rep.BytesDown, table.Target{}),
		table.Took("idle sync", time.Millisecond, took, 0, table.Target{}),
		table.Count("requests", "", float64(rep.Requests), table.Target{}),
	}, nil
}

func (i *idle) Close() error { return i.full.close() }
