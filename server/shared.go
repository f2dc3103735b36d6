package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// pin refuses a store that belongs to a server with another key: it would tell
// every device that it is a foreign server, and sign for what it never took.
// The first server of a store makes it its own. A store that was moved from
// another engine has receipts before that; they tell whose it is.
func pin(ctx context.Context, s store.Store, id *auth.Identity) error {
	p, ok := s.(store.ServerPin)
	if !ok {
		return nil // the store is in one folder with the key
	}
	owner, err := p.PinnedServer(ctx)
	if err == nil && owner == "" {
		if err = signedBy(ctx, s, id); err != nil {
			return err
		}
		owner, err = p.PinServer(ctx, id.ServerID)
	}
	switch {
	case err != nil:
		return err
	case owner != id.ServerID:
		return foreign("the store belongs to server %s, %s in the data folder is that of %s", owner, auth.KeyFile, id.ServerID)
	}
	return nil
}

// signedBy refuses a store whose receipts have another key's signature.
func signedBy(ctx context.Context, s store.Store, id *auth.Identity) error {
	return s.View(ctx, func(r store.Reader) error {
		devices, err := r.Devices()
		if err != nil {
			return err
		}
		for _, d := range devices {
			receipts, err := r.Receipts(d.Device.ID, 1)
			if err != nil {
				return err
			}
			for _, x := range receipts {
				if !x.Damaged && x.Key != id.ReceiptKeyID {
					return foreign("the receipts in the store are signed with key %s, %s in the data folder has %s", x.Key, auth.KeyFile, id.ReceiptKeyID)
				}
			}
		}
		return nil
	})
}

func foreign(format string, args ...any) error {
	return fmt.Errorf("open the store: %w", syncproto.Errorf(syncproto.CodeStoreIdentity, format, args...))
}

// sharedClock is the time of the database that servers share, so that they agree
// on it whatever their own clocks say: a device that meets one and then another
// would have a clock that is wrong for each of them in turn. Between two
// readings it goes on with this machine's monotonic clock, which nobody sets.
type sharedClock struct {
	source store.Clock
	local  func() time.Time

	mu    sync.Mutex
	at    time.Time // here, when it was read
	shows time.Time // what it showed then
}

const (
	// readAgain is how often the clock is read. Two machines part by a few
	// milliseconds meanwhile.
	readAgain = 30 * time.Second
	// readWithin bounds a reading. One that took longer than readExact is not
	// used unless there is none yet: it may be off by as much.
	readWithin = 10 * time.Second
	readExact  = time.Second
)

// Now returns the time of the database.
func (c *sharedClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shows.Add(c.local().Sub(c.at))
}

// read reads the clock.
func (c *sharedClock) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readWithin)
	defer cancel()
	before := c.local()
	micros, err := c.source.Time(ctx)
	if err != nil {
		return err
	}
	took := c.local().Sub(before)
	c.mu.Lock()
	defer c.mu.Unlock()
	if took <= readExact || c.at.IsZero() {
		c.at, c.shows = before.Add(took/2), time.UnixMicro(micros)
	}
	return nil
}

// run reads the clock again and again, until ctx is done. A database that does
// not answer leaves the clock going as it goes.
func (c *sharedClock) run(ctx context.Context) {
	tick := time.NewTicker(readAgain)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = c.read(ctx)
		}
	}
}

// localClock is the clock of this machine, or what Config.Now makes of it.
func localClock(c Config) func() time.Time {
	switch {
	case c.Now != nil:
		return c.Now
	case c.local != nil:
		return c.local
	}
	return time.Now
}

// clockOf returns the clock by which the server tells the time.
func (s *Server) clockOf(ctx context.Context, c Config) (func() time.Time, error) {
	source, shared := s.store.(store.Clock)
	if c.Now != nil || !shared {
		return localClock(c), nil
	}
	s.clock = &sharedClock{source: source, local: localClock(c)}
	if err := s.clock.read(ctx); err != nil {
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return s.clock.Now, nil
}
