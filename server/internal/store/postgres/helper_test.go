package postgres_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/syncproto"
)

var databases atomic.Int64

// database makes an empty database that the test's end drops, and returns its
// address.
func database(t testing.TB, options ...string) string {
	t.Helper()
	server := pgtest.Start(t).URL() // as its superuser
	name := fmt.Sprintf("test_%d_%d", os.Getpid(), databases.Add(1))
	from := "TEMPLATE template0"
	if strings.HasPrefix(strings.Join(options, " "), "TEMPLATE") {
		from = ""
	}
	sqlOn(t, server, `CREATE DATABASE `+name+` `+from+` `+strings.Join(options, " "))
	t.Cleanup(func() { sqlOn(t, server, `DROP DATABASE `+name+` WITH (FORCE)`) })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// open opens a store that the test's end closes.
func open(t testing.TB, address string, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sqlOn runs a statement on a database, past the store.
func sqlOn(t testing.TB, address, text string, args ...any) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// query returns the one column of a query.
func query(t testing.TB, address, text string, args ...any) []string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, text, args...)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return out
}

const scope syncproto.Scope = "35.24.14"

func oneStep(do func(store.Tx) error) store.Step {
	return store.Step{Scopes: []string{string(scope)}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, do(tx) }}
}

// next writes one record at the next sequence.
func next(tx store.Tx) error {
	head, err := tx.Head(scope)
	if err != nil {
		return err
	}
	rows, changes := rowsOf(newRand(), 1, scope, head)
	if err := tx.Put(scope, rows); err != nil {
		return err
	}
	return tx.Append(scope, changes)
}

// push writes rows and changes of one scope as the engine does.
func push(ctx context.Context, s store.Store, rows []store.Row, changes []store.Change) error {
	scope := rows[0].Scope
	return s.Update(ctx, store.Step{Scopes: []string{string(scope)}, Do: func(tx store.Tx) ([]store.Step, error) {
		if _, err := tx.Head(scope); err != nil {
			return nil, err
		}
		ids := make([]syncproto.RecordID, len(rows))
		for i := range rows {
			ids[i] = rows[i].ID
		}
		if _, err := tx.Records(scope, ids); err != nil {
			return nil, err
		}
		if err := tx.Put(scope, rows); err != nil {
			return nil, err
		}
		return nil, tx.Append(scope, changes)
	}})
}

// connect opens a connection past the store.
func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
