package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// Update implements [store.Store]. Each step is a transaction of its own, and
// runs again after a failure that may pass.
//
// ctx ends the waits for a step's scopes, and the call between two steps. A
// running step finishes, and the outcome of a commit is waited for.
func (s *Store) Update(ctx context.Context, steps ...store.Step) error {
	if err := s.gate.enter(ctx); err != nil {
		return fmt.Errorf("update: %w", err)
	}
	defer s.gate.leave()
	todo := slices.Clone(steps)
	for begun := false; len(todo) > 0; begun = true {
		then, err := s.step(ctx, &todo[0], begun)
		if err != nil {
			return fmt.Errorf("update: %w", err)
		}
		todo = append(todo[1:], then...)
	}
	return nil
}

// step runs a step until it is kept, or fails by itself.
func (s *Store) step(ctx context.Context, step *store.Step, begun bool) (then []store.Step, err error) {
	scopes := slices.Clone(step.Scopes)
	slices.Sort(scopes)
	scopes = slices.Compact(scopes)
	if err := s.places.take(ctx, scopes, begun); err != nil {
		return nil, err
	}
	defer s.places.give(scopes)
	locked := 0
	for try := 1; ; try++ {
		then, again, err := s.try(ctx, step, scopes)
		if lockedOut(err) {
			locked++
		}
		switch {
		case err == nil:
			return then, nil
		case !again:
			return nil, err
		case try >= s.options.Tries || locked >= lockTries:
			return nil, fmt.Errorf("%w: %w", store.ErrBusy, err)
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

// lockTries is how many times a step waits for a scope that another server does
// not let go.
const lockTries = 3

const (
	firstPause = 5 * time.Millisecond
	lastPause  = time.Second
)

// pause waits before a try, longer each time, and never as long as who failed
// at the same moment.
func pause(ctx context.Context, try int) error {
	d := lastPause
	if try < 8 { // where doubling passes lastPause
		d = firstPause << (try - 1)
	}
	d = d/2 + rand.N(d) //nolint:gosec // a pause, not a secret
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// try runs a step in a transaction of its own, once. Again says that it failed
// by what may pass, and that nothing of it is there.
func (s *Store) try(ctx context.Context, step *store.Step, scopes []string) (then []store.Step, again bool, err error) {
	t, err := s.begin(ctx, scopes)
	if err != nil {
		return nil, transient(err, s.citus), err
	}
	defer t.leave()
	defer func() {
		if again && broken(err) {
			t.leave()
			s.end(t.ctx, t.backend)
		}
	}()
	// From here on the step finishes, whatever becomes of the caller.
	t.ctx = context.WithoutCancel(ctx)
	if then, err = step.Do(t); err != nil {
		return nil, transient(t.err, s.citus), err
	}
	err = s.options.Commit(func() error {
		var err error
		again, err = s.commit(t)
		return err
	})
	if err != nil {
		return nil, again, err
	}
	return then, false, nil
}

// commit ends a step's transaction. Again says that it failed by what may pass,
// and that nothing of it is there.
func (s *Store) commit(t *tx) (again bool, err error) {
	sent, err := t.end()
	switch {
	case err == nil:
		return false, nil
	case !sent || refused(err) || t.open():
		return transient(err, s.citus), err
	}
	t.leave()
	committed, err := s.outcome(t.ctx, &t.trace, err)
	switch {
	case err != nil:
		return false, err
	case committed:
		return false, nil
	}
	return true, errLost
}

var (
	errLost    = errors.New("the connection was lost before the commit")
	errUnknown = errors.New("the connection was lost in the commit, and what became of it can't be told")
)

// trace is what a step leaves behind to find out what became of it.
type trace struct {
	backend backend
	xid     string // the number of the transaction
	// change is one that it appended; nil: none.
	change *store.Change
}

// outcome finds out whether a transaction was committed whose answer was lost.
//
// The server knows its number. After a crash it may have given the number
// again, to a transaction that was committed, and on Citus the transaction that
// counts is the one of the scope's node. Then a change that the step appended
// tells: it is there if the step was committed, or if another server accepted
// the same change, and never goes away. A step that appended none is not run
// again, because it need not be one that changes nothing twice (a code that was
// used is used). The caller is told to try again: a device that sends its push
// again finds what became of it.
func (s *Store) outcome(ctx context.Context, t *trace, cause error) (committed bool, err error) {
	for try := 1; try <= s.options.Tries; try++ {
		committed, err := s.ask(ctx, t)
		if err == nil {
			return committed, nil
		}
		if !errors.Is(err, errNotYet) && !transient(err, s.citus) {
			return false, fmt.Errorf("%w: %w: %w: %w", store.ErrBusy, errUnknown, err, cause)
		}
		if err := pause(ctx, try); err != nil {
			return false, err
		}
		s.end(ctx, t.backend)
	}
	return false, fmt.Errorf("%w: %w: %w", store.ErrBusy, errUnknown, cause)
}

var (
	errNotYet  = errors.New("the transaction has not ended")
	errNoTrace = errors.New("it left no trace")
)

// ask asks once.
func (s *Store) ask(ctx context.Context, t *trace) (committed bool, err error) {
	if !s.citus && t.xid != "" {
		status, now, err := s.status(ctx, t.xid)
		switch {
		case err != nil && transient(err, false):
			return false, err
		case status == "aborted": // also if it is another's: a number is given again only if nothing of the first was kept
			return false, nil
		case status == "in progress":
			return false, errNotYet
		case status == "committed" && now.incarnation == t.backend.incarnation:
			return true, nil
		}
	}
	if t.change == nil {
		return false, errNoTrace
	}
	// Under the scope's lock, which a transaction in doubt still holds.
	var digests [][]byte
	err = s.aside(ctx, nil,
		command{text: sqlBegin},
		command{text: sqlLock, args: []any{string(t.change.Scope)}, scan: func(*cursor) bool { return true }},
		into(&digests, readBlob, sqlAppended, string(t.change.Scope), int64(t.change.Seq), t.change.ID[:]), //nolint:gosec // it was kept so
		command{text: sqlCommit})
	return len(digests) == 1 && bytes.Equal(digests[0], t.change.Digest[:]), err
}

// status asks the server what became of a transaction, and what it is.
func (s *Store) status(ctx context.Context, xid string) (status string, now backend, err error) {
	var found []string
	err = s.aside(ctx, &now, into(&found, readText, sqlOutcome, xid))
	if err != nil || len(found) == 0 {
		return "", now, err
	}
	return found[0], now, nil
}

// end ends a lost connection at the server, which may not know yet that it is
// lost, and keep the scopes for it. A commit that has begun is not stopped by
// that. If the server can't be told, the next try waits until it finds out.
func (s *Store) end(ctx context.Context, lost backend) {
	_ = s.aside(ctx, nil, command{text: sqlEnd, args: []any{lost.pid, lost.started}, scan: func(*cursor) bool { return true }})
}

// aside sends commands on a connection of their own, and tells which.
func (s *Store) aside(ctx context.Context, on *backend, commands ...command) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	conn, err := s.writers.Acquire(ctx)
	if err != nil {
		return translate(ctx, err)
	}
	defer conn.Release()
	if on != nil {
		*on = backendOf(conn.Conn())
	}
	return exchange(ctx, conn.Conn(), s.damages, commands)
}

const (
	sqlOutcome  = `SELECT coalesce(pg_xact_status($1::text::xid8), 'too long ago')`
	sqlAppended = `SELECT digest FROM changes WHERE scope = $1 AND seq = $2 AND id = $3`
	sqlEnd      = `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2`
)

// backend names a process of the server: a number that is used again, when it
// began, and between which crashes.
type backend struct {
	pid         int64
	started     string
	incarnation string
}

// backendKey is where a connection has its own.
const backendKey = "sambang.backend"

func backendOf(conn *pgx.Conn) backend {
	b, _ := conn.PgConn().CustomData()[backendKey].(backend)
	return b
}

func readText(c *tables.Cursor[any]) string { return c.Text(0) }
func readInt(c *tables.Cursor[any]) int64   { return c.Int(0) }
