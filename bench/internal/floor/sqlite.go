package floor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the engine that the server uses
)

// Table is rows to insert and where to.
type Table struct {
	Schema []string // statements that make the table and its indexes
	Insert string   // one row, its columns as $1, $2, ...
	Rows   [][]any  // each of the columns of Insert, as database/sql takes them
}

// Inserts is the floor of B: the rows of all tables, BatchSize rows of each table to a transaction, row by
// row with prepared statements (the fastest of the ways tried, STORAGE 6). The records of the result are
// the rows of the first table. dir is an existing directory without a database of an earlier run.
func Inserts(ctx context.Context, dir string, tables ...Table) (Result, error) {
	res := Result{Path: filepath.Join(dir, "floor.sqlite")}
	if _, err := os.Lstat(res.Path); err == nil {
		return res, fmt.Errorf("floor of inserts: database of an earlier run: %w: %s", os.ErrExist, res.Path)
	}
	db, err := openDurable(ctx, res.Path)
	if err != nil {
		return res, fmt.Errorf("floor of inserts: %w", err)
	}
	if err := errors.Join(insert(ctx, db, tables, &res), db.Close()); err != nil {
		return res, fmt.Errorf("floor of inserts: %w", err)
	}
	return res, nil
}

// openDurable opens the one connection that writes, and asserts how it writes.
func openDurable(ctx context.Context, path string) (*sql.DB, error) {
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	var mode string
	var level int
	err = errors.Join(
		db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode),
		db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&level))
	const full = 2
	if err == nil && (mode != "wal" || level != full) {
		err = fmt.Errorf("SQLite in journal mode %s, synchronous %d: %w", mode, level, ErrWeaker)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func insert(ctx context.Context, db *sql.DB, tables []Table, res *Result) error {
	statements := make([]*sql.Stmt, len(tables))
	rows := 0
	for i, t := range tables {
		for _, ddl := range t.Schema {
			if _, err := db.ExecContext(ctx, ddl); err != nil {
				return fmt.Errorf("create %q: %w", ddl, err)
			}
		}
		s, err := db.PrepareContext(ctx, t.Insert)
		if err != nil {
			return fmt.Errorf("prepare %q: %w", t.Insert, err)
		}
		defer s.Close()
		statements[i] = s
		rows = max(rows, len(t.Rows))
		for _, row := range t.Rows {
			res.Bytes += size(row)
		}
	}
	start := time.Now()
	for from := 0; from < rows; from += BatchSize {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for i, t := range tables {
			s := tx.StmtContext(ctx, statements[i])
			for _, row := range t.Rows[min(from, len(t.Rows)):min(from+BatchSize, len(t.Rows))] {
				if _, err := s.ExecContext(ctx, row...); err != nil {
					return errors.Join(fmt.Errorf("%q: %w", t.Insert, err), tx.Rollback())
				}
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	res.Elapsed = time.Since(start)
	if len(tables) > 0 {
		res.Records = len(tables[0].Rows)
	}
	return nil
}

// size is how many bytes a row's text and blobs have, and 8 for each number.
func size(row []any) int64 {
	var n int
	for _, v := range row {
		switch v := v.(type) {
		case nil:
		case []byte:
			n += len(v)
		case string:
			n += len(v)
		default:
			n += 8
		}
	}
	return int64(n)
}
