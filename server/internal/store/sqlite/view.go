package sqlite

import (
	"context"
	"errors"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
)

// View implements [store.Store]: fn sees the whole store as of one commit.
// While it runs, the log can't be moved into the file, so it should be short.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	err := s.view(ctx, func(v *session) error { return fn(v) })
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}

// view runs fn in a read transaction.
func (s *Store) view(ctx context.Context, fn func(*session) error) (err error) {
	c, err := s.readers.take(ctx)
	if err != nil {
		return err
	}
	defer s.readers.put(c)
	if _, err := c.exec(context.WithoutCancel(ctx), `BEGIN`); err != nil {
		return err
	}
	v := &session{conn: c, ctx: ctx}
	defer func() {
		v.err = errEnded
		if _, rollback := c.exec(context.WithoutCancel(ctx), sqlRollback); rollback != nil && !noTransaction(rollback) {
			err = errors.Join(err, rollback)
		}
	}()
	return fn(v)
}

var _ store.Reader = (*session)(nil)

var _ store.Tx = (*tx)(nil)
