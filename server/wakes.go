package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
)

// wakes joins servers that share a store: who follows the log at one of them
// hears at once of what was committed at another. It carries hints; a stream
// that heard nothing looks for itself.
type wakes struct {
	store  store.Wakes
	heard  func() // another server committed something
	due    chan struct{}
	logger *slog.Logger
}

const (
	// tellEvery is the least time between two hints: a thousand pushes a second
	// are twenty of them.
	tellEvery = 50 * time.Millisecond
	// hearAgain is the pause before a lost connection is made again.
	hearAgain = 5 * time.Second
)

func newWakes(s store.Wakes, heard func(), logger *slog.Logger) *wakes {
	return &wakes{store: s, heard: heard, due: make(chan struct{}, 1), logger: logger}
}

// tell tells the other servers soon that something was committed here.
func (w *wakes) tell() {
	select {
	case w.due <- struct{}{}:
	default: // what is due tells it
	}
}

// run tells and hears until ctx is done.
func (w *wakes) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { w.hear(ctx) })
	both.Go(func() {
		for sleep(ctx, tellEvery) {
			select {
			case <-ctx.Done():
			case <-w.due:
				if err := w.store.Tell(ctx); err != nil && ctx.Err() == nil {
					w.logger.WarnContext(ctx, "other servers are not told", "error", err)
				}
			}
		}
	})
	both.Wait()
}

func (w *wakes) hear(ctx context.Context) {
	for deaf := false; ; {
		err := w.store.Hear(ctx, func() {
			if deaf {
				w.logger.InfoContext(ctx, "other servers are heard again")
			}
			deaf = false
			w.heard()
		})
		if ctx.Err() != nil {
			return
		}
		if !deaf {
			w.logger.WarnContext(ctx, "other servers are not heard", "error", err)
		}
		deaf = true
		if !sleep(ctx, hearAgain) {
			return
		}
	}
}

// sleep waits, and reports false if ctx was done before.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
