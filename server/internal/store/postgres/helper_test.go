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
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
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

const scope = storetest.Home

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
