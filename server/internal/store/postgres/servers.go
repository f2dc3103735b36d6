package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sambang-id/sambang/server/internal/store"
)

var (
	_ store.TokenMemory = (*Store)(nil)
	_ store.ServerPin   = (*Store)(nil)
	_ store.Clock       = (*Store)(nil)
	_ store.Pooled      = (*Store)(nil)
)

const (
	// sqlLazily lets the commit not wait for the disk: a second of what was
	// remembered may be lost by a crash, and nobody was promised more.
	sqlLazily   = `SET LOCAL synchronous_commit = off`
	sqlForget   = `DELETE FROM used_tokens WHERE scope = $1 AND ends < $2`
	sqlUseToken = `INSERT INTO used_tokens (scope, jti, ends) VALUES ($1, $2, $3) ON CONFLICT (scope, jti) DO NOTHING`
	sqlPin      = `INSERT INTO servers (scope, server) VALUES ($1, $2) ON CONFLICT (scope) DO NOTHING`
	sqlPinned   = `SELECT server FROM servers WHERE scope = $1`
	// Not now(), which is when the transaction began.
	sqlTime = `SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
)

// UseToken implements [store.TokenMemory], in one round trip. When the answer
// is lost it asks again, and a token whose first record was kept counts as
// used: the device makes another.
func (s *Store) UseToken(ctx context.Context, device, jti string, end, now int64) (fresh bool, err error) {
	scope := store.DeviceScope(device)
	err = s.small(ctx,
		command{text: sqlBegin}, command{text: sqlLazily},
		command{text: sqlForget, args: []any{scope, now - store.TokenSlack}},
		command{text: sqlUseToken, args: []any{scope, jti, end}, done: func(tag pgconn.CommandTag) { fresh = tag.RowsAffected() == 1 }},
		command{text: sqlCommit})
	if err != nil {
		return false, fmt.Errorf("remember a token: %w", err)
	}
	return fresh, nil
}

// PinServer implements [store.ServerPin].
func (s *Store) PinServer(ctx context.Context, server string) (string, error) {
	var found []string
	// Two statements, and not RETURNING: the second sees what another server
	// has pinned in between.
	err := s.small(ctx, command{text: sqlPin, args: []any{store.RegistryScope, server}}, into(&found, readText, sqlPinned, store.RegistryScope))
	if err == nil && len(found) != 1 {
		err = errors.New("it was not kept")
	}
	if err != nil {
		return "", fmt.Errorf("pin the server of the store: %w", err)
	}
	return found[0], nil
}

// PinnedServer implements [store.ServerPin].
func (s *Store) PinnedServer(ctx context.Context) (string, error) {
	var found []string
	if err := s.small(ctx, into(&found, readText, sqlPinned, store.RegistryScope)); err != nil {
		return "", fmt.Errorf("read the server of the store: %w", err)
	}
	if len(found) == 0 {
		return "", nil
	}
	return found[0], nil
}

// Time implements [store.Clock].
func (s *Store) Time(ctx context.Context) (int64, error) {
	var found []int64
	err := s.small(ctx, into(&found, readInt, sqlTime))
	if err == nil && len(found) != 1 {
		err = errors.New("it does not say")
	}
	if err != nil {
		return 0, fmt.Errorf("read the clock of the database: %w", err)
	}
	return found[0], nil
}

// small sends a few commands that may run twice, on a connection of the
// readers: they never wait behind a push. Outside of a transaction that the
// commands begin, each is one by itself. It tries again after what may pass.
func (s *Store) small(ctx context.Context, commands ...command) error {
	if err := s.gate.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	for try := 1; ; try++ {
		err := s.once(ctx, commands)
		switch {
		case !transient(err, s.citus):
			return err
		case try >= s.options.Tries:
			return fmt.Errorf("%w: %w", store.ErrBusy, err)
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

func (s *Store) once(ctx context.Context, commands []command) error {
	conn, err := s.readers.Acquire(ctx)
	if err != nil {
		return translate(ctx, err)
	}
	t := session{store: s, conn: conn, ctx: ctx, patience: stepPatience}
	defer t.leave() // which undoes what failed half-way
	return t.send(commands...)
}

// Pools implements [store.Pooled].
func (s *Store) Pools() []store.Pool {
	of := func(name string, p *pgxpool.Pool) store.Pool {
		st := p.Stat()
		return store.Pool{
			Name: name, Busy: int(st.AcquiredConns()), Idle: int(st.IdleConns()), Most: int(st.MaxConns()),
			Opened: uint64(st.NewConnsCount()), Waits: uint64(st.EmptyAcquireCount()), Waited: st.EmptyAcquireWaitTime().Seconds(), //nolint:gosec // not negative
		}
	}
	return []store.Pool{of("writers", s.writers), of("readers", s.readers)}
}
