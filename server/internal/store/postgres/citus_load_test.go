package postgres_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/syncproto"
)

// load is records that are edited and moved between scopes by many, while
// readers follow each scope as devices do.
type load struct {
	t      *testing.T
	s      *postgres.Store
	scopes []syncproto.Scope
	ids    []syncproto.RecordID
	// confirmed and unknown count the edits of each record that were said to be
	// kept, and those of which it was not said what became of them.
	confirmed, unknown []atomic.Int64
	moves, polls       atomic.Int64
	failed, unread     atomic.Int64
	readers            []map[syncproto.Scope]*replica
}

// replica is what a device has of a scope.
type replica struct {
	after uint64
	rows  map[syncproto.RecordID]uint64
}

const (
	loadEditors = 6
	loadMovers  = 2
	loadReaders = 2
	loadRecords = 24
)

func newLoad(t *testing.T, s *postgres.Store) *load {
	t.Helper()
	l := &load{t: t, s: s, confirmed: make([]atomic.Int64, loadRecords), unknown: make([]atomic.Int64, loadRecords)}
	for n := range 6 {
		l.scopes = append(l.scopes, syncproto.Scope(fmt.Sprintf("35.24.%02d", n+1)))
	}
	for n := range loadRecords {
		id := syncproto.RecordID{0, 1, 2, 15: byte(n)}
		at := l.scopes[n%len(l.scopes)]
		l.ids = append(l.ids, id)
		if err := countedEdit(t.Context(), s, at, id); err != nil {
			t.Fatal(err)
		}
		l.confirmed[n].Add(1)
	}
	for range loadReaders {
		of := map[syncproto.Scope]*replica{}
		for _, scope := range l.scopes {
			of[scope] = &replica{rows: map[syncproto.RecordID]uint64{}}
		}
		l.readers = append(l.readers, of)
	}
	return l
}

// run loads the store until during ends and at least for so many edits, and
// then counts.
func (l *load) run(least int64, during func()) {
	l.t.Helper()
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	ctx := context.WithoutCancel(l.t.Context())
	repeat := func(of *sync.WaitGroup, seed uint64, do func(*mathrand.Rand)) {
		rng := mathrand.New(mathrand.NewPCG(seed, 77)) //nolint:gosec // choices, not secrets
		of.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					do(rng)
				}
			}
		})
	}
	for i := range loadEditors {
		repeat(&writers, uint64(i), func(rng *mathrand.Rand) { l.edit(ctx, rng.IntN(len(l.ids)), l.scopes[rng.IntN(len(l.scopes))]) })
	}
	for i := range loadMovers {
		repeat(&writers, uint64(100+i), func(rng *mathrand.Rand) {
			l.move(ctx, rng.IntN(len(l.ids)), l.scopes[rng.IntN(len(l.scopes))], l.scopes[rng.IntN(len(l.scopes))])
		})
	}
	for _, of := range l.readers {
		repeat(&readers, 0, func(*mathrand.Rand) {
			if err := l.poll(ctx, of); err != nil {
				l.unread.Add(1)
			}
		})
	}
	during()
	late := time.After(2 * time.Minute)
	for l.edits() < least {
		select {
		case <-late:
			l.t.Errorf("only %d edits in two minutes", l.edits())
			least = 0
		case <-time.After(20 * time.Millisecond):
		}
	}
	close(stop)
	writers.Wait()
	readers.Wait()
	l.count(ctx)
}

func (l *load) edits() (n int64) {
	for i := range l.confirmed {
		n += l.confirmed[i].Load()
	}
	return n
}

// edit raises the number in a record, wherever it is by now.
func (l *load) edit(ctx context.Context, n int, at syncproto.Scope) {
	for hops := 0; at != "" && hops < 100; hops++ {
		next, done := syncproto.Scope(""), false
		err := l.s.Update(ctx, store.Step{Scopes: []string{string(at)}, Do: func(tx store.Tx) ([]store.Step, error) {
			next, done = "", false
			rows, err := tx.Records(at, l.ids[n:n+1])
			if err != nil || len(rows) == 0 {
				return nil, err
			}
			r := rows[0]
			if r.MovedTo != "" {
				next = r.MovedTo
				return nil, nil
			}
			r.Conflicts++
			done = true
			return nil, put(tx, at, r)
		}})
		switch {
		case err == nil && done:
			l.confirmed[n].Add(1)
		case err != nil:
			l.fail(err)
			l.unknown[n].Add(1)
			return
		}
		at = next
	}
}

