package sim_test

import (
	"context"
	"flag"
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
// PostgreSQL.
func TestSimPostgres(t *testing.T) { fresh(t, newDatabases(t).run, *postgresSeeds) }
