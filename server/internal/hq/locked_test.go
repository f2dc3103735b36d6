package hq_test

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
)

// locked makes a PostgreSQL database with the second lock on headquarters'
// reads, and returns the address of the server's role.
func locked(tb testing.TB) string {
	tb.Helper()
	c := pgtest.Start(tb)
	prefix := "hq" + strings.ToLower(rand.Text()[:12])
	tb.Cleanup(func() { // after the database was dropped
		c.Exec(tb, c.URL(), fmt.Sprintf("DROP ROLE IF EXISTS %s_owner, %[1]s_server, %[1]s_reader", prefix))
	})
	at := c.Database(tb)
	text, err := postgres.Roles(prefix)
	if err != nil {
		tb.Fatal(err)
	}
	c.Exec(tb, at, text)
	as := func(role string) string {
		password := rand.Text()
		c.Exec(tb, at, fmt.Sprintf("ALTER ROLE %s_%s PASSWORD '%s'", prefix, role, password))
		u, err := url.Parse(at)
		if err != nil {
			tb.Fatal(err)
		}
		u.User = url.UserPassword(prefix+"_"+role, password)
		return u.String()
	}
	owner, err := postgres.Open(tb.Context(), as("owner"), postgres.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if !owner.Locked() {
		tb.Error("the second lock is off")
	}
	if err := owner.Close(); err != nil {
		tb.Fatal(err)
	}
	return as("server")
}
