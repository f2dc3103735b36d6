package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"

	"github.com/sambang-id/sambang/bench/internal/floor"
	"github.com/sambang-id/sambang/bench/internal/link"
	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/workload"
)

// reconnects is scenario D: a phone that was away brings 60 changes and finds 40, over TLS, on a plain link
// and on that of a village. Every run begins from the same folders.
type reconnects struct {
	full *full
	set  *workload.Set
}

func openReconnects(ctx context.Context, e env) (table.Scenario, error) {
	set, err := e.set()
	if err != nil {
		return nil, err
	}
	f, err := fill(ctx, e, sub(e.dir, "D"), true, set.Inspections)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"away", "other"} {
		if err := f.phone(ctx, name); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return &reconnects{f, set}, f.site.stop()
}

func (d *reconnects) Run(ctx context.Context, dir string) ([]table.Figure, error) {
	plain, err := d.round(ctx, sub(dir, "plain"), 1, link.Shape{})
	if err != nil {
		return nil, err
	}
	village, err := d.round(ctx, sub(dir, "village"), 2, link.Village())
	if err != nil {
		return nil, err
	}
	bound := floor.Transfer(link.Village(), village.counts.Up, village.counts.Down, floor.ColdTLS)
	return []table.Figure{
		table.Took("reconnect, plain link", time.Millisecond, plain.took, 0, table.Target{}),
		table.Count("requests", "", float64(plain.rep.Requests), table.AtMost(1)),
		table.Bytes("bodies, both ways", plain.rep.BytesUp+plain.rep.BytesDown, table.AtMost(16)),
		table.Bytes("on the wire with TLS handshake and headers", plain.counts.Up+plain.counts.Down, table.Target{}),
		table.Took("reconnect, village link", time.Second, village.took, bound, table.RatioAtMost(1.25)),
		table.Bytes("on the village link", village.counts.Up+village.counts.Down, table.Target{}),
	}, nil
}

type roundResult struct {
	took   time.Duration
	rep    sambang.Report
	counts link.Counts
}

// round plays one round from fresh copies of the folders.
func (d *reconnects) round(ctx context.Context, dir string, n int, shape link.Shape) (out roundResult, err error) {
	s := d.full.site
	if err := s.keep.clone(ctx, sub(d.full.dir, "server"), sub(dir, "server")); err != nil {
		return out, err
	}
	for _, name := range []string{"away", "other"} {
		if err := copyDir(sub(d.full.dir, name), sub(dir, name)); err != nil {
			return out, err
		}
	}
	s.link.Reshape(link.Shape{})
	if err := s.start(ctx, sub(dir, "server")); err != nil {
		return out, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	other, err := openPhone(sub(dir, "other"))
	if err != nil {
		return out, err
	}
	defer other.Close()
	if err := play(other, d.set.Round(n, workload.Server)); err != nil {
		return out, err
	}
	if _, err := other.Sync(ctx); err != nil {
		return out, err
	}
	away, err := openPhone(sub(dir, "away"))
	if err != nil {
		return out, err
	}
	defer away.Close()
	changes := d.set.Round(n, workload.Client)
	if err := play(away, changes); err != nil {
		return out, err
	}
	s.link.Reshape(shape)
	s.link.Reset()
	start := time.Now()
	out.rep, err = away.Sync(ctx)
	out.took = time.Since(start)
	out.counts = s.link.Counts()
	s.link.Reshape(link.Shape{})
	if err != nil {
		return out, err
	}
	if down := len(d.set.Round(n, workload.Server)); out.rep.Pushed != len(changes) || out.rep.Pulled != down || out.rep.Waiting != 0 {
		return out, fmt.Errorf("the round moved %d up and %d down, want %d and %d", out.rep.Pushed, out.rep.Pulled, len(changes), down)
	}
	return out, nil
}

// play writes changes on a phone.
func play(p *sambang.Replica, changes []workload.Change) error {
	for _, c := range changes {
		var err error
		if c.Op == workload.New {
			err = create(p, c.Record)
		} else {
			var id sambang.ID
			if id, err = parseID(c.ID); err == nil {
				err = edit(p, recordEdit{id, c.Edit.Path, c.Edit.Value})
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *reconnects) Close() error { return d.full.close() }
