package sambang

import (
	"context"
	"iter"
	"sync"
)

// ChangeKind says what happened to a record.
type ChangeKind string

// The kinds of changes.
const (
	ChangeCreated ChangeKind = "created" // it came to be here
	ChangeUpdated ChangeKind = "updated"
	ChangeRemoved ChangeKind = "removed" // it is not here any more: evicted or erased
	// ChangeCustody: nothing of the contents changed, but the server has
	// acknowledged, or put aside.
	ChangeCustody ChangeKind = "custody"
)

// Source says who changed a record.
type Source string

// The sources.
const (
	SourceLocal Source = "local"
	SourceSync  Source = "sync"
)

// Change is one record that changed. It says that, not how: read the record.
type Change struct {
	ID   ID // of the main record, also if a companion changed
	Kind string
	What ChangeKind
	From Source
}

// Watch yields the records that change from now on, until ctx ends or the
// replica is closed. A writer never waits for a watcher: changes of a record
// that was not read yet are one, and after more than a few thousand of them the
// watcher gets the zero Change, which means that anything may have changed. It
// runs in the caller's goroutine.
func (r *Replica) Watch(ctx context.Context) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		w := r.watchers.add()
		defer r.watchers.remove(w)
		for {
			select {
			case <-ctx.Done():
				return
			case _, open := <-w.wake:
				for _, c := range w.take() {
					if !yield(c) {
						return
					}
				}
				if !open {
					return
				}
			}
		}
	}
}

// maxPending is how many changed records wait for a watcher, at most.
const maxPending = 4096

// watchers are the readers of changes. The zero value is ready.
type watchers struct {
	mu     sync.Mutex
	all    map[*watcher]struct{}
	closed bool
}

type watcher struct {
	wake chan struct{}

	mu      sync.Mutex
	pending []Change
	index   map[ID]int
	all     bool
}

func (ws *watchers) add() *watcher {
	w := &watcher{wake: make(chan struct{}, 1), index: map[ID]int{}}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		close(w.wake)
		return w
	}
	if ws.all == nil {
		ws.all = map[*watcher]struct{}{}
	}
	ws.all[w] = struct{}{}
	return w
}

func (ws *watchers) remove(w *watcher) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.all, w)
}

func (ws *watchers) close() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		close(w.wake)
	}
	ws.all, ws.closed = nil, true
}

// announce tells watchers and a running [Replica.Run] of a commit.
func (r *Replica) announce(changes []Change) {
	if len(changes) == 0 {
		return
	}
	for _, c := range changes {
		if c.From == SourceLocal {
			r.poke()
			break
		}
	}
	ws := &r.watchers
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.all {
		w.push(changes)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) push(changes []Change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range changes {
		if w.all {
			return
		}
		if i, ok := w.index[c.ID]; ok {
			w.pending[i] = coalesce(w.pending[i], c)
			continue
		}
		if len(w.pending) == maxPending {
			w.all, w.pending = true, nil
			clear(w.index)
			return
		}
		w.index[c.ID] = len(w.pending)
		w.pending = append(w.pending, c)
	}
}

// coalesce makes one change of two: what came to be stays new until it is
// read, and acknowledgements don't hide contents.
func coalesce(old, now Change) Change {
	switch {
	case now.What == ChangeCustody:
		return old
	case old.What == ChangeCreated && now.What == ChangeUpdated:
		now.What = ChangeCreated
	case old.What == ChangeRemoved && now.What == ChangeCreated:
		now.What = ChangeUpdated
	}
	return now
}

func (w *watcher) take() []Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.pending
	if w.all {
		out = []Change{{}}
	}
	w.pending, w.all = nil, false
	clear(w.index)
	return out
}
