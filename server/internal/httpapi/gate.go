package httpapi

import (
	"container/list"
	"context"
	"sync"
	"time"
)

// gate hands out a fixed amount of something, such as bytes of memory, in the
// order in which it was asked for: who needs much is not overtaken for ever by
// those who need little. It is safe for concurrent use.
type gate struct {
	size int64

	mu      sync.Mutex
	taken   int64
	waiting list.List // of *wanted
}

type wanted struct {
	n     int64
	given chan struct{} // closed under the gate's lock
}

func newGate(size int64) *gate { return &gate{size: size} }

// try takes n at once, or nothing.
func (g *gate) try(n int64) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.tryLocked(n)
}

func (g *gate) tryLocked(n int64) bool {
	ok := g.waiting.Len() == 0 && g.taken+n <= g.size
	if ok {
		g.taken += n
	}
	return ok
}

// take waits for n, at most for patience. Who asks for more than there is gets
// all of it. It returns what it took, which the caller must give back; false
// if it took nothing.
func (g *gate) take(ctx context.Context, n int64, patience time.Duration) (int64, bool) {
	n = min(n, g.size)
	g.mu.Lock()
	if g.tryLocked(n) {
		g.mu.Unlock()
		return n, true
	}
	w := &wanted{n, make(chan struct{})}
	place := g.waiting.PushBack(w)
	g.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.given:
		return n, true
	case <-timer.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-w.given: // in the last moment
		return n, true
	default:
	}
	g.waiting.Remove(place)
	g.next() // who waits behind may need less
	return 0, false
}

// give gives back.
func (g *gate) give(n int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.taken -= n
	g.next()
}

// next serves those who wait, with the lock held.
func (g *gate) next() {
	for e := g.waiting.Front(); e != nil; e = g.waiting.Front() {
		w := e.Value.(*wanted) //nolint:forcetypeassert // the list holds nothing else
		if g.taken+w.n > g.size {
			return
		}
		g.taken += w.n
		g.waiting.Remove(e)
		close(w.given)
	}
}

// crowd counts what each key has at once. It is safe for concurrent use.
type crowd struct {
	most int

	mu    sync.Mutex
	byKey map[string]int // none is 0
}

func newCrowd(most int) *crowd { return &crowd{most: most, byKey: map[string]int{}} }

// join counts one more of a key; false if it has as many as it may.
func (c *crowd) join(key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	ok := c.byKey[key] < c.most
	if ok {
		c.byKey[key]++
	}
	return ok
}

func (c *crowd) leave(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byKey[key]--; c.byKey[key] == 0 {
		delete(c.byKey, key)
	}
}
