package engine_test

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
)

var kind = flag.String("engine.store", "sqlite", "the engine of the store: sqlite or postgres")

// place is where a store is: the path of a file, or the address of a database.
type place string

func newPlace(t testing.TB) place {
	t.Helper()
	switch *kind {
	case "sqlite":
		return place(filepath.Join(t.TempDir(), "sambang.db"))
	case "postgres":
		return place(pgtest.Start(t).Database(t))
	}
	t.Fatalf("there is no engine %q", *kind)
	return ""
}

func (p place) open(t testing.TB) store.Store {
	t.Helper()
	var s store.Store
	var err error
	if *kind == "postgres" {
		s, err = postgres.Open(t.Context(), string(p), postgres.Options{})
	} else {
		s, err = sqlite.Open(t.Context(), string(p), sqlite.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dump returns the text of all that the database holds.
func (p place) dump(t testing.TB) string {
	t.Helper()
	c := pgtest.Start(t)
	out, err := c.Command(t.Context(), "pg_dump", c.Admin(string(p))).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// replace changes a text wherever it is in the records and the journal, past
// the store.
func (p place) replace(t testing.TB, from, to string) {
	t.Helper()
	pgtest.Start(t).Exec(t, string(p),
		fmt.Sprintf(`UPDATE records SET state = decode(replace(encode(state, 'hex'), '%x', '%x'), 'hex'), doc = replace(doc::text, '%s', '%s')::json`, from, to, from, to),
		fmt.Sprintf(`UPDATE changes SET ops = decode(replace(encode(ops, 'hex'), '%x', '%x'), 'hex')`, from, to))
}

// TestOnPostgreSQL runs all tests of this package again, on PostgreSQL: the
// sync rules are the same whatever the store is.
func TestOnPostgreSQL(t *testing.T) {
	pgtest.Start(t) // or there is none
	out, err := exec.CommandContext(t.Context(), os.Args[0], "-engine.store=postgres", "-test.skip=^TestOnPostgreSQL$", "-test.timeout=20m").CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// holds tells whether a dump has a text, as it is or as bytes.
func holds(dump, text string) bool {
	return strings.Contains(dump, text) || strings.Contains(dump, hex.EncodeToString([]byte(text)))
}
