package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sambang-id/sambang/server/internal/store"
)

// sqlView begins a view; its snapshot is taken by the first query, with which
// it is sent.
const sqlView = `BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`

// View implements [store.Store]: fn sees the whole store as of one commit, on
// Citus each scope as of one. While it runs, the database keeps what others
// replace meanwhile, so it should be short.
func (s *Store) View(ctx context.Context, fn func(store.Reader) error) error {
	err := s.view(ctx, func(v *session) error { return fn(v) })
	if err != nil {
		return fmt.Errorf("view: %w", err)
	}
	return nil
}

// view runs fn in a read transaction.
func (s *Store) view(ctx context.Context, fn func(*session) error) error {
	if err := s.gate.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	conn, err := s.reader(ctx)
	if err != nil {
		return err
	}
	v := &session{store: s, conn: conn, ctx: ctx, fresh: true, queue: []command{{text: sqlView}}}
	defer v.leave()
	return fn(v)
}

// reader takes a connection for a view. While the server is started again, it
// waits for it.
func (s *Store) reader(ctx context.Context) (*pgxpool.Conn, error) {
	for try := 1; ; try++ {
		conn, err := s.readers.Acquire(ctx)
		if err == nil {
			return conn, nil
		}
		err = translate(ctx, err)
		switch {
		case !transient(err, s.citus.Load()):
			return nil, err
		case try >= s.options.Tries:
			return nil, fmt.Errorf("%w: %w", store.ErrBusy, err)
		}
		if err := pause(ctx, try); err != nil {
			return nil, err
		}
	}
}

var _ store.Reader = (*session)(nil)

var _ store.Tx = (*tx)(nil)
