package sim_test

import (
	"context"
	"flag"
	"fmt"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/sim"
)

var (
	onPostgres = flag.Int("sim.postgres", 4, "how many seeds to run on PostgreSQL")
	onEach     = flag.Int("sim.same", 3, "how many seeds to run on each engine, and compare")
)

// databases are what runs have their stores in, one after another.
type databases chan *database

// database implements [sim.Database].
type database struct {
	url string
	*pgtest.Dumper
}

// newDatabases makes one database for each worker.
func newDatabases(t *testing.T) databases {
	t.Helper()
	cluster := pgtest.Start(t)
	free := make(databases, *workers)
	for range *workers {
		at := cluster.Database(t)
		dumper, err := pgtest.OpenDumper(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = dumper.Close(context.Background()) })
		free <- &database{at, dumper}
	}
	return free
}

// run runs one seed in an empty database.
func (free databases) run(cfg sim.Config) sim.Result {
	d := <-free
	defer func() { free <- d }()
	if err := d.Clear(context.Background()); err != nil {
		return sim.Result{Failure: &sim.Failure{What: err.Error()}}
	}
	cfg.Database = d
	return run(cfg)
}

// URL implements [sim.Database].
func (d *database) URL() string { return d.url }

// Full implements [sim.Database].
func (d *database) Full() error { return pgtest.ErrNoRoom }

// Backup implements [sim.Database].
func (d *database) Backup() (func() error, error) {
	dump, err := d.Dump(context.Background())
	return func() error { return d.Load(context.Background(), dump) }, err
}

// servers spreads seeds over the profiles, and over one server, two and three.
func servers(seed uint64) sim.Profile {
	p := sim.ProfileOf(seed)
	p.Servers = 1 + int(seed%3) //nolint:gosec // 1 to 3
	return p
}

// TestSimPostgres runs the fleet through fresh seeds, around one server or
// several on one PostgreSQL database.
func TestSimPostgres(t *testing.T) { fresh(t, newDatabases(t).run, servers, *onPostgres) }

// foundOnPostgres are seeds that once failed there, as in found.
var foundOnPostgres = []struct {
	seed  uint64
	steps int
	what  string
}{
	{1030, 200, "(the checker's own) days passed at another server before a code for a device was used"},
	{1052, 200, "(the checker's own) a phone that was told of its revocation before headquarters had an answer"},
}

// TestSimPostgresFound runs them.
func TestSimPostgresFound(t *testing.T) {
	all(newDatabases(t).run, func(n int) (sim.Config, bool) {
		if n >= len(foundOnPostgres) {
			return sim.Config{}, false
		}
		seed := foundOnPostgres[n].seed
		return sim.Config{Seed: seed, Steps: foundOnPostgres[n].steps, Profile: servers(seed)}, true
	}, func(cfg sim.Config, res sim.Result) bool {
		if res.Failure != nil {
			t.Errorf("seed %d: %v", cfg.Seed, res.Failure)
		}
		return true
	})
}

// TestSimPostgresIsDeterministic runs seeds twice, one of them around each
// number of servers.
func TestSimPostgresIsDeterministic(t *testing.T) {
	hashes := map[uint64]string{}
	all(newDatabases(t).run, func(n int) (sim.Config, bool) {
		seed := *first + uint64(n/2) //nolint:gosec // not negative
		return sim.Config{Seed: seed, Steps: 60, Profile: servers(seed)}, n < 6
	}, func(cfg sim.Config, res sim.Result) bool {
		if was, ok := hashes[cfg.Seed]; ok && was != res.Hash {
			t.Errorf("seed %d gave the trace %s, and then %s", cfg.Seed, was, res.Hash)
		}
		hashes[cfg.Seed] = res.Hash
		return true
	})
}

// TestSimIsTheSameOnEveryEngine runs seeds on SQLite and on PostgreSQL, with all
// faults: the traces must be the same to the last line.
func TestSimIsTheSameOnEveryEngine(t *testing.T) {
	free := newDatabases(t)
	all(func(cfg sim.Config) sim.Result {
		here, there := run(cfg), free.run(cfg)
		if here.Failure == nil && there.Failure == nil && here.Hash != there.Hash {
			here.Failure = &sim.Failure{What: difference(here.About(""), there.About(""))}
		}
		if here.Failure == nil {
			here.Failure = there.Failure
		}
		return here
	}, func(n int) (sim.Config, bool) {
		seed := *first + uint64(n) //nolint:gosec // not negative
		return sim.Config{Seed: seed, Steps: *steps, Profile: sim.ProfileOf(seed), Apart: true, Trace: true}, n < *onEach
	}, func(cfg sim.Config, res sim.Result) bool {
		if res.Failure != nil {
			t.Errorf("seed %d: %v", cfg.Seed, res.Failure)
		}
		return true
	})
}

// difference shows where two traces part.
func difference(sqlite, postgres []string) string {
	at := 0
	for at < min(len(sqlite), len(postgres)) && sqlite[at] == postgres[at] {
		at++
	}
	some := func(trace []string) string { return strings.Join(trace[max(0, at-5):min(len(trace), at+3)], "\n") }
	return fmt.Sprintf("line %d of the trace is another on PostgreSQL\nSQLite:\n%s\nPostgreSQL:\n%s", at, some(sqlite), some(postgres))
}
