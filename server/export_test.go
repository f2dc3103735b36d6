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

// SharedClock is the clock of servers that share a database.
type SharedClock = sharedClock

// NewSharedClock returns a clock that was read once.
func NewSharedClock(ctx context.Context, source store.Clock, local func() time.Time) (*SharedClock, error) {
	c := &sharedClock{source: source, local: local}
	return c, c.read(ctx)
}

// Run reads the clock again and again.
func (c *SharedClock) Run(ctx context.Context) { c.run(ctx) }
