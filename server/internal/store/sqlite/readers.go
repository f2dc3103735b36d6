package sqlite

import (
	"context"
	"errors"
	"sync"

	"github.com/sambang-id/sambang/server/internal/store"
)

// readers are the connections of views. The one that was used last is used
// next, because its pages and statements are at hand; another is opened only
// when all that are open are in use.
type readers struct {
	open  func(context.Context) (*conn, error)
	turns chan struct{} // a token for each view that may be open

	mu   sync.Mutex
	idle []*conn
}

func newReaders(n int, open func(context.Context) (*conn, error)) *readers {
	r := &readers{open: open, turns: make(chan struct{}, n)}
	for range n {
		r.turns <- struct{}{}
	}
	return r
}

// take waits for a connection. The caller puts it back.
func (r *readers) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case _, open := <-r.turns:
		if !open {
			return nil, store.ErrClosed
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	r.mu.Lock()
	var c *conn
	if last := len(r.idle) - 1; last >= 0 {
		c, r.idle = r.idle[last], r.idle[:last]
	}
	r.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := r.open(context.WithoutCancel(ctx))
	if err != nil {
		r.turns <- struct{}{}
	}
	return c, err
}

func (r *readers) put(c *conn) {
	r.mu.Lock()
	r.idle = append(r.idle, c)
	r.mu.Unlock()
	r.turns <- struct{}{}
}

// close waits for the open views and closes the connections.
func (r *readers) close() error {
	for range cap(r.turns) {
		<-r.turns
	}
	close(r.turns)
	var errs []error
	for _, c := range r.idle {
		errs = append(errs, c.close())
	}
	return errors.Join(errs...)
}
