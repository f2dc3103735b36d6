package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/syncproto"
)

// countedEdit adds one to a number in a row, as a step that must run exactly
// once. It returns the number that the step left.
func countedEdit(ctx context.Context, s store.Store, scope syncproto.Scope, id syncproto.RecordID) error {
	return s.Update(ctx, store.Step{Scopes: []string{string(scope)}, Do: func(tx store.Tx) ([]store.Step, error) {
		head, err := tx.Head(scope)
		if err != nil {
			return nil, err
		}
		rows, err := tx.Records(scope, []syncproto.RecordID{id})
		if err != nil {
			return nil, err
		}
		r := store.Row{Scope: scope, ID: id, Entered: head + 1, Doc: []byte(`{}`)}
		if len(rows) == 1 {
			r = rows[0]
		}
		r.Seq = head + 1
		r.Conflicts++
		if err := tx.Put(scope, []store.Row{r}); err != nil {
			return nil, err
		}
		return nil, tx.Append(scope, []store.Change{{Seq: r.Seq, ID: id, Digest: syncproto.Digest{byte(r.Seq), byte(r.Seq >> 8)}}})
	}})
}

// edits returns the number in that row.
func edits(t testing.TB, s store.Store, scope syncproto.Scope, id syncproto.RecordID) (n int) {
	t.Helper()
	err := s.View(context.WithoutCancel(t.Context()), func(r store.Reader) error {
		for row, err := range r.Feed(scope, 0, 1<<62) {
			if err != nil {
				return err
			}
			if row.ID == id {
				n = row.Conflicts
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// workerOf returns the worker that has a scope.
func workerOf(t testing.TB, c *pgtest.Cluster, address string, scope syncproto.Scope) *pgtest.Cluster {
	t.Helper()
	port := query(t, address, `SELECT s.nodeport::text FROM citus_shards s WHERE s.shardid = get_shard_id_for_distribution_column('scopes', $1::text)`, string(scope))
	for _, w := range c.Workers() {
		if u, err := url.Parse(w.URL()); err == nil && len(port) == 1 && u.Port() == port[0] {
			return w
		}
	}
	t.Fatalf("scope %s is on no worker: %v", scope, port)
	return nil
}

// The connection between the coordinator and the worker is cut at every message
// of a step. When that is the answer to the worker's COMMIT, the coordinator
// says that the commit failed, though it may be there.
func TestACutBetweenTheNodesLosesAndDoublesNothing(t *testing.T) {
	c, ok := citus(t)
	if !ok {
		return
	}
	address := citusDatabases(t, c)(t)
	worker := workerOf(t, c, address, scope)
	p := pgtest.NewProxy(t, worker.URL())
	from, err := url.Parse(worker.URL())
	if err != nil {
		t.Fatal(err)
	}
	to, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	sqlOn(t, c.Admin(address), `SELECT citus_update_node(nodeid, '127.0.0.1', $2) FROM pg_dist_node WHERE nodeport = $1`, number(t, from.Port()), number(t, to.Port()))
	s := open(t, address, postgres.Options{Writers: 2})
	id := syncproto.RecordID{1, 15: 1}
	want := 0
	edit := func() {
		t.Helper()
		if err := countedEdit(t.Context(), s, scope, id); err != nil {
			t.Fatal(err)
		}
		want++
	}
	edit()
	messages := p.Measure(edit).Messages
	cuts := 0
	for cut := range pgtest.Cuts(messages + 4) { // of a new connection, some more
		p.Arm(cut)
		edit()
		if p.Fired() {
			cuts++
		}
		if got := edits(t, s, scope, id); got != want {
			t.Fatalf("cut %s message %d: %d edits are there, want %d", cut.Place, cut.N, got, want)
		}
	}
	t.Logf("%d messages, %d cuts, %d edits", messages, cuts, want)
	if cuts < messages {
		t.Errorf("only %d cuts happened", cuts)
	}
}

func number(t testing.TB, text string) (n int) {
	t.Helper()
	for _, r := range text {
		n = 10*n + int(r-'0')
	}
	return n
}

// A scope that another server does not let go is waited for as long as was
// asked, though it is the worker that waits.
func TestALockOnAnotherNodeIsGivenUp(t *testing.T) {
	c, ok := citus(t)
	if !ok {
		return
	}
	address := citusDatabases(t, c)(t)
	s := open(t, address, postgres.Options{LockTimeout: 200 * time.Millisecond})
	if err := countedEdit(t.Context(), s, scope, syncproto.RecordID{15: 1}); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, address)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `SELECT seq FROM scopes WHERE scope = $1 FOR UPDATE`, string(scope)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := countedEdit(t.Context(), s, scope, syncproto.RecordID{15: 1}); !errors.Is(err, store.ErrBusy) {
		t.Errorf("error is %v, want %v", err, store.ErrBusy)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := countedEdit(t.Context(), s, scope, syncproto.RecordID{15: 1}); err != nil {
		t.Error(err)
	}
}

func TestAClusterThatWouldLoseIsRefused(t *testing.T) {
	c, ok := citus(t)
	if !ok {
		return
	}
	address := citusDatabases(t, c)(t)
	worker := c.Workers()[0]
	refused := func(address, why string) {
		t.Helper()
		s, err := postgres.Open(t.Context(), address, postgres.Options{})
		if err == nil {
			err = s.Close()
			t.Errorf("it was opened, closed with %v", err)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("error is %v, want %s", err, why)
		}
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	of, err := url.Parse(worker.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Host = of.Host
	refused(u.String(), "is a worker")
	worker.Exec(t, address, `ALTER SYSTEM SET full_page_writes = off`, `SELECT pg_reload_conf()`)
	t.Cleanup(func() { worker.Exec(t, address, `ALTER SYSTEM RESET full_page_writes`, `SELECT pg_reload_conf()`) })
	refused(address, `are "on off"`)
}
