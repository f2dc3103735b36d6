package pgtest_test

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
)

// Where Citus is, its owner distributes a table, and a snapshot is one of all
// nodes. Elsewhere the tests above are what there is to show.
func TestCitus(t *testing.T) {
	c, ok := pgtest.Citus(t)
	if !ok {
		t.Log("Citus is not installed, and SAMBANG_TEST_CITUS_URL names none")
		return
	}
	at := c.Database(t)
	conn := connect(t, at)
	exec1(t, conn, "CREATE TABLE things (id int PRIMARY KEY)")
	exec1(t, conn, "SELECT create_distributed_table('things', 'id')")
	exec1(t, conn, "INSERT INTO things SELECT generate_series(1, 100)")
	where := func(at string) string {
		return ask[string](t, connect(t, at), "SELECT string_agg(DISTINCT nodeport::text, ' ') FROM citus_shards")
	}
	if got, want := where(at), ports(c); got != want {
		t.Errorf("shards are on %s, want %s", got, want)
	}
	s := c.Snapshot(t, at)
	exec1(t, connect(t, at), "INSERT INTO things SELECT generate_series(101, 200)")
	fork := s.Copy(t)
	exec1(t, connect(t, fork), "DELETE FROM things WHERE id <= 10")
	count := func(at string) int { return ask[int](t, connect(t, at), "SELECT count(*) FROM things") }
	if n, m := count(at), count(fork); n != 200 || m != 90 {
		t.Errorf("%d rows and %d in the copy, want 200 and 90", n, m)
	}
	s.Restore(t)
	if n := count(at); n != 100 {
		t.Errorf("%d rows after the restore, want 100", n)
	}
	if c.Folder() == "" {
		return // not ours to kill
	}
	// The same on a cluster that somebody else started, as this one is for a child; it leaves nothing there.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^TestCitus$")
	cmd.Env = append(os.Environ(), "SAMBANG_TEST_CITUS_URL="+c.Admin(at))
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: TestCitus") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, node := range append(c.Workers(), c) {
		const question = "SELECT concat((SELECT count(*) FROM pg_roles WHERE rolname LIKE 't\\_%'), ' ', (SELECT count(*) FROM pg_database WHERE datname LIKE 't\\_%'))"
		if got := ask[string](t, connect(t, node.URL()), question); got != "1 3" { // the test's own, its snapshot and its copy
			t.Errorf("roles and databases: %s, want 1 3", got)
		}
	}
	worker := c.Workers()[0]
	if err := worker.Stop(pgtest.Crash); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, at).Exec(context.Background(), "SELECT count(*) FROM things"); err == nil {
		t.Error("counted without a worker")
	}
	if err := worker.Resume(); err != nil {
		t.Fatal(err)
	}
	if n := count(at); n != 100 {
		t.Errorf("%d rows after a crash of a worker, want 100", n)
	}
}

// ports are those of the workers, as text and in order.
func ports(c *pgtest.Cluster) string {
	var out []string
	for _, w := range c.Workers() {
		u, err := url.Parse(w.URL())
		if err == nil {
			out = append(out, u.Port())
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}
