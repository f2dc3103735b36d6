package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// bystander is an honest device that syncs something small every now and then, and must not notice what
// happens around it.
type bystander struct {
	replica *sambang.Replica
	region  string
	every   time.Duration

	times   samples
	limited atomic.Int64 // how often it was told to come again
	errors  tally        // what else went wrong
	saved   int
}

const honestRegion = "35.24.14"

// newBystander enrols a device whose cache is in dir.
func newBystander(ctx context.Context, s *site, dir string) (*bystander, error) {
	r, err := openReplica(filepath.Join(dir, "honest"), sambang.Options{Transport: transportFrom(loopback(honest, 0))})
	if err != nil {
		return nil, err
	}
	code, err := s.order("enrol", "honest", honestRegion)
	if err == nil {
		err = r.Enrol(ctx, code, "honest")
	}
	if err != nil {
		return nil, fmt.Errorf("enrol the honest device: %w", err)
	}
	return &bystander{replica: r, region: honestRegion, every: 200 * time.Millisecond}, nil
}

// openReplica opens a device's cache. The key is no secret here; sealing costs the same.
func openReplica(dir string, o sambang.Options) (*sambang.Replica, error) {
	o.Key, o.App = make([]byte, sambang.KeySize), "load/1"
	return sambang.Open(dir, o)
}

// run saves a record and syncs it, at a steady pace, until ctx ends. A sync that takes longer than the pace delays
// those after it; each is timed from when it began.
func (b *bystander) run(ctx context.Context) error {
	tick := time.NewTicker(b.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := b.replica.Create("site", b.region, sambang.Fields{"name": "Losmen Rekaan", "rooms": b.saved}); err != nil {
			return fmt.Errorf("the honest device saves: %w", err)
		}
		b.saved++
		begun := time.Now()
		// Not cut when the window ends: what was begun is measured whole.
		if _, err := b.replica.Sync(context.WithoutCancel(ctx)); err != nil {
			if errors.Is(err, syncproto.CodeRateLimited) {
				b.limited.Add(1)
			} else {
				b.errors.add(err.Error())
			}
			continue
		}
		b.times.add(time.Since(begun))
	}
}

// settle brings over what a refused sync left behind.
func (b *bystander) settle(ctx context.Context) error {
	_, err := b.replica.Sync(ctx)
	return err
}
