package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"

	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/usage"
	"github.com/sambang-id/sambang/bench/internal/workload"
)

// storeTables are the server's tables that a push fills with rows.
var storeTables = []string{"records", "changes"}

// firstPush is scenario B with one phone that holds everything, and F with twenty that push at once.
type firstPush struct {
	env     env
	dir     string
	phones  int
	records int
	options []sambang.SyncOption
}

func openFirstPush(ctx context.Context, e env) (table.Scenario, error) {
	return openPush(ctx, e, "B", 1)
}

func openManyPush(ctx context.Context, e env) (table.Scenario, error) {
	return openPush(ctx, e, "F", 20)
}

// manyEach is how many records each of F's phones pushes.
const manyEach = 500

// manyTarget is how many records a second F shall reach, by store.
//
//nolint:gochecknoglobals // targets, never written to
var manyTarget = map[string]float64{onSQLite: 8000, onPostgres: 5000}

func openPush(_ context.Context, e env, name string, phones int) (table.Scenario, error) {
	set, err := e.set()
	if err != nil {
		return nil, err
	}
	f := &firstPush{env: e, dir: sub(e.dir, name), phones: phones, records: len(set.Inspections)}
	each := len(set.Inspections)
	if phones > 1 {
		// Each would otherwise pull what the nineteen others push.
		f.options = []sambang.SyncOption{sambang.PushOnly()}
		each = min(manyEach, len(set.Inspections)/phones)
		f.records = each * phones
	}
	for i := range phones {
		if err := written(sub(f.dir, fmt.Sprint("phone", i)), set.Inspections[i*each:(i+1)*each]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *firstPush) Run(ctx context.Context, dir string) (_ []table.Figure, err error) {
	s, err := newSite(ctx, f.env, dir, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.start(ctx, sub(dir, "server")); err != nil {
		return nil, err
	}
	syncs := make([]func() (int, error), f.phones)
	for i := range syncs {
		name := fmt.Sprint("phone", i)
		if err := copyDir(sub(f.dir, name), sub(dir, name)); err != nil {
			return nil, err
		}
		p, err := enrolled(ctx, s, sub(dir, name), name)
		if err != nil {
			return nil, err
		}
		defer p.Close()
		syncs[i] = func() (int, error) {
			rep, err := p.Sync(ctx, f.options...)
			if err == nil && rep.Waiting > 0 {
				err = fmt.Errorf("%d records still wait", rep.Waiting)
			}
			return rep.Requests, err
		}
	}
	before, took, requests, err := f.measure(s, syncs)
	if err != nil {
		return nil, err
	}
	counts := s.link.Counts()
	there, err := s.spent()
	if err != nil {
		return nil, err
	}
	here, err := usage.Self()
	if err != nil {
		return nil, err
	}
	if err := s.stop(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(sub(dir, "floor"), 0o700); err != nil {
		return nil, err
	}
	bare, err := f.env.keep.floor(ctx, sub(dir, "server"), sub(dir, "floor"), storeTables...)
	if err != nil {
		return nil, err
	}
	if bare.Records < f.records {
		return nil, fmt.Errorf("the server holds %d rows of %d records", bare.Records, f.records)
	}
	if f.phones > 1 {
		rate := float64(f.records) / took.Seconds()
		return append([]table.Figure{
			table.Count(fmt.Sprintf("%d phones push %d each", f.phones, f.records/f.phones), "records/s", rate, table.AtLeast(manyTarget[f.env.keep.name()])),
			table.Took("the same, beside bare inserts", time.Second, took, bare.Elapsed, table.Target{}),
		}, append(table.Spent("phones", here.Since(before)), there...)...), nil
	}
	return append([]table.Figure{
		table.Took("first push", time.Second, took, bare.Elapsed, f.env.onlySQLite(table.RatioAtMost(2))),
		table.Bytes("on the wire, both ways", counts.Up+counts.Down, table.AtMost(2800)),
		table.Count("requests", "", float64(requests), table.Target{}),
	}, append(table.Spent("phone", here.Since(before)), there...)...), nil
}

// measure runs all syncs at once.
func (f *firstPush) measure(s *site, syncs []func() (int, error)) (before usage.Usage, took time.Duration, requests int, err error) {
	if err = errors.Join(s.mark(), usage.ResetPeak(os.Getpid())); err != nil {
		return before, 0, 0, err
	}
	if before, err = usage.Self(); err != nil {
		return before, 0, 0, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for _, do := range syncs {
		wg.Go(func() {
			n, e := do()
			mu.Lock()
			defer mu.Unlock()
			requests += n
			err = errors.Join(err, e)
		})
	}
	wg.Wait()
	return before, time.Since(start), requests, err
}

func (f *firstPush) Close() error { return os.RemoveAll(f.dir) }

// full is a server's folder that holds the whole workload, made once for the scenarios that begin there.
type full struct {
	dir  string
	site *site
}

// fill makes a server's folder with records pushed by one phone, and leaves the server running.
func fill(ctx context.Context, e env, dir string, secure bool, records []workload.Record) (*full, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := written(sub(dir, "author"), records); err != nil {
		return nil, err
	}
	s, err := newSite(ctx, e, dir, secure)
	if err != nil {
		return nil, err
	}
	f := &full{dir: dir, site: s}
	if err := s.start(ctx, sub(dir, "server")); err != nil {
		return nil, errors.Join(err, s.close())
	}
	p, err := enrolled(ctx, s, sub(dir, "author"), "author")
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	_, err = p.Sync(ctx)
	if err = errors.Join(err, p.Close()); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return f, nil
}

// phone makes a device that has pulled everything, and closes it.
func (f *full) phone(ctx context.Context, name string) error {
	p, err := enrolled(ctx, f.site, sub(f.dir, name), name)
	if err != nil {
		return err
	}
	_, err = p.Sync(ctx)
	return errors.Join(err, p.Close())
}

func (f *full) close() error { return errors.Join(f.site.close(), os.RemoveAll(f.dir)) }
