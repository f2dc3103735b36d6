package hq_test

import (
	"flag"
	"os"
	"os/exec"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
)

// engine is what the worlds of these tests keep their store in.
var engine = flag.String("hq.store", "sqlite", "the engine of the store: sqlite, or postgres with its second lock")

func newWorld(t testing.TB, change func(*hq.Config)) *hqtest.World {
	t.Helper()
	switch *engine {
	case "sqlite":
		return hqtest.New(t, change)
	case "postgres":
		return hqtest.NewOn(t, locked(t), change)
	}
	t.Fatalf("there is no engine %q", *engine)
	return nil
}

// TestUnderTheSecondLock runs the tests of this folder again, on PostgreSQL,
// which holds every reader to his grants by itself: nobody notices. Left out are
// the tests that damage a file, and put one back.
func TestUnderTheSecondLock(t *testing.T) {
	pgtest.Start(t) // or there is none
	args := []string{"-hq.store=postgres", "-test.skip=^Test(UnderTheSecondLock$|ADamagedRecordIsAnEntry|ACursorDiesWithARollback)", "-test.timeout=20m"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	out, err := exec.CommandContext(t.Context(), os.Args[0], args...).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
