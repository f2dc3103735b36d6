package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

func TestOpenCreatesForTheOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a store?mode=memory&x#y%20.db") // a name that is not a part of a URI
	s := open(t, path, sqlite.Options{})
	rows, changes := storetest.RowsOf(storetest.NewRand(), 1, scope, 0)
	if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
		names[e.Name()] = true
	}
	base := filepath.Base(path)
	if len(names) != 3 || !names[base] || !names[base+"-wal"] || !names[base+"-shm"] {
		t.Errorf("files: %v", names)
	}
}

func TestOpenNarrowsTheModeOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path, sqlite.Options{})
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	open(t, path, sqlite.Options{})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// The settings on which durability rests: WAL and synchronous=FULL lost no
// acknowledged commit in 230,000 crash images, the driver's default did.
func TestOpenAssertsDurability(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path, sqlite.Options{})
	if got := query(t, path, `PRAGMA journal_mode`); got[0] != "wal" {
		t.Errorf("journal_mode is %v", got)
	}
	for pragma, want := range map[string]string{
		"synchronous": "2", "foreign_keys": "1", "cell_size_check": "1", "busy_timeout": "5000", "journal_mode": "wal", "application_id": "1399677543", "user_version": "3",
	} {
		for _, pool := range []string{"writer", "reader"} {
			if got := sqlite.Pragma(t.Context(), open(t, path, sqlite.Options{}), pool, pragma); got != want {
				t.Errorf("%s: %s is %q, want %q", pool, pragma, got, want)
			}
		}
	}
}

// What is not ours is not touched: not a byte, not a file beside it.
func TestOpenLeavesForeignFilesAlone(t *testing.T) {
	makeDB := func(t *testing.T, path string, statements ...string) {
		db, err := sql.Open("sqlite", "file:"+path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, path string)
		want error
	}{
		"a text":           {func(t *testing.T, path string) { writeFile(t, path, strings.Repeat("not a database ", 20)) }, store.ErrForeign},
		"a short file":     {func(t *testing.T, path string) { writeFile(t, path, "SQLite format 3\x00") }, store.ErrForeign},
		"another database": {func(t *testing.T, path string) { makeDB(t, path, `CREATE TABLE records (x)`) }, store.ErrForeign},
		"a database in WAL mode": {func(t *testing.T, path string) {
			makeDB(t, path, `PRAGMA journal_mode = WAL`, `PRAGMA application_id = 7`, `CREATE TABLE records (x)`)
		}, store.ErrForeign},
		"a newer store": {func(t *testing.T, path string) {
			makeDB(t, path, `PRAGMA application_id = 1399677543`, `PRAGMA user_version = 4`, `CREATE TABLE records (x)`)
		}, store.ErrNewer},
		"a store whose rows have no sums": {func(t *testing.T, path string) {
			makeDB(t, path, `PRAGMA application_id = 1399677543`, `PRAGMA user_version = 1`, `CREATE TABLE records (x)`)
		}, store.ErrOlder},
		"an emptied file with its log": {func(t *testing.T, path string) {
			writeFile(t, path, "")
			writeFile(t, path+"-wal", "log")
		}, store.ErrForeign},
		"a directory": {func(t *testing.T, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, store.ErrForeign},
		"a file in no directory": {func(*testing.T, string) {}, fs.ErrNotExist},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			c.make(t, path)
			if c.want == fs.ErrNotExist { //nolint:errorlint // the table's own value
				path = filepath.Join(path, "store.db")
			}
			before := readDir(t, filepath.Dir(path))
			if s, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, c.want) || s != nil {
				t.Errorf("error is %v, want %v", err, c.want)
			}
			after := readDir(t, filepath.Dir(path))
			if len(before) != len(after) {
				t.Errorf("files before: %d, after: %d", len(before), len(after))
			}
			for name, content := range before {
				if !bytes.Equal(content, after[name]) {
					t.Errorf("%s was changed", name)
				}
			}
		})
	}
}

// A newer version may still be in the log alone: it is found there too.
func TestOpenFindsANewerVersionInTheLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() // while it is open, the log stays
	sqlOn(t, path, `PRAGMA user_version = 99`)
	if _, err := sqlite.Open(t.Context(), path, sqlite.Options{}); !errors.Is(err, store.ErrNewer) {
		t.Errorf("error is %v, want %v", err, store.ErrNewer)
	}
}

func TestOpenTakesAnEmptyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	writeFile(t, path, "")
	open(t, path, sqlite.Options{})
}

// A service manager may start two servers at once on a fresh directory.
func TestOpenByManyAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	errs := make(chan error)
	for range 4 {
		go func() {
			s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := readDir(t, filepath.Dir(path)); len(got) != 1 {
		t.Errorf("%d files are left", len(got))
	}
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// readDir returns the files of a directory, none if there is no directory.
func readDir(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			out[e.Name()] = nil
			continue
		}
		if out[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// A store of the version before is upgraded where it stands, with what it holds.
func TestOpenUpgradesAStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := storetest.Sample(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const indexes = `SELECT name || ' ' || sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name`
	want := query(t, path, indexes)
	for _, text := range []string{`DROP INDEX records_scope`, `DROP INDEX records_kind`, `DROP INDEX records_agency`, `DELETE FROM goose_db_version WHERE version_id = 3`, `PRAGMA user_version = 2`} {
		sqlOn(t, path, text)
	}
	s = open(t, path, sqlite.Options{})
	if got := query(t, path, indexes); !slices.Equal(got, want) {
		t.Errorf("indexes\nare  %v\nwant %v", got, want)
	}
	if err := s.Check(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Error(err)
	}
	if got := query(t, path, `SELECT count(*) FROM records WHERE moved_to IS NULL`); got[0] != strconv.Itoa(storetest.SampleRows) {
		t.Errorf("%s records", got[0])
	}
}
