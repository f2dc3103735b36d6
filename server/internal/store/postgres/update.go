package postgres

import (
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
		// A hand on the commit may give the database's own errors.
		return nil, again, fmt.Errorf("commit: %w", translate(t.ctx, err))
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
	committed, err := s.outcome(t.ctx, t.backend, t.xid, err)
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

// outcome finds out whether a transaction was committed whose answer was lost.
//
// On Citus it can't: the transaction that counts is the one of the scope's
// node, and the coordinator may have died between the two. The step is not run
// again then, because it need not be one that changes nothing twice (a code
// that was used is used). The caller is told to try again: a device that sends
// its push again finds what became of it.
func (s *Store) outcome(ctx context.Context, lost backend, xid string, cause error) (committed bool, err error) {
	for try := 1; !s.citus && xid != "" && try <= s.options.Tries; try++ {
		status, err := s.status(ctx, xid)
		switch {
		case err == nil && status == "committed":
			return true, nil
		case err == nil && status == "aborted":
			return false, nil
		case err == nil && status != "in progress":
			return false, fmt.Errorf("%w: %w: %w", store.ErrBusy, errUnknown, cause) // too long ago
		case err != nil && !transient(err, false):
			return false, fmt.Errorf("%w: %w: %w: %w", store.ErrBusy, errUnknown, err, cause)
		}
		if err := pause(ctx, try); err != nil {
			return false, err
		}
		s.end(ctx, lost)
	}
	return false, fmt.Errorf("%w: %w: %w", store.ErrBusy, errUnknown, cause)
}

// status asks the server what became of a transaction.
func (s *Store) status(ctx context.Context, xid string) (string, error) {
	var found []string
	err := s.aside(ctx, into(&found, readText, sqlOutcome, xid))
	if err != nil || len(found) == 0 {
		return "", err
	}
	return found[0], nil
}

// end ends a lost connection at the server, which may not know yet that it is
// lost, and keep the scopes for it. A commit that has begun is not stopped by
// that. If the server can't be told, the next try waits until it finds out.
func (s *Store) end(ctx context.Context, lost backend) {
	_ = s.aside(ctx, command{text: sqlEnd, args: []any{lost.pid, lost.started}, scan: func(*cursor) bool { return true }})
}

// aside sends a command on a connection of its own.
func (s *Store) aside(ctx context.Context, c command) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	conn, err := s.writers.Acquire(ctx)
	if err != nil {
		return translate(ctx, err)
	}
	defer conn.Release()
	return exchange(ctx, conn.Conn(), s.damages, []command{c})
}

const (
	sqlOutcome = `SELECT coalesce(pg_xact_status($1::text::xid8), 'too long ago')`
	sqlEnd     = `SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE pid = $1 AND extract(epoch FROM backend_start)::text = $2`
)

// backend names a process of the server: a number that is used again, and when
// it began.
type backend struct {
	pid     int64
	started string
}

// backendKey is where a connection has its own.
const backendKey = "sambang.backend"

func backendOf(conn *pgx.Conn) backend {
	b, _ := conn.PgConn().CustomData()[backendKey].(backend)
	return b
}

func readText(c *tables.Cursor[any]) string { return c.Text(0) }
func readInt(c *tables.Cursor[any]) int64   { return c.Int(0) }
