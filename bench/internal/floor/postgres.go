package floor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Copied is the rows of a table in PostgreSQL, as COPY writes them.
type Copied struct {
	Table   string
	Records int
	Batches [][]byte // each BatchSize rows, but the last
	Bytes   int64
}

// LoadCopies reads tables of a finished database, such as the server's after a push, in the order in which
// their rows lie, so that the floor inserts the very rows that the server did.
func LoadCopies(ctx context.Context, url string, tables ...string) (out []Copied, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("load rows: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, name := range tables {
		c := Copied{Table: name}
		for {
			var batch bytes.Buffer
			tag, err := conn.PgConn().CopyTo(ctx, &batch, fmt.Sprintf(
				`COPY (SELECT * FROM %s ORDER BY ctid LIMIT %d OFFSET %d) TO STDOUT (FORMAT binary)`, pgx.Identifier{name}.Sanitize(), BatchSize, c.Records))
			if err != nil {
				return nil, fmt.Errorf("load table %s: %w", name, err)
			}
			n := int(tag.RowsAffected())
			if n == 0 {
				break
			}
			c.Records += n
			c.Batches = append(c.Batches, batch.Bytes())
			c.Bytes += int64(batch.Len())
			if n < BatchSize {
				break
			}
		}
		out = append(out, c)
	}
	return out, nil
}

// Copies is the floor of B and F on PostgreSQL: the rows of all tables into equal tables, with the same
// indexes and checks, by COPY, which is the fastest way in, BatchSize rows of each table to a transaction,
// on several connections at once. The rows were encoded before. The records of the result are the rows of
// the first table.
func Copies(ctx context.Context, url string, connections int, tables ...Copied) (res Result, err error) {
	if err := twins(ctx, url, tables); err != nil {
		return res, fmt.Errorf("floor of copies: %w", err)
	}
	conns := make([]*pgx.Conn, connections)
	defer func() {
		for _, c := range conns {
			if c != nil {
				err = errors.Join(err, c.Close(ctx))
			}
		}
	}()
	for i := range conns {
		if conns[i], err = pgx.Connect(ctx, url); err != nil {
			return res, fmt.Errorf("floor of copies: %w", err)
		}
		if err := durable(ctx, conns[i]); err != nil {
			return res, fmt.Errorf("floor of copies: %w", err)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	start := time.Now()
	for i, conn := range conns {
		wg.Go(func() {
			if e := copyShare(ctx, conn, i, connections, tables); e != nil {
				mu.Lock()
				defer mu.Unlock()
				err = errors.Join(err, e)
			}
		})
	}
	wg.Wait()
	res.Elapsed = time.Since(start)
	if err != nil {
		return res, fmt.Errorf("floor of copies: %w", err)
	}
	for _, t := range tables {
		res.Bytes += t.Bytes
	}
	if len(tables) > 0 {
		res.Records = tables[0].Records
	}
	return res, nil
}

// twin is the table that a floor writes instead.
func twin(name string) string { return pgx.Identifier{"floor_" + name}.Sanitize() }

func twins(ctx context.Context, url string, tables []Copied) (err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	for _, t := range tables {
		if _, err := conn.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s (LIKE %s INCLUDING ALL)`, twin(t.Table), pgx.Identifier{t.Table}.Sanitize())); err != nil {
			return err
		}
	}
	return nil
}

// durable asserts how the server keeps what it is given.
func durable(ctx context.Context, conn *pgx.Conn) error {
	var fsync, pages, commit string
	err := conn.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')`).Scan(&fsync, &pages, &commit)
	if err == nil && (fsync != "on" || pages != "on" || commit == "off") {
		err = fmt.Errorf("PostgreSQL with fsync %s, full_page_writes %s, synchronous_commit %s: %w", fsync, pages, commit, ErrWeaker)
	}
	return err
}

// copyShare writes every n-th batch, from the i-th on.
func copyShare(ctx context.Context, conn *pgx.Conn, i, n int, tables []Copied) error {
	for ; ; i += n {
		left := false
		for _, t := range tables {
			left = left || i < len(t.Batches)
		}
		if !left {
			return nil
		}
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		for _, t := range tables {
			if i >= len(t.Batches) {
				continue
			}
			if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(t.Batches[i]), `COPY `+twin(t.Table)+` FROM STDIN (FORMAT binary)`); err != nil {
				return errors.Join(err, tx.Rollback(ctx))
			}
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
	}
}
