package sim_test

import (
	"context"
	"flag"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/sim"
)

var postgresSeeds = flag.Int("sim.postgres.seeds", 4, "how many seeds to run on PostgreSQL")

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

// TestSimPostgres runs the fleet through fresh seeds, with the server's store on
// PostgreSQL: one server, two and three, in turn.
func TestSimPostgres(t *testing.T) { fresh(t, newDatabases(t).run, onPostgres, *postgresSeeds) }

func onPostgres(seed uint64) sim.Profile {
	p := sim.ProfileOf(seed)
	p.Servers = 1 + int(seed%3) //nolint:gosec // 1 to 3
	return p
}

func TestSimIsTheSameOnEveryEngine(t *testing.T) {
	free := newDatabases(t)
	all(run, func(n int) (sim.Config, bool) {
		seed := uint64(n) + *first
		return sim.Config{Seed: seed, Steps: *steps, Profile: sim.ProfileOf(seed), Trace: true, Apart: true}, n < *postgresSeeds
	}, func(cfg sim.Config, res sim.Result) bool {
		other := free.run(cfg)
		if res.Hash != other.Hash {
			a, b := res.About(""), other.About("")
			for i := range a {
				if i >= len(b) || a[i] != b[i] {
					t.Errorf("seed %d: line %d of %d\n%s\n\n%s", cfg.Seed, i, len(a), strings.Join(a[max(0, i-12):min(i+4, len(a))], "\n"), strings.Join(b[max(0, i-3):min(i+4, len(b))], "\n"))
					break
				}
			}
		}
		return true
	})
}
