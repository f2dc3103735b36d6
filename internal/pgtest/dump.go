package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNoRoom is what PostgreSQL answers when a disk is full, for hands on a
// commit.
var ErrNoRoom error = &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "53100", Message: "no space left on device"}

// Dumper copies the rows of all tables of a database's schema into memory, and
// back. It takes milliseconds where a [Snapshot] takes some hundred, cuts no
// connection, and may be used from any goroutine, by one at a time; it copies no
// schema and no counter of a sequence.
type Dumper struct{ conn *pgx.Conn }

// Dump is what was in the tables at a moment.
type Dump []table

type table struct {
	name string // quoted
	rows []byte
}

// OpenDumper connects to the database of a URL, by its rights.
func OpenDumper(ctx context.Context, at string) (*Dumper, error) {
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("connect to copy tables: %w", err)
	}
	return &Dumper{conn}, nil
}

// Close ends the connection.
func (d *Dumper) Close(ctx context.Context) error { return d.conn.Close(ctx) }

// Dump copies the rows of all tables, as of one moment.
func (d *Dumper) Dump(ctx context.Context) (dump Dump, err error) {
	err = pgx.BeginTxFunc(ctx, d.conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		names, err := tablesOf(ctx, tx)
		for _, name := range names {
			var rows bytes.Buffer
			if _, err := tx.Conn().PgConn().CopyTo(ctx, &rows, "COPY "+name+" TO STDOUT (FORMAT binary)"); err != nil {
				return fmt.Errorf("copy table %s: %w", name, err)
			}
			dump = append(dump, table{name, rows.Bytes()})
		}
		return err
	})
	return dump, err
}

// Load makes the rows of all tables what they were, in one transaction. It
// refuses a dump of other tables.
func (d *Dumper) Load(ctx context.Context, dump Dump) error {
	return pgx.BeginFunc(ctx, d.conn, func(tx pgx.Tx) error {
		names, err := tablesOf(ctx, tx)
		if err != nil {
			return err
		}
		if len(names) != len(dump) {
			return errors.New("load a dump: it is of other tables")
		}
		if _, err := tx.Exec(ctx, "TRUNCATE "+strings.Join(names, ", ")); err != nil {
			return fmt.Errorf("empty the tables: %w", err)
		}
		for _, t := range dump {
			if _, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(t.rows), "COPY "+t.name+" FROM STDIN (FORMAT binary)"); err != nil {
				return fmt.Errorf("fill table %s: %w", t.name, err)
			}
		}
		return nil
	})
}

// Clear drops whatever is in the schema public: the database is empty again, as
// at its beginning.
func (d *Dumper) Clear(ctx context.Context) error {
	_, err := d.conn.Exec(ctx, "DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION pg_database_owner")
	if err != nil {
		return fmt.Errorf("clear a database: %w", err)
	}
	return nil
}

// tablesOf returns the names of the tables in the first schema of the search
// path, quoted and in order.
func tablesOf(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, "SELECT quote_ident(relname) FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') ORDER BY relname")
	if err != nil {
		return nil, fmt.Errorf("list the tables: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(names) == 0 {
		err = errors.New("list the tables: there are none")
	}
	return names, err
}
