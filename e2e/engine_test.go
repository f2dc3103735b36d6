package e2e_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
)

// engine is what the worlds of these tests keep their store in.
var engine = flag.String("e2e.store", "sqlite", "the engine of the server's store: sqlite or postgres")

// database is the address of an empty store, "" for a file in the server's
// folder.
func database(t testing.TB) string {
	t.Helper()
	switch *engine {
	case "sqlite":
		return ""
	case "postgres":
		return pgtest.Start(t).Database(t)
	}
	t.Fatalf("there is no engine %q", *engine)
	return ""
}

// saved saves the server, and returns how it is brought back: its folder, and
// its database if it has one.
func (w *world) saved() (restore func()) {
	w.t.Helper()
	at, to := filepath.Join(w.dir, "server"), filepath.Join(w.t.TempDir(), "server")
	replace(w.t, to, at)
	if w.store == "" {
		return func() { replace(w.t, at, to) }
	}
	kept := pgtest.Start(w.t).Snapshot(w.t, w.store)
	return func() {
		replace(w.t, at, to)
		kept.Restore(w.t)
	}
}

// TestOnPostgreSQL runs all tests of this folder again, on PostgreSQL: device
// and server are the same whatever the store is.
func TestOnPostgreSQL(t *testing.T) {
	pgtest.Start(t) // or there is none
	args := []string{"-e2e.store=postgres", "-test.skip=^Test(OnPostgreSQL$|Several|AMove|Drill|EveryDrilled)", "-test.timeout=20m"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	out, err := exec.CommandContext(t.Context(), os.Args[0], args...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
