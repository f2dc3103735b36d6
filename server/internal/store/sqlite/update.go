package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
)

// Update implements [store.Store]. The callers that wait at the same time
// share one transaction and one fsync (group commit). A call is kept or undone
// as a whole, whatever becomes of the others; if the commit fails, it fails
// for all of the group.
//
// ctx ends the wait for the turn, and the call between two steps. A running
// step finishes, and the outcome of a commit is waited for, so that an answer
// is never a guess.
func (s *Store) Update(ctx context.Context, steps ...store.Step) error {
	g, err := s.queue.enter(ctx)
	if err != nil {
		return fmt.Errorf("update: %w", err)
	}
	returned := false
	defer func() {
		if !returned { // a step panicked, or left its goroutine
			s.undo(g, errPanicked)
			s.leave(g)
		}
	}()
	err = s.call(ctx, g, steps)
	returned = true
	if err != nil {
		s.leave(g)
		return fmt.Errorf("update: %w", err)
	}
	if ablate.Off(ablate.R09AckAfter) {
		go s.leave(g)
		return nil
	}
	s.leave(g)
	<-g.done
	if g.err != nil {
		return fmt.Errorf("update: %w", g.err)
	}
	return nil
}

// leave passes the turn on, and ends the group if nobody joins it.
func (s *Store) leave(g *group) {
	if s.queue.pass(g) {
		return
	}
	s.finish(g)
	s.queue.release()
}

// Statements that bracket a transaction; they never wait for a context, so
// that the connection is always left without one.
const (
	sqlBegin      = `BEGIN IMMEDIATE`
	sqlCommit     = `COMMIT`
	sqlRollback   = `ROLLBACK`
	sqlSavepoint  = `SAVEPOINT call`
	sqlRelease    = `RELEASE call`
	sqlRollbackTo = `ROLLBACK TO call`
)

// call runs the steps of one caller in the group's transaction.
//
// The savepoint is around the call, not around each step: a failed step fails
// its call, so there is nothing of it to keep. The first call of a group needs
// none, because without it the transaction is empty: on a quiet server, no
// page is copied for a savepoint.
func (s *Store) call(ctx context.Context, g *group, steps []store.Step) error {
	background := context.WithoutCancel(ctx)
	if !g.begun {
		if _, err := s.writer.exec(background, sqlBegin); err != nil {
			if errors.Is(err, store.ErrBusy) {
				s.queue.refuse(err)
			}
			return err
		}
		g.begun = true
		g.timer = time.AfterFunc(s.queue.limits.time, func() { g.old.Store(true) })
		if err := s.here(background); err != nil {
			s.undo(g, err)
			return err
		}
	} else if _, err := s.writer.exec(background, sqlSavepoint); err != nil {
		g.broken = err
		return err
	}
	rows, err := s.steps(ctx, background, steps)
	if err != nil {
		s.undo(g, err)
		return err
	}
	if g.calls > 0 {
		if _, err := s.writer.exec(background, sqlRelease); err != nil {
			g.broken = err
			return err
		}
	}
	g.calls++
	g.rows += rows
	return nil
}

// here makes sure that the file was not moved since it was opened. The
// transaction holds the file's lock, so that stays so until it ends.
func (s *Store) here(ctx context.Context) error {
	version, err := one(&session{conn: s.writer, ctx: ctx}, store.ErrNotFound, func(c *cursor) int64 { return c.Int(0) }, sqlUserVersion)
	if err == nil && version >= movedVersion {
		err = store.ErrMoved
	}
	return err
}

// steps runs steps in order, and after them the steps that they return.
func (s *Store) steps(ctx, background context.Context, steps []store.Step) (rows int, err error) {
	todo := slices.Clone(steps)
	for len(todo) > 0 {
		if err := ctx.Err(); err != nil {
			return rows, err
		}
		then, n, err := s.step(background, todo[0])
		if err != nil {
			return rows, err
		}
		rows += n
		todo = append(todo[1:], then...)
	}
	return rows, nil
}

// step runs one step.
func (s *Store) step(ctx context.Context, step store.Step) (then []store.Step, rows int, err error) {
	t := &tx{session: session{conn: s.writer, ctx: ctx}, scopes: step.Scopes}
	defer func() { t.err = errEnded }()
	if then, err = step.Do(t); err != nil {
		return nil, 0, err
	}
	if err := t.end(); err != nil {
		return nil, 0, err
	}
	return then, t.rows, nil
}

var errPanicked = errors.New("step panicked")

// undo removes what the running call wrote, and nothing else. If that fails,
// the transaction is not what the group thinks it is, and the group fails by
// the same cause: after a full disk, SQLite may have undone all of it.
func (s *Store) undo(g *group, cause error) {
	ctx := context.Background()
	switch {
	case !g.begun:
	case g.calls == 0:
		if _, err := s.writer.exec(ctx, sqlRollback); err != nil && !noTransaction(err) {
			g.broken = errors.Join(shared(cause), err)
			return
		}
		g.begun = false
		g.timer.Stop()
	default:
		_, err := s.writer.exec(ctx, sqlRollbackTo)
		if err == nil {
			_, err = s.writer.exec(ctx, sqlRelease)
		}
		if err != nil {
			g.broken = fmt.Errorf("the transaction was lost with another call: %w", errors.Join(shared(cause), err))
		}
	}
}

// shared is the part of a call's error that the others of its group may see:
// that the disk is full, but not a refusal that is the call's own.
func shared(err error) error {
	for _, e := range []error{store.ErrFull, store.ErrBusy} {
		if errors.Is(err, e) {
			return e
		}
	}
	return nil
}

// finish commits the group and tells its callers the outcome.
func (s *Store) finish(g *group) {
	defer close(g.done)
	if !g.begun {
		return
	}
	g.timer.Stop()
	ctx := context.Background()
	err := g.broken
	if err == nil {
		err = s.options.Commit(func() error { _, err := s.writer.exec(ctx, sqlCommit); return err })
		if err == nil {
			return
		}
	}
	g.err = fmt.Errorf("commit: %w", translate(err))
	// Leave the connection without a transaction, or the next group would join
	// the failed one.
	if _, err := s.writer.exec(ctx, sqlRollback); err != nil && !noTransaction(err) {
		g.err = errors.Join(g.err, err)
	}
}
