package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/syncproto"
)

// rolesOn makes the roles of the store on all nodes, and returns the prefix of
// their names.
func (g *grown) rolesOn(c *pgtest.Cluster) (prefix string) {
	g.t.Helper()
	prefix = fmt.Sprintf("c%d_%d", os.Getpid(), databases.Add(1))
	text, err := postgres.Roles(prefix)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, node := range append([]*pgtest.Cluster{c}, c.Workers()...) {
		alone(g.t, g.of(node), text+fmt.Sprintf(`ALTER ROLE %s_owner PASSWORD 'secret'; ALTER ROLE %[1]s_server PASSWORD 'secret'`, prefix))
	}
	return prefix
}

// enter lets the nodes enter each other as the roles.
func (g *grown) enter(c *pgtest.Cluster, prefix string) {
	g.t.Helper()
	for _, node := range append([]*pgtest.Cluster{c}, c.Workers()...) {
		for _, role := range []string{"_owner", "_server"} {
			sqlOn(g.t, g.of(node), `INSERT INTO pg_dist_authinfo VALUES (0, $1, 'password=secret')`, prefix+role)
		}
	}
}

// opened opens the store as the owner, who makes what is missing, and then as
// the server.
func (g *grown) opened(c *pgtest.Cluster, prefix string, locked bool) *postgres.Store {
	g.t.Helper()
	for _, role := range []string{"_owner", "_server"} {
		u, err := url.Parse(g.of(c))
		if err != nil {
			g.t.Fatal(err)
		}
		u.User = url.UserPassword(prefix+role, "secret")
		s, err := postgres.Open(g.t.Context(), u.String(), postgres.Options{})
		if err != nil {
			g.t.Fatalf("as %s: %v", role, err)
		}
		if s.Locked() != locked {
			g.t.Errorf("as %s: the second lock is %t", role, s.Locked())
		}
		if role == "_server" {
			return s
		}
		if err := s.Close(); err != nil {
			g.t.Fatal(err)
		}
	}
	return nil
}

// useAsServer writes as the server does, an erasure too, whose privileges are of
// columns.
func useAsServer(t *testing.T, s *postgres.Store) {
	t.Helper()
	id := syncproto.RecordID{9, 15: 9}
	if err := countedEdit(t.Context(), s, scope, id); err != nil {
		t.Error(err)
	}
	if err := s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error { return tx.Erase(scope, id) })); err != nil {
		t.Error(err)
	}
	if err := s.Update(t.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, tx.PutOfficer(store.Officer{ID: "officer-1"})
	}}); err != nil {
		t.Error(err)
	}
}

// readAsHeadquarters returns how many records a reader of the province sees.
func readAsHeadquarters(ctx context.Context, s *postgres.Store) (n int, err error) {
	grants := syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D"}}}
	err = s.ViewAs(ctx, grants, 1, func(r store.Reader) error {
		rows, err := r.Log(store.Filter{Grants: grants}, nil, 10)
		n = len(rows)
		return err
	})
	return n, err
}

// The server's role needs no more on a cluster.
func TestTheServersRoleOnCitus(t *testing.T) {
	c, ok := citus(t)
	if !ok || c.Folder() == "" {
		return
	}
	g := newGrown(t, c)
	g.join(c)
	prefix := g.rolesOn(c)
	g.enter(c, prefix)
	s := g.opened(c, prefix, false)
	defer s.Close() //nolint:errcheck // nothing is left to lose
	useAsServer(t, s)
	if n, err := readAsHeadquarters(t.Context(), s); n != 1 || err != nil {
		t.Errorf("headquarters reads %d records: %v", n, err)
	}
}

// A database with the second lock becomes one of Citus, which has none. Servers
// that still believe in it show headquarters nothing until they are restarted,
// and take what phones push.
func TestADatabaseWithTheSecondLockBecomesACitusCluster(t *testing.T) {
	c, ok := citus(t)
	if !ok || c.Folder() == "" {
		return
	}
	g := newGrown(t, c)
	prefix := g.rolesOn(c)
	s := g.opened(c, prefix, true)
	useAsServer(t, s)
	if n, err := readAsHeadquarters(t.Context(), s); n != 1 || err != nil {
		t.Errorf("headquarters reads %d records: %v", n, err)
	}
	g.join(c)
	g.enter(c, prefix)
	text, err := os.ReadFile(toCitus)
	if err != nil {
		t.Fatal(err)
	}
	psql := c.Command(t.Context(), "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "-", g.of(c))
	psql.Stdin = bytes.NewReader(text)
	if out, err := psql.CombinedOutput(); err != nil {
		t.Errorf("psql: %v\n%s", err, out)
	}
	useAsServer(t, s)
	if n, err := readAsHeadquarters(t.Context(), s); n != 0 || err == nil {
		t.Errorf("without a restart, headquarters reads %d records: %v", n, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s = g.opened(c, prefix, false)
	defer s.Close() //nolint:errcheck // nothing is left to lose
	useAsServer(t, s)
	if n, err := readAsHeadquarters(t.Context(), s); n != 1 || err != nil {
		t.Errorf("after a restart, headquarters reads %d records: %v", n, err)
	}
}
