package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// conn is one connection with its prepared statements. It is used by one
// goroutine at a time.
//
// It stands on the driver and not on database/sql, whose locks and conversions
// cost a third of a row's insert.
type conn struct {
	driver     driver.Conn
	statements map[string]*statement
	damages    *damages // of the store; nil for a connection of none
}

// driverStatement is what the driver's statements can do.
type driverStatement interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement is a prepared statement; busy while a cursor of it is open.
type statement struct {
	driverStatement
	args   []driver.NamedValue
	busy   bool
	cached bool
}

func connect(ctx context.Context, dsn string) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	c, err := connector.Connect(ctx)
	if err != nil {
		return nil, translate(err)
	}
	return &conn{driver: c, statements: map[string]*statement{}}, nil
}

func (c *conn) close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, c.driver.Close())...)
}

// prepare returns the statement of a text, from the cache unless a cursor of
// it is open.
func (c *conn) prepare(ctx context.Context, text string) (*statement, error) {
	s := c.statements[text]
	if s != nil && !s.busy {
		return s, nil
	}
	prepared, err := c.driver.(driver.ConnPrepareContext).PrepareContext(ctx, text)
	if err != nil {
		return nil, translate(err)
	}
	fresh := &statement{driverStatement: prepared.(driverStatement), cached: s == nil}
	if fresh.cached {
		c.statements[text] = fresh
	}
	return fresh, nil
}

// bind takes over the arguments: int64, string, []byte, bool and nil, as the
// driver knows them.
func (s *statement) bind(args []any) []driver.NamedValue {
	s.args = s.args[:0]
	for i, a := range args {
		s.args = append(s.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return s.args
}

// run executes the statement and returns how many rows it changed.
func (s *statement) run(ctx context.Context, args ...any) (int64, error) {
	res, err := s.ExecContext(ctx, s.bind(args))
	if err != nil {
		return 0, translate(err)
	}
	return res.RowsAffected()
}

// query opens a cursor, which the caller closes.
func (s *statement) query(ctx context.Context, args ...any) (*cursor, error) {
	rows, err := s.QueryContext(ctx, s.bind(args))
	if err != nil {
		if !s.cached {
			err = errors.Join(err, s.Close())
		}
		return nil, translate(err)
	}
	s.busy = true
	return &cursor{statement: s, rows: rows, row: make([]driver.Value, len(rows.Columns()))}, nil
}

// exec prepares and runs one statement.
func (c *conn) exec(ctx context.Context, text string, args ...any) (int64, error) {
	s, err := c.prepare(ctx, text)
	if err != nil {
		return 0, err
	}
	n, err := s.run(ctx, args...)
	if !s.cached {
		err = errors.Join(err, s.Close())
	}
	return n, err
}

// cursor reads the rows of a query.
type cursor struct {
	statement *statement
	rows      driver.Rows
	row       []driver.Value
	damages   *damages
	err       error
}

// next moves to the next row. It returns false at the end and after an error,
// which close returns.
func (c *cursor) next() bool {
	if c.err == nil {
		c.err = c.rows.Next(c.row)
	}
	return c.err == nil
}

// fail makes the cursor end with an error: a column is not what it must be.
func (c *cursor) fail(column int, want string) {
	if c.err == nil {
		c.err = fmt.Errorf("column %d of the result is not %s: %w", column, want, store.ErrDamaged)
	}
}

// close frees the cursor and returns the error at which reading stopped.
func (c *cursor) close() error {
	err := c.end()
	err = errors.Join(err, c.rows.Close())
	c.statement.busy = false
	if !c.statement.cached {
		err = errors.Join(err, c.statement.Close())
	}
	if err != nil {
		return translate(err)
	}
	return nil
}

// end returns the error at which reading stopped.
func (c *cursor) end() error {
	if c.err == nil || errors.Is(c.err, io.EOF) {
		return nil
	}
	return translate(c.err)
}

func (c *cursor) int(i int) int64 {
	if n, ok := c.row[i].(int64); ok {
		return n
	}
	if c.row[i] != nil {
		c.fail(i, "a number")
	}
	return 0
}

func (c *cursor) uint(i int) uint64 {
	n := c.int(i)
	if n < 0 {
		c.fail(i, "a positive number")
		return 0
	}
	return uint64(n)
}

func (c *cursor) bool(i int) bool { return c.int(i) != 0 }

func (c *cursor) text(i int) string {
	if s, ok := c.row[i].(string); ok {
		return s
	}
	if c.row[i] != nil {
		c.fail(i, "text")
	}
	return ""
}

// blob returns the bytes of a column, nil for none. They belong to the caller.
func (c *cursor) blob(i int) []byte {
	if b, ok := c.row[i].([]byte); ok {
		return b
	}
	if c.row[i] != nil {
		c.fail(i, "bytes")
	}
	return nil
}

// fixed copies the bytes of a column into all of to.
func (c *cursor) fixed(i int, to []byte) {
	if b := c.blob(i); len(b) == len(to) {
		copy(to, b)
	} else {
		c.fail(i, fmt.Sprintf("%d bytes", len(to)))
	}
}

func (c *cursor) id(i int) (id syncproto.RecordID) {
	if c.row[i] != nil {
		c.fixed(i, id[:])
	}
	return id
}

func (c *cursor) digest(i int) (d syncproto.Digest) {
	c.fixed(i, d[:])
	return d
}

// translate makes an error of the driver one that callers branch on.
func translate(err error) error {
	var e *sqlite.Error
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case !errors.As(err, &e):
		return err
	}
	const primary = 0xff
	switch e.Code() & primary {
	case sqlite3.SQLITE_FULL:
		return fmt.Errorf("%w: %w", store.ErrFull, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return fmt.Errorf("%w: %w", store.ErrBusy, err)
	case sqlite3.SQLITE_CORRUPT:
		return fmt.Errorf("%w: %w", store.ErrDamaged, err)
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", store.ErrForeign, err)
	}
	return err
}