func (l *load) fail(err error) {
	if l.failed.Add(1); !errors.Is(err, store.ErrBusy) {
		l.t.Errorf("a step failed: %v", err)
	}
}

// put writes a row with its change, at the scope's next sequence.
func put(tx store.Tx, scope syncproto.Scope, r store.Row) error {
	head, err := tx.Head(scope)
	if err != nil {
		return err
	}
	r.Seq = head + 1
	if err := tx.Put(scope, []store.Row{r}); err != nil {
		return err
	}
	var digest syncproto.Digest
	rand.Read(digest[:]) //nolint:errcheck // it does not fail
	binary.BigEndian.PutUint64(digest[:], r.Seq)
	return tx.Append(scope, []store.Change{{Seq: r.Seq, ID: r.ID, Digest: digest}})
}

// move takes a record to another scope, if it is here.
func (l *load) move(ctx context.Context, n int, from, to syncproto.Scope) {
	if from == to {
		return
	}
	moved := false
	err := l.s.Update(ctx, store.Step{Scopes: []string{string(from), string(to)}, Do: func(tx store.Tx) ([]store.Step, error) {
		moved = false
		rows, err := tx.Records(from, l.ids[n:n+1])
		if err != nil || len(rows) == 0 || rows[0].MovedTo != "" {
			return nil, err
		}
		head, err := tx.Head(to)
		if err != nil {
			return nil, err
		}
		r, marker := rows[0], rows[0]
		r.Scope, r.Entered = to, head+1
		marker.MovedTo = to
		moved = true
		return nil, errors.Join(put(tx, to, r), put(tx, from, marker))
	}})
	switch {
	case err != nil:
		l.fail(err)
	case moved:
		l.moves.Add(1)
	}
}

// poll takes what is new in each scope.
func (l *load) poll(ctx context.Context, of map[syncproto.Scope]*replica) error {
	for _, scope := range l.scopes {
		mine := of[scope]
		err := l.s.View(ctx, func(r store.Reader) error {
			for row, err := range r.Feed(scope, mine.after, 1<<62) {
				switch {
				case err != nil:
					return err
				case row.Seq <= mine.after:
					l.t.Errorf("scope %s: sequence %d after %d", scope, row.Seq, mine.after)
				}
				mine.after = row.Seq
				mine.rows[row.ID] = row.Seq
			}
			return nil
		})
		if err != nil {
			return err
		}
		l.polls.Add(1)
	}
	return nil
}

