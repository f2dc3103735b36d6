package sqlite_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// The power goes while the log is moved into the file: the first page, which
// says how long the file is, was written, and those at its end were not.
func TestOpenAfterACrashInACheckpoint(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rows, changes := storetest.RowsOf(storetest.NewRand(), 500, scope, 0)
	if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
		t.Fatal(err)
	}
	before, log := read(t, path), read(t, path+"-wal")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after := read(t, path)
	const page = 4096
	if len(after) <= len(before) {
		t.Fatalf("the file did not grow: %d and %d bytes", len(before), len(after))
	}
	torn := filepath.Join(dir, "torn.db")
	write(t, torn, append(after[:page:page], before[page:]...))
	write(t, torn+"-wal", log)

	s = open(t, torn, sqlite.Options{})
	err = s.View(t.Context(), func(r store.Reader) error {
		heads, err := r.Heads("35", "D")
		if err != nil || len(heads) != 1 || heads[0].Seq != 500 {
			t.Errorf("heads %v, %v", heads, err)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := s.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
		t.Error(err)
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
