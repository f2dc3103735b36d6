package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
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

// ViewAs implements [store.GrantedViewer]: a view as another role, which the
// policies of the tables hold to the grants. They are in the round trip of the
// first query.
func (s *Store) ViewAs(ctx context.Context, grants syncproto.Grants, now int64, fn func(store.Reader) error) error {
	if s.standing.reader == "" {
		return s.View(ctx, fn)
	}
	if err := s.standing.unlocked(); err != nil {
		return fmt.Errorf("view for headquarters: %w", err)
	}
	of, err := readerSetting(grants, now)
	if err != nil {
		return err
	}
	become := []command{
		{text: `SET LOCAL ROLE ` + ident(s.standing.reader)},
		{text: `SELECT set_config('sambang.reader', $1, true)`, args: []any{of}, scan: func(*cursor) bool { return true }},
	}
	if err := s.view(ctx, func(v *session) error { return fn(v) }, become...); err != nil {
		return fmt.Errorf("view for headquarters: %w", err)
	}
	return nil
}

// Locked reports whether ViewAs is under the second lock.
func (s *Store) Locked() bool { return s.standing.reader != "" && s.standing.unlocked() == nil }

var _ store.GrantedViewer = (*Store)(nil)

// readerSetting is what the policies read.
func readerSetting(grants syncproto.Grants, now int64) (string, error) {
	type grant struct {
		Region  syncproto.Region  `json:"region"`
		Classes []syncproto.Class `json:"classes"`
		Until   int64             `json:"until"`
	}
	of := struct {
		Now    int64   `json:"now"`
		Grants []grant `json:"grants"`
	}{now, make([]grant, 0, len(grants))}
	for _, g := range grants {
		of.Grants = append(of.Grants, grant(g))
	}
	b, err := json.Marshal(of)
	if err != nil {
		return "", fmt.Errorf("tell the database what a reader may see: %w", err)
	}
	return string(b), nil
}

// view runs fn in a read transaction, after the commands first.
func (s *Store) view(ctx context.Context, fn func(*session) error, first ...command) error {
	if err := s.gate.enter(ctx); err != nil {
		return err
	}
	defer s.gate.leave()
	conn, err := s.reader(ctx)
	if err != nil {
		return err
	}
	v := &session{store: s, conn: conn, ctx: ctx, fresh: true, queue: append([]command{{text: sqlView}}, first...)}
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
