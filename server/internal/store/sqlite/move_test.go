package sqlite_test

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

func source(t *testing.T, path string) *sqlite.Source {
	t.Helper()
	x, err := sqlite.OpenSource(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func name() string { return "move-1" }

// A hundred phones that call while the file is fenced are told so together, and
// not one after the other.
func TestWhoWaitsForAFenceIsRefusedTogether(t *testing.T) {
	const busy = 200 * time.Millisecond
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, sqlite.Options{BusyTimeout: busy})
	x := source(t, path)
	if _, _, err := x.Fence(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	const callers = 100
	began := time.Now()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); !errors.Is(err, store.ErrBusy) {
				t.Errorf("error is %v, want %v", err, store.ErrBusy)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took > callers*busy/4 {
		t.Errorf("%d callers were refused after %s", callers, took)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); err != nil {
		t.Errorf("after the fence: %v", err)
	}
}

// A store that is closed while it is fenced closes.
func TestAFencedStoreCloses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{BusyTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	x := source(t, path)
	if _, _, err := x.Fence(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); !errors.Is(err, store.ErrBusy) && !errors.Is(err, store.ErrClosed) {
				t.Errorf("error is %v", err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	if err := x.Close(); err != nil {
		t.Error(err)
	}
}

// A program that knows nothing of moves and has the file open must not write it
// either, whatever table it writes.
func TestAMovedFileTakesNoWriteOfAnyProgram(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, sqlite.Options{})
	storetest.Fill(t, s)
	before := storetest.Dump(t, s)
	x := source(t, path)
	if _, _, err := x.Fence(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := x.Mark(t.Context(), "elsewhere"); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	for table := range sqlite.Tables() {
		for _, text := range []string{
			`INSERT INTO ` + table + ` SELECT * FROM ` + table, `INSERT OR REPLACE INTO ` + table + ` SELECT * FROM ` + table,
			`UPDATE ` + table + ` SET sum = 1`, `DELETE FROM ` + table,
		} {
			if err := trySQL(t, path, text); err == nil || !strings.Contains(err.Error(), "moved") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	if err := s.Update(t.Context(), storetest.OneStep(func(store.Tx) error { return nil })); !errors.Is(err, store.ErrMoved) {
		t.Errorf("a step that writes nothing: %v", err)
	}
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, store.ErrMoved) {
		t.Errorf("opening it: %v", err)
	}
	// It can be read, by who has it open.
	if diff := cmp.Diff(before, storetest.Dump(t, s)); diff != "" {
		t.Errorf("what a moved file shows:\n%s", diff)
	}
	if got := query(t, path, `SELECT id || ' ' || target FROM sambang_move`); got[0] != "move-1 elsewhere" {
		t.Errorf("the file remembers %q", got)
	}
	if got := query(t, path, `PRAGMA user_version`); len(got[0]) < 7 {
		t.Errorf("an older program would take version %s for its own", got)
	}
}

// A file is not made by being moved.
func TestASourceMustBeThere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if _, err := sqlite.OpenSource(t.Context(), path, sqlite.Options{}); err == nil {
		t.Error("a file that is not there was opened")
	}
	if made, _ := filepath.Glob(path + "*"); len(made) > 0 {
		t.Errorf("it made %v", made)
	}
}
