package postgres

import (
	"context"
	"slices"
	"sync"

	"github.com/sambang-id/sambang/server/internal/store"
)

// places is the queue in front of each scope within this process, in order of
// arrival. Without it, callers of one scope would wait for its row with a
// connection in hand, until none is left for the other scopes.
type places struct {
	mu      sync.Mutex
	queues  map[string][]*place // the first has the scope
	closing chan struct{}       // closed when the store closes
}

type place struct{ turn chan struct{} }

func newPlaces() *places {
	return &places{queues: map[string][]*place{}, closing: make(chan struct{})}
}

// take waits for the scopes, which are sorted, so that two callers never wait
// for each other. Who took them gives them back. A call that has begun is not
// turned away by the closing of the store.
func (p *places) take(ctx context.Context, scopes []string, begun bool) error {
	closing := p.closing
	if begun {
		closing = nil
	}
	for i, scope := range scopes {
		if err := p.takeOne(ctx, scope, closing); err != nil {
			p.give(scopes[:i])
			return err
		}
	}
	return nil
}

func (p *places) takeOne(ctx context.Context, scope string, closing <-chan struct{}) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	mine := &place{turn: make(chan struct{})}
	p.mu.Lock()
	p.queues[scope] = append(p.queues[scope], mine)
	first := len(p.queues[scope]) == 1
	p.mu.Unlock()
	if first {
		return nil
	}
	var err error
	select {
	case <-mine.turn:
		return nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-closing:
		err = store.ErrClosed
	}
	p.leave(scope, mine)
	return err
}

// give passes scopes on to who is next.
func (p *places) give(scopes []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, scope := range scopes {
		p.remove(scope, 0)
	}
}

// leave gives up a place in a queue, which may have become the first meanwhile.
func (p *places) leave(scope string, mine *place) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.remove(scope, slices.Index(p.queues[scope], mine))
}

func (p *places) remove(scope string, i int) {
	q := slices.Delete(p.queues[scope], i, i+1)
	p.queues[scope] = q
	switch {
	case len(q) == 0:
		delete(p.queues, scope)
	case i == 0:
		close(q[0].turn)
	}
}

// gate counts who is inside, so that closing can wait for them.
type gate struct {
	mu     sync.Mutex
	inside int
	closed bool
	empty  chan struct{} // closed when the last leaves a closed gate
}

func newGate() *gate { return &gate{empty: make(chan struct{})} }

// enter lets the caller in, or says that the store is closed. Who entered
// leaves.
func (g *gate) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return store.ErrClosed
	}
	g.inside++
	return nil
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.closed && g.inside == 0 {
		close(g.empty)
	}
}

// close lets nobody in any more. It reports false if that was so before.
func (g *gate) close() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.closed = true
	if g.inside == 0 {
		close(g.empty)
	}
	return true
}
