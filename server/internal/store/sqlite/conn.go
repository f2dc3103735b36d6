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
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// conn is one connection with its prepared statements. It is used by one
// goroutine at a time.
//
// It stands on the driver and not on database/sql, whose locks and conversions
// cost a third of a row's insert.
type conn struct {
	driver     driver.Conn
	statements map[string]*statement
	damages    *tables.Damages // of the store; nil for a connection of none
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
	return &cursor{statement: s, rows: rows, Cursor: tables.Cursor[driver.Value]{Row: make([]driver.Value, len(rows.Columns()))}}, nil
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
	tables.Cursor[driver.Value]
	statement *statement
	rows      driver.Rows
}

// next moves to the next row. It returns false at the end and after an error,
// which close returns.
func (c *cursor) next() bool {
	if c.Err == nil {
		c.Err = c.rows.Next(c.Row)
	}
	return c.Err == nil
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
	if c.Err == nil || errors.Is(c.Err, io.EOF) {
		return nil
	}
	return translate(c.Err)
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
	if e.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER { // there are no triggers but those of a file that was moved
		return fmt.Errorf("%w: %w", store.ErrMoved, err)
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
