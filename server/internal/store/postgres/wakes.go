package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"github.com/sambang-id/sambang/server/internal/store"
)

var _ store.Wakes = (*Store)(nil)

// wakeChannel is where the servers of a database tell each other. What they tell
// is only who told it. On Citus all of them must be connected to the same node,
// as they are: the coordinator.
const (
	wakeChannel = `sambang_wake`
	sqlTell     = `SELECT pg_notify('` + wakeChannel + `', $1)::text`
	sqlHear     = `LISTEN ` + wakeChannel
)

// Tell implements [store.Wakes]. The database lets one notification commit at a
// time, so it is a transaction of its own, after the pushes and never within
// one, and does not wait for the disk.
func (s *Store) Tell(ctx context.Context) error {
	err := s.small(ctx,
		command{text: sqlBegin}, command{text: sqlLazily},
		command{text: sqlTell, args: []any{s.self}, scan: func(*cursor) bool { return true }},
		command{text: sqlCommit})
	if err != nil {
		return fmt.Errorf("tell the other servers: %w", err)
	}
	return nil
}

// Hear implements [store.Wakes], on a connection of its own.
func (s *Store) Hear(ctx context.Context, heard func()) error {
	config := s.readers.Config().ConnConfig
	// Nothing runs on it that would have to be cancelled.
	config.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
		return &pgconn.DeadlineContextWatcherHandler{Conn: conn.Conn()}
	}
	err := s.hear(ctx, config, heard)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("hear of the other servers: %w", hide(translate(ctx, err), config.Password))
}

func (s *Store) hear(ctx context.Context, config *pgx.ConnConfig, heard func()) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	if _, err := conn.Exec(ctx, sqlHear); err != nil {
		return err
	}
	for heard(); ; {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if n.Payload != s.self {
			heard()
		}
	}
}
