package server

import (
	"context"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
)

// WithLocal returns c on a machine with the given clock.
func WithLocal(c Config, now func() time.Time) Config {
	c.local = now
	return c
}

// WithPoll returns c with streams that look for themselves only so often.
func WithPoll(c Config, every time.Duration) Config {
	c.poll = every
	return c
}

// SharedClock is the clock of servers that share a database.
type SharedClock = sharedClock

// NewSharedClock returns a clock that was read once.
func NewSharedClock(ctx context.Context, source store.Clock, local func() time.Time) (*SharedClock, error) {
	c := &sharedClock{source: source, local: local}
	return c, c.read(ctx)
}

// Run reads the clock again and again.
func (c *SharedClock) Run(ctx context.Context) { c.run(ctx) }
