package sqlite

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
)

// queue hands the one writing connection from caller to caller, in order of
// arrival, together with the transaction that is open on it: group commit. Who
// finds nobody waiting behind him commits for all.
//
// There is no writer goroutine, because a constructor starts nothing, and
// because every step then runs in the goroutine of its own caller: a panic, a
// deadline or a profile label reaches whom it belongs to.
type queue struct {
	mu      sync.Mutex
	busy    bool // somebody has the turn
	closed  bool
	waiting []*waiter
	limits  groupLimits
}

// groupLimits bound a group. They bound how long the first caller of a group
// waits for the last.
type groupLimits struct {
	calls int
	rows  int
	time  time.Duration
}

// waiter is a caller that waits for its turn.
type waiter struct{ turn chan *group }

// group is the callers that share one transaction.
type group struct {
	calls int // that are part of it
	rows  int // that they wrote
	begun bool
	// broken is set when the transaction was lost under way; nobody joins.
	broken error
	// old is set when the group has been open for long enough.
	old   atomic.Bool
	timer *time.Timer
	// done is closed when err, the outcome of the commit, is set.
	done chan struct{}
	err  error
	// refused is why those who get this group get no turn with it.
	refused error
}

func newGroup() *group { return &group{done: make(chan struct{})} }

// enter waits for the caller's turn and returns the group that it joins. Who
// got a group leaves it.
func (q *queue) enter(ctx context.Context) (*group, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	q.mu.Lock()
	switch {
	case q.closed:
		q.mu.Unlock()
		return nil, store.ErrClosed
	case !q.busy:
		q.busy = true
		q.mu.Unlock()
		return newGroup(), nil
	}
	w := &waiter{turn: make(chan *group, 1)}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	select {
	case g := <-w.turn:
		return q.joined(g)
	case <-ctx.Done():
	}
	q.mu.Lock()
	i := slices.Index(q.waiting, w)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.mu.Unlock()
	if i >= 0 {
		return nil, ctx.Err()
	}
	// The turn came at the same moment: it has to be taken.
	return q.joined(<-w.turn)
}

// joined refuses the turn of a closed queue, which close hands out as nil, and
// the one of who is turned away.
func (q *queue) joined(g *group) (*group, error) {
	switch {
	case g == nil:
		return nil, store.ErrClosed
	case g.refused != nil:
		return nil, g.refused
	}
	return g, nil
}

// refuse turns away who waits, with the error of who has the turn: another
// process holds the file, and they have waited for the same lock. Otherwise each
// would wait for it anew, one after the other.
func (q *queue) refuse(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return // who waits is who closes
	}
	for _, w := range q.waiting {
		w.turn <- &group{refused: err}
	}
	q.waiting = nil
}

// pass gives the turn to the next caller in the same group, if there is one
// and the group can take it. Otherwise the caller ends the group and calls
// release.
func (q *queue) pass(g *group) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	full := g.calls >= q.limits.calls || g.rows >= q.limits.rows || g.old.Load()
	if len(q.waiting) == 0 || full || g.broken != nil || q.closed {
		return false
	}
	q.pop().turn <- g
	return true
}

// release gives the turn to the next caller, in a group of its own.
func (q *queue) release() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.busy = false
		return
	}
	q.pop().turn <- newGroup()
}

func (q *queue) pop() *waiter {
	w := q.waiting[0]
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return w
}

// close turns away who waits and waits for who has the turn. It reports false
// if the queue was closed before.
func (q *queue) close() bool {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return false
	}
	q.closed = true
	for _, w := range q.waiting {
		w.turn <- nil
	}
	q.waiting = nil
	if !q.busy {
		q.busy = true
		q.mu.Unlock()
		return true
	}
	w := &waiter{turn: make(chan *group, 1)}
	q.waiting = append(q.waiting, w)
	q.mu.Unlock()
	<-w.turn // a fresh group: a closed queue does not pass an open one
	return true
}
