package postgres_test

import (
	"os"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// citus returns a cluster, or ends the test where there is none: Citus is not
// in Debian, so its lack is a failure only where it is required.
func citus(t testing.TB) (c *pgtest.Cluster, ok bool) {
	t.Helper()
	c, ok = pgtest.Citus(t)
	if !ok && os.Getenv("SAMBANG_REQUIRE_CITUS") == "1" {
		t.Fatal("NOT TESTED, the store on Citus: it is not installed, and SAMBANG_TEST_CITUS_URL names none")
	}
	if !ok {
		t.Log("NOT TESTED, the store on Citus: it is not installed, and SAMBANG_TEST_CITUS_URL names none")
	}
	return c, ok
}

// citusDatabases returns a maker of databases that have the store's tables: to
// join the nodes in each anew, and to make all tables, takes a dozen seconds.
func citusDatabases(t *testing.T, c *pgtest.Cluster) func(t testing.TB) (address string) {
	t.Helper()
	first := c.Database(t)
	s, err := postgres.Open(t.Context(), first, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	empty := c.Snapshot(t, first)
	return func(t testing.TB) string { return empty.Copy(t) }
}

func TestStoreOnCitus(t *testing.T) {
	c, ok := citus(t)
	if !ok {
		return
	}
	database := citusDatabases(t, c)
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := postgres.Open(t.Context(), database(t), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestDamagedRowsOnCitus(t *testing.T) {
	c, ok := citus(t)
	if !ok {
		return
	}
	runDamaged(t, citusDatabases(t, c))
}

// All servers of a cluster are connected to its coordinator.
func TestServersOnCitus(t *testing.T) {
	c, ok := citus(t)
	if !ok {
		return
	}
	database := citusDatabases(t, c)
	t.Run("are one store", func(t *testing.T) { runPair(t, database) })
	t.Run("tell each other", func(t *testing.T) { tellEachOther(t, database(t)) })
}
