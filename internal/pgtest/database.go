package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database makes an empty database and returns the URL of its owner, a role of
// its own that may do nothing else in the cluster. Both are dropped when the
// test ends, whoever is connected. Its order of text is that of bytes (C) and
// its encoding UTF-8, unless clauses of CREATE DATABASE say otherwise, such as
// "LOCALE_PROVIDER icu ICU_LOCALE 'id'".
func (c *Cluster) Database(tb testing.TB, clauses ...string) string {
	tb.Helper()
	name, password := newName(tb), rand.Text()
	owner := quote(name)
	c.exec(tb, fmt.Sprintf("CREATE ROLE %s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD '%s'", owner, password))
	c.atEnd(tb, "DROP ROLE "+owner)
	c.exec(tb, fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE template0 %s", owner, owner, strings.Join(clauses, " ")))
	c.dropAtEnd(tb, name)
	c.exec(tb, fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM PUBLIC", owner)) // nobody else's role comes in
	user := url.UserPassword(name, password)
	if c.citus {
		c.join(tb, name, user)
	}
	return c.with(user, name)
}

// Admin returns the superuser's URL of the database of a URL: for roles,
// extensions, ALTER SYSTEM, and looking behind row-level security.
func (c *Cluster) Admin(at string) string {
	u, err := url.Parse(at)
	if err != nil {
		return at // who connects will say what is wrong with it
	}
	return c.with(c.url.User, strings.TrimPrefix(u.Path, "/"))
}

// Exec runs statements as the superuser in the database of a URL, each in a
// transaction of its own.
func (c *Cluster) Exec(tb testing.TB, at string, statements ...string) {
	tb.Helper()
	if err := c.tryExec(c.Admin(at), statements...); err != nil {
		tb.Fatal(err)
	}
}

// Disconnect ends all connections to the database of a URL, as an administrator
// would, and returns how many there were.
func (c *Cluster) Disconnect(tb testing.TB, at string) int {
	tb.Helper()
	return c.disconnect(tb, databaseOf(tb, at), "backend_type = 'client backend'")
}

// disconnect ends the processes of this node that are in a database and of that kind.
func (c *Cluster) disconnect(tb testing.TB, name, kind string) int {
	tb.Helper()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	conn, err := c.connect(ctx, c.URL())
	if err != nil {
		tb.Fatal(err)
	}
	defer conn.Close(ctx) //nolint:errcheck // its answer is here
	var n int
	// With a timeout, it returns only when the process has ended.
	err = conn.QueryRow(ctx, "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid, 60000)) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid() AND "+kind, name).Scan(&n)
	if err != nil {
		tb.Fatalf("end the connections to a database: %v", err)
	}
	return n
}

// Snapshot is a database as it was at a moment. It lives until the test ends.
type Snapshot struct {
	c    *Cluster
	name string // of the copy
	of   *url.URL
}

// Snapshot copies a database, for which it ends all connections to it, and
// refuses new ones meanwhile (SQLSTATE 55000). Rows, schema, owners and
// privileges inside it are copied; what ALTER DATABASE ... SET and GRANT ... ON
// DATABASE gave is not.
func (c *Cluster) Snapshot(tb testing.TB, at string) *Snapshot {
	tb.Helper()
	from := databaseOf(tb, at)
	of, err := url.Parse(at)
	if err != nil {
		tb.Fatal(err)
	}
	s := &Snapshot{c: c, name: newName(tb), of: of}
	c.exec(tb, "ALTER DATABASE "+quote(from)+" ALLOW_CONNECTIONS false")
	defer c.exec(tb, "ALTER DATABASE "+quote(from)+" ALLOW_CONNECTIONS true")
	for _, node := range c.nodes() {
		node.disconnect(tb, from, "true") // also what Citus runs in the background
	}
	c.exec(tb, "CREATE DATABASE "+quote(s.name)+" TEMPLATE "+quote(from))
	c.dropAtEnd(tb, s.name)
	return s
}

// Restore makes the database again what it was at the snapshot, under the same
// URL: a restored backup. All connections to it end; while it works there is
// no such database (SQLSTATE 3D000). It can be repeated.
func (s *Snapshot) Restore(tb testing.TB) {
	tb.Helper()
	name := databaseOf(tb, s.of.String())
	s.c.exec(tb, "DROP DATABASE "+quote(name)+" WITH (FORCE)")
	s.copy(tb, name)
}

// Copy makes a second database with the contents of the snapshot, and returns
// the URL of its owner, who is that of the first: a fork.
func (s *Snapshot) Copy(tb testing.TB) string {
	tb.Helper()
	name := newName(tb)
	s.c.dropAtEnd(tb, name)
	s.copy(tb, name)
	return s.c.with(s.of.User, name)
}

func (s *Snapshot) copy(tb testing.TB, name string) {
	tb.Helper()
	s.c.exec(tb, fmt.Sprintf("CREATE DATABASE %s OWNER %s TEMPLATE %s", quote(name), quote(s.of.User.Username()), quote(s.name)))
	s.c.exec(tb, fmt.Sprintf("REVOKE ALL ON DATABASE %s FROM PUBLIC", quote(name)))
}

// newName returns a name for a database that tells whose it is.
func newName(tb testing.TB) string {
	var b strings.Builder
	for _, r := range strings.ToLower(tb.Name()) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else {
			b.WriteByte('_')
		}
	}
	name := b.String()
	return "t_" + name[:min(len(name), 40)] + "_" + strings.ToLower(rand.Text()[:12])
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// databaseOf returns the name of the database of a URL.
func databaseOf(tb testing.TB, at string) string {
	tb.Helper()
	u, err := url.Parse(at)
	if err != nil {
		tb.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func (c *Cluster) with(user *url.Userinfo, database string) string {
	u := *c.url
	u.User, u.Path = user, "/"+database
	return u.String()
}

func (c *Cluster) dropAtEnd(tb testing.TB, name string) {
	c.atEnd(tb, "DROP DATABASE IF EXISTS "+quote(name)+" WITH (FORCE)")
}

// unspread keeps Citus from doing a statement on other nodes by itself.
const unspread = "SET citus.enable_ddl_propagation TO off"

// administer runs a statement on this node alone.
func (c *Cluster) administer(statement string) error {
	if c.citus {
		for try := 0; ; try++ {
			err := c.tryExec(c.URL(), unspread, statement)
			// A connection of another node's daemon may wait for the database to be
			// dropped or not, where nothing ends it; when that has failed, it can be ended.
			var inUse *pgconn.PgError
			if try == 3 || !errors.As(err, &inUse) || inUse.Code != "55006" {
				return err
			}
		}
	}
	return c.tryExec(c.URL(), statement)
}

// atEnd runs a statement on each node when the test ends, unless that has ended before.
func (c *Cluster) atEnd(tb testing.TB, statement string) {
	tb.Cleanup(func() {
		for _, node := range c.nodes() {
			if node.folder != "" && node.PID() == 0 {
				continue
			}
			if err := node.administer(statement); err != nil {
				tb.Errorf("clean up: %v", err)
			}
		}
	})
}

// exec runs a statement on each node.
func (c *Cluster) exec(tb testing.TB, statement string) {
	tb.Helper()
	for _, node := range c.nodes() {
		if err := node.administer(statement); err != nil {
			tb.Fatal(err)
		}
	}
}

func (c *Cluster) tryExec(at string, statements ...string) error {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	conn, err := c.connect(ctx, at)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err = conn.Exec(ctx, statement); err != nil {
			err = fmt.Errorf("%s: %w", statement, err)
			break
		}
	}
	return errors.Join(err, conn.Close(ctx))
}

func (c *Cluster) connect(ctx context.Context, at string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return nil, fmt.Errorf("connect as the harness: %w", err)
	}
	return conn, nil
}
