package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// errEnded is what a Tx or Reader gives that outlived its function.
var errEnded = errors.New("transaction has ended")

// session is a connection within one transaction. Its first error is its last:
// after a failed statement nobody knows what of the transaction stands, so
// whatever follows fails with the same error and the transaction is undone,
// also if the caller dropped it.
type session struct {
	store *Store
	conn  *pgxpool.Conn
	ctx   context.Context
	err   error
	// queue are the statements that nobody waits for. They go with the next
	// that somebody waits for.
	queue []command
	// patience bounds how long an answer is waited for when the server says
	// nothing at all; 0: as long as ctx. Its own timeouts are shorter.
	patience time.Duration
	// fresh: nothing was answered yet, so that another connection may take the
	// place of one that turns out to be dead.
	fresh bool
}

// leave ends the transaction, if there is one, and gives the connection back.
func (s *session) leave() {
	s.err = errEnded
	conn := s.conn
	if conn == nil {
		return
	}
	s.conn = nil
	if c := conn.Conn(); inTransaction(c) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), cancelTime)
		defer cancel()
		_, _ = c.Exec(ctx, `ROLLBACK`) // if it fails, the connection leaves the pool
	}
	conn.Release()
}

// inTransaction reports whether the server has said that a transaction is open
// on the connection, failed or not.
func inTransaction(c *pgx.Conn) bool {
	const idle = 'I'
	return !c.IsClosed() && c.PgConn().TxStatus() != idle
}

// open reports whether the transaction is certainly not committed, because it
// is still there.
func (s *session) open() bool { return s.conn != nil && inTransaction(s.conn.Conn()) }

func (s *session) keep(err error) error {
	if err != nil && s.err == nil {
		s.err = err
	}
	return err
}

// later adds a statement to those of the next round trip.
func (s *session) later(c command) error {
	if s.err == nil {
		s.queue = append(s.queue, c)
	}
	return s.err
}

// send crosses the network once, with all that waits and the commands.
func (s *session) send(commands ...command) error {
	if s.err != nil {
		return s.err
	}
	all := append(s.queue, commands...)
	s.queue = nil
	if len(all) == 0 {
		return nil
	}
	err := s.exchange(all)
	for tries := 0; s.fresh && transient(err, false) && tries < maxFresh; tries++ {
		if err = s.replace(); err != nil {
			break
		}
		err = s.exchange(all)
	}
	s.fresh = false
	return s.keep(err)
}

// maxFresh is how many dead connections a view may find in the pool, after the
// server was started again.
const maxFresh = 16

// replace takes another connection.
func (s *session) replace() error {
	s.conn.Release() // a dead one leaves the pool
	s.conn = nil
	conn, err := s.store.reader(s.ctx)
	s.conn = conn
	return err
}

func (s *session) exchange(commands []command) error {
	ctx := s.ctx
	if s.patience > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.patience)
		defer cancel()
	}
	return exchange(ctx, s.conn.Conn(), s.store.damages, commands)
}

// exchange sends commands and takes their answers: one round trip, and another
// before it for statements that the connection did not know.
func exchange(ctx context.Context, conn *pgx.Conn, damages *tables.Damages, commands []command) error {
	b := &pgx.Batch{}
	for i := range commands {
		b.Queue(commands[i].text, commands[i].args...)
	}
	results := conn.SendBatch(ctx, b)
	for i := range commands {
		c := &commands[i]
		if err := c.read(results, damages); err != nil {
			_ = results.Close() // says the same
			err = translate(ctx, err)
			if c.what != nil {
				err = fmt.Errorf("%s: %w", c.what(), err)
			}
			return err
		}
	}
	return translate(ctx, results.Close())
}

// attempt runs a read that may come upon damage. A read that found the sum of
// a row wrong has failed in nothing else, so the session goes on after it; what
// the server could not read has ended its transaction.
func (s *session) attempt(read func() error) error {
	if s.err != nil {
		return s.err
	}
	err := read()
	var f *failure
	if errors.Is(err, store.ErrDamaged) && !errors.As(err, &f) {
		s.err = nil
	}
	return err
}

// each calls scan with each row of a query, until scan reports false. Scan must
// not use the session.
func (s *session) each(text string, scan func(*cursor) bool) error {
	return s.send(command{text: text, scan: scan})
}

// collect returns the rows of a query: none if it asks for a text that no row
// can have.
func collect[T any](s *session, scan func(*tables.Cursor[any]) T, text string, args ...any) ([]T, error) {
	var out []T
	if s.err == nil && slices.ContainsFunc(args, unheard) {
		return nil, nil
	}
	if err := s.send(into(&out, scan, text, args...)); err != nil {
		return nil, err
	}
	return out, nil
}

// one returns the only row of a query, or missing.
func one[T any](s *session, missing error, scan func(*tables.Cursor[any]) T, text string, args ...any) (T, error) {
	out, err := collect(s, scan, text, args...)
	var zero T
	switch {
	case err != nil:
		return zero, err
	case len(out) == 0:
		return zero, missing
	}
	return out[0], nil
}

// list is a parameter for "= ANY".
func list[T any](values []T, bytes func(*T) []byte) [][]byte {
	out := make([][]byte, len(values))
	for i := range values {
		out[i] = bytes(&values[i])
	}
	return out
}
