package floor_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/bench/internal/floor"
	"github.com/sambang-id/sambang/internal/pgtest"
)

func TestCopiesLeaveEveryRowOfATableInItsTwin(t *testing.T) {
	c := pgtest.Start(t)
	at := c.Admin(c.Database(t))
	const n = 2*floor.BatchSize + 20
	c.Exec(t, at, `CREATE TABLE records (id bigint PRIMARY KEY, doc json, state bytea)`, `CREATE TABLE changes (id bigint)`,
		`INSERT INTO records SELECT n, '{"a": 1}', '\x00ff' FROM generate_series(1, 1020) n`, `INSERT INTO changes VALUES (7)`)
	rows, err := floor.LoadCopies(t.Context(), at, "records", "changes")
	if err != nil {
		t.Fatal(err)
	}
	if rows[0].Records != n || len(rows[0].Batches) != 3 || rows[1].Records != 1 || bytes.Equal(rows[0].Batches[0], rows[0].Batches[1]) {
		t.Errorf("loaded %d records in %d batches, %d", rows[0].Records, len(rows[0].Batches), rows[1].Records)
	}
	res, err := floor.Copies(t.Context(), at, 2, rows...)
	if err != nil {
		t.Fatal(err)
	}
	if res.Records != n || res.Elapsed <= 0 || res.Bytes == 0 {
		t.Errorf("result %+v", res)
	}
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var missing, others int
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM records r LEFT JOIN floor_records f ON f.id = r.id AND f.doc::text = r.doc::text AND f.state = r.state WHERE f.id IS NULL),
		(SELECT count(*) FROM floor_changes)`).Scan(&missing, &others); err != nil || missing != 0 || others != 1 {
		t.Errorf("%d rows are missing, %d changes, %v", missing, others, err)
	}
}

func TestACopyThatDoesNotSyncIsRefused(t *testing.T) {
	c := pgtest.Start(t)
	at := c.Admin(c.Database(t))
	c.Exec(t, at, `CREATE TABLE records (id bigint)`, `ALTER DATABASE `+pgx.Identifier{name(t, at)}.Sanitize()+` SET synchronous_commit = off`)
	if _, err := floor.Copies(t.Context(), at, 1, floor.Copied{Table: "records"}); !errors.Is(err, floor.ErrWeaker) {
		t.Errorf("got %v", err)
	}
}

// name is that of a URL's database.
func name(t *testing.T, at string) string {
	t.Helper()
	c, err := pgx.ParseConfig(at)
	if err != nil {
		t.Fatal(err)
	}
	return c.Database
}