// count compares what is there with what was confirmed and read.
func (l *load) count(ctx context.Context) {
	l.t.Helper()
	found := map[syncproto.RecordID]int64{}
	live := map[syncproto.RecordID]int{}
	missed, lost, doubled, unknown := 0, int64(0), int64(0), int64(0)
	for _, of := range l.readers {
		if err := l.poll(ctx, of); err != nil {
			l.t.Fatal(err)
		}
	}
	err := l.s.View(ctx, func(r store.Reader) error {
		for _, scope := range l.scopes {
			all := map[syncproto.RecordID]uint64{}
			for row, err := range r.Feed(scope, 0, 1<<62) {
				if err != nil {
					return err
				}
				all[row.ID] = row.Seq
				if row.MovedTo == "" {
					found[row.ID] += int64(row.Conflicts) //nolint:gosec // small
					live[row.ID]++
				}
			}
			for _, of := range l.readers {
				if !maps.Equal(of[scope].rows, all) {
					missed++
					l.t.Errorf("scope %s: a reader has %v, there is %v", scope, of[scope].rows, all)
				}
			}
		}
		return nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	for n, id := range l.ids {
		confirmed, u := l.confirmed[n].Load(), l.unknown[n].Load()
		unknown += u
		lost += max(confirmed-found[id], 0)
		doubled += max(found[id]-confirmed-u, 0)
		if live[id] != 1 {
			l.t.Errorf("record %d has %d live rows", n, live[id])
		}
	}
	l.t.Logf("%d edits and %d moves confirmed, %d steps busy, %d polls and %d in vain: %d readers missed a row, %d edits lost, %d doubled",
		l.edits(), l.moves.Load(), l.failed.Load(), l.polls.Load(), l.unread.Load(), missed, lost, doubled)
	if lost != 0 || doubled != 0 || unknown > l.edits()/2 {
		l.t.Errorf("%d edits lost, %d doubled, %d unknown", lost, doubled, unknown)
	}
	if err := l.s.Check(ctx, func(problem string) { l.t.Errorf("check: %s", problem) }); err != nil {
		l.t.Error(err)
	}
}

// nodesOf returns the nodes that have scopes of the load.
func (l *load) nodesOf(address string) []string {
	l.t.Helper()
	var of []string
	for _, scope := range l.scopes {
		of = append(of, query(l.t, address, `SELECT nodeport::text FROM citus_shards WHERE shardid = get_shard_id_for_distribution_column('scopes', $1::text)`, string(scope))...)
	}
	slices.Sort(of)
	return slices.Compact(of)
}

// Records are edited and move between nodes while the shards of a scope move
// online to another worker, and that worker is killed and started again. Nothing
// confirmed is lost, nothing is there twice, and no reader misses a row.
func TestShardsMoveAndAWorkerDiesUnderLoad(t *testing.T) {
	c, ok := citus(t)
	if !ok || c.Folder() == "" { // not ours to kill
		return
	}
	address := citusDatabases(t, c)(t)
	l := newLoad(t, open(t, address, postgres.Options{}))
	if on := l.nodesOf(address); len(on) < 2 {
		t.Fatalf("all scopes are on node %v", on)
	}
	l.run(300, func() {
		time.Sleep(500 * time.Millisecond)
		from := workerOf(t, c, address, l.scopes[0])
		to := c.Workers()[0]
		if to == from {
			to = c.Workers()[1]
		}
		began := time.Now()
		sqlOn(t, c.Admin(address), `SELECT citus_move_shard_placement(get_shard_id_for_distribution_column('scopes', $1::text), $2, $3, $4, $5, shard_transfer_mode => 'force_logical')`,
			string(l.scopes[0]), "127.0.0.1", portOf(t, from), "127.0.0.1", portOf(t, to))
		t.Logf("the shards of %s moved in %v, after %d edits", l.scopes[0], time.Since(began), l.edits())
		if workerOf(t, c, address, l.scopes[0]) != to {
			t.Error("it did not move")
		}
		time.Sleep(500 * time.Millisecond)
		if err := to.Kill(); err != nil {
			t.Fatal(err)
		}
		t.Logf("its worker was killed and is back, after %d edits", l.edits())
		time.Sleep(time.Second)
		if err := from.Stop(pgtest.Immediate); err != nil {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		if err := from.Resume(); err != nil {
			t.Fatal(err)
		}
		t.Logf("the other was stopped and is back, after %d edits", l.edits())
		time.Sleep(time.Second)
	})
}

// While a worker is down, the scopes of the others are written and read; what
// is on all nodes can be read and not written.
func TestAWorkerThatIsDownTakesItsScopesAlone(t *testing.T) {
	c, ok := citus(t)
	if !ok || c.Folder() == "" {
		return
	}
	address := citusDatabases(t, c)(t)
	s := open(t, address, postgres.Options{Tries: 2})
	l := newLoad(t, s)
	officer := func() error {
		return s.Update(t.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
			return nil, tx.PutOfficer(store.Officer{ID: "o-1"})
		}})
	}
	if err := officer(); err != nil {
		t.Fatal(err)
	}
	down := workerOf(t, c, address, l.scopes[0])
	if err := down.Stop(pgtest.Crash); err != nil {
		t.Fatal(err)
	}
	others := 0
	for n, scope := range l.scopes {
		there := query(t, address, `SELECT nodeport::text FROM pg_dist_placement JOIN pg_dist_node USING (groupid)
			WHERE shardid = get_shard_id_for_distribution_column('scopes', $1::text)`, string(scope))
		write := countedEdit(t.Context(), s, scope, l.ids[n])
		read := s.View(t.Context(), func(r store.Reader) error {
			for _, err := range r.Feed(scope, 0, 100) {
				return err
			}
			return nil
		})
		if there[0] == strconv.Itoa(portOf(t, down)) {
			if !errors.Is(write, store.ErrBusy) || read == nil {
				t.Errorf("scope %s of the dead worker: write %v, read %v", scope, write, read)
			}
			continue
		}
		others++
		if write != nil || read != nil {
			t.Errorf("scope %s of another worker: write %v, read %v", scope, write, read)
		}
	}
	if err := officer(); !errors.Is(err, store.ErrBusy) {
		t.Errorf("an officer was changed without a node: %v", err)
	}
	if err := s.View(t.Context(), func(r store.Reader) error { _, err := r.Officer("o-1"); return err }); err != nil {
		t.Errorf("an officer can't be read: %v", err)
	}
	if err := down.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(officer(), countedEdit(t.Context(), s, l.scopes[0], l.ids[0])); err != nil {
		t.Errorf("when it is back: %v", err)
	}
	if others == 0 {
		t.Error("no scope is on another worker")
	}
}

func portOf(t testing.TB, c *pgtest.Cluster) int {
	t.Helper()
	u, err := url.Parse(c.URL())
	if err != nil {
		t.Fatal(err)
	}
	return number(t, u.Port())
}

const toCitus = "../../../../docs/to-citus.sql"

// The operator's file places the tables as the migrations do.
func TestToCitusPlacesWhatTheMigrationsPlace(t *testing.T) {
	text, err := os.ReadFile(toCitus)
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`(?:SELECT|PERFORM) (create_\w+_table\([^)]*\))`)
	find := func(text []byte) (out []string) {
		for _, m := range calls.FindAllSubmatch(text, -1) {
			out = append(out, string(m[1]))
		}
		return out
	}
	var want []string
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		migration, err := migrations.ReadFile("migrations/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, find(migration)...)
	}
	got := find(text)
	slices.Sort(got)
	slices.Sort(want)
	if len(want) < 17 || !slices.Equal(got, want) {
		t.Errorf("%s places\n%s\nthe migrations\n%s", toCitus, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, call := range want {
		name := strings.Split(call, "'")[1]
		locked, _, _ := bytes.Cut(text, []byte("SELECT create_"))
		if !regexp.MustCompile(`\b` + name + `\b`).Match(locked[bytes.Index(locked, []byte("LOCK TABLE")):]) {
			t.Errorf("%s is not locked first", name)
		}
	}
	if !bytes.Contains(text, fmt.Appendf(nil, "<> %d THEN", len(entries))) {
		t.Error("the file is for another version of the tables")
	}
}

// grown is a database of the superuser on the nodes of a cluster, which is plain
// until they are joined.
type grown struct {
	t    *testing.T
	name string
}

func newGrown(t *testing.T, c *pgtest.Cluster) *grown {
	t.Helper()
	g := &grown{t, "grown_" + strings.ToLower(rand.Text()[:12])}
	g.create(append([]*pgtest.Cluster{c}, c.Workers()...)...)
	return g
}

func (g *grown) create(nodes ...*pgtest.Cluster) {
	g.t.Helper()
	for _, node := range nodes {
		alone(g.t, node.URL(), `CREATE DATABASE `+g.name+` TEMPLATE template0`)
		g.t.Cleanup(func() { alone(g.t, node.URL(), `DROP DATABASE `+g.name+` WITH (FORCE)`) })
	}
}

func (g *grown) of(node *pgtest.Cluster) string {
	g.t.Helper()
	u, err := url.Parse(node.URL())
	if err != nil {
		g.t.Fatal(err)
	}
	u.Path = "/" + g.name
	return u.String()
}

// join makes the databases one of Citus.
func (g *grown) join(c *pgtest.Cluster) {
	g.t.Helper()
	g.extend(c)
	sqlOn(g.t, g.of(c), `SELECT citus_set_coordinator_host('127.0.0.1', $1)`, portOf(g.t, c))
	for _, w := range c.Workers() {
		g.add(c, w)
	}
}

func (g *grown) add(c, worker *pgtest.Cluster) {
	g.t.Helper()
	g.extend(worker)
	sqlOn(g.t, g.of(c), `SELECT citus_add_node('127.0.0.1', $1)`, portOf(g.t, worker))
}

func (g *grown) extend(node *pgtest.Cluster) {
	g.t.Helper()
	u, err := url.Parse(node.URL())
	if err != nil {
		g.t.Fatal(err)
	}
	password, _ := u.User.Password()
	sqlOn(g.t, g.of(node), `CREATE EXTENSION citus`)
	sqlOn(g.t, g.of(node), `INSERT INTO pg_dist_authinfo VALUES (0, $1, 'password=' || $2)`, u.User.Username(), password)
}

// A database of PostgreSQL becomes one of Citus while servers write: the steps
// of docs/operations-citus.md.
func TestADatabaseBecomesACitusClusterUnderLoad(t *testing.T) {
	c, ok := citus(t)
	if !ok || c.Folder() == "" {
		return
	}
	g := newGrown(t, c)
	address := g.of(c)
	s := open(t, address, postgres.Options{})
	l := newLoad(t, s)
	l.run(600, func() {
		time.Sleep(300 * time.Millisecond)
		g.join(c)
		before := l.edits()
		began := time.Now()
		text, err := os.ReadFile(toCitus)
		if err != nil {
			t.Fatal(err)
		}
		psql := c.Command(t.Context(), "psql", "-X", "-v", "ON_ERROR_STOP=1", "-f", "-", address)
		psql.Stdin = bytes.NewReader(text)
		out, err := psql.CombinedOutput()
		if err != nil {
			t.Errorf("psql: %v\n%s", err, out)
		}
		t.Logf("placed in %v, %d edits before it, %d after\n%s", time.Since(began), before, l.edits(), out)
		time.Sleep(time.Second)
	})
	if got := query(t, address, `SELECT count(DISTINCT table_name)::text FROM citus_shards`); got[0] != "17" {
		t.Errorf("%s tables are placed, want 17", got)
	}
	if on := l.nodesOf(address); len(on) < 2 {
		t.Errorf("all scopes are on node %v", on)
	}
}

// alone runs a statement on one node.
func alone(t testing.TB, address, text string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close(ctx) //nolint:errcheck // its answers are here
	for _, q := range []string{`SET citus.enable_ddl_propagation TO off`, text} {
		_, err := conn.Exec(ctx, q)
		for try := 0; err != nil && strings.Contains(err.Error(), "55006") && try < 3; try++ { // a daemon knocked while it was dropped
			_, err = conn.Exec(ctx, q)
		}
		if err != nil {
			t.Errorf("%s: %v", q, err)
		}
	}
}

// A worker is added and takes its part of the shards, while servers write.
func TestAWorkerIsAddedUnderLoad(t *testing.T) {
	c, ok := citus(t)
	if !ok || c.Folder() == "" {
		return
	}
	g := newGrown(t, c)
	g.join(c)
	address := g.of(c)
	l := newLoad(t, open(t, address, postgres.Options{}))
	third := pgtest.StartOwn(t, pgtest.Options{Config: map[string]string{
		"shared_preload_libraries": "citus", "wal_level": "logical", "citus.node_conninfo": "sslmode=disable", "citus.enable_statistics_collection": "off",
	}})
	l.run(200, func() {
		g.create(third)
		g.add(c, third)
		before, began := l.edits(), time.Now()
		sqlOn(t, address, `SELECT citus_rebalance_start(shard_transfer_mode => 'force_logical')`)
		sqlOn(t, address, `SELECT citus_rebalance_wait()`)
		t.Logf("rebalanced in %v, %d edits before it, %d after", time.Since(began), before, l.edits())
	})
	if got := query(t, address, `SELECT count(DISTINCT shardid)::text FROM citus_shards WHERE nodeport = $1 AND table_name = 'scopes'::regclass`, portOf(t, third)); got[0] == "0" {
		t.Error("the new worker has no scope")
	}
	sqlOn(t, address, `SELECT citus_drain_node('127.0.0.1', $1, 'force_logical')`, portOf(t, third))
	sqlOn(t, address, `SELECT citus_remove_node('127.0.0.1', $1)`, portOf(t, third))
	if err := countedEdit(t.Context(), l.s, l.scopes[0], syncproto.RecordID{9}); err != nil {
		t.Errorf("after the worker was drained and removed: %v", err)
	}
}
