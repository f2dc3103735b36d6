package cache_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

func TestOpenRefusesWithoutChangingAByte(t *testing.T) {
	sealed, plain := t.TempDir(), t.TempDir()
	db := open(t, sealed, sealedOptions())
	put(t, db, records, "a", "1")
	closeDB(t, db)
	db = open(t, plain, cache.Options{Plain: true})
	put(t, db, records, "a", "1")
	closeDB(t, db)

	file := func(contents []byte) string {
		dir := t.TempDir()
		writeFile(t, dbFile(dir), contents)
		return dir
	}
	t.Run("another key", func(t *testing.T) { refuses(t, sealed, cache.Options{Key: key(2)}, cache.ErrWrongKey) })
	t.Run("sealed, opened plain", func(t *testing.T) { refuses(t, sealed, cache.Options{Plain: true}, cache.ErrSealed) })
	t.Run("plain, opened with a key", func(t *testing.T) { refuses(t, plain, sealedOptions(), cache.ErrPlain) })
	t.Run("no key", func(t *testing.T) { refuses(t, sealed, cache.Options{}, cache.ErrKeySize) })
	t.Run("a short key", func(t *testing.T) { refuses(t, sealed, cache.Options{Key: key(1)[:31]}, cache.ErrKeySize) })
	t.Run("key and plain", func(t *testing.T) {
		refuses(t, sealed, cache.Options{Key: key(1), Plain: true}, cache.ErrKeySize)
	})
	t.Run("an empty file", func(t *testing.T) { refuses(t, file(nil), sealedOptions(), cache.ErrDamaged) })
	t.Run("zeros", func(t *testing.T) { refuses(t, file(make([]byte, 65536)), sealedOptions(), cache.ErrDamaged) })
	t.Run("a short text", func(t *testing.T) { refuses(t, file([]byte("hello")), sealedOptions(), cache.ErrForeign) })
	t.Run("a SQLite file", func(t *testing.T) {
		refuses(t, file(append([]byte("SQLite format 3\x00"), make([]byte, 16384)...)), sealedOptions(), cache.ErrForeign)
	})
	t.Run("another program's bbolt file", func(t *testing.T) {
		for _, noFreelist := range []bool{false, true} {
			dir := t.TempDir()
			other, err := bolt.Open(dbFile(dir), 0o600, &bolt.Options{NoFreelistSync: noFreelist, PageSize: 4096})
			if err != nil {
				t.Fatal(err)
			}
			err = other.Update(func(tx *bolt.Tx) error {
				_, err := tx.CreateBucket([]byte("theirs"))
				return err
			})
			if err := errors.Join(err, other.Close()); err != nil {
				t.Fatal(err)
			}
			refuses(t, dir, sealedOptions(), cache.ErrForeign)
		}
	})
	t.Run("a newer version's store", func(t *testing.T) {
		dir := file(readFile(t, dbFile(sealed)))
		editHeader(t, dir, func(h []byte) []byte { return cache.HeaderWithSchema(h, 2) })
		refuses(t, dir, sealedOptions(), cache.ErrNewerSchema)
	})
	t.Run("a damaged header", func(t *testing.T) {
		for i := 0; i < 52; i += 6 {
			dir := file(readFile(t, dbFile(sealed)))
			editHeader(t, dir, func(h []byte) []byte { h[i] ^= 0x10; return h })
			refuses(t, dir, sealedOptions(), cache.ErrDamaged)
		}
	})
	t.Run("a folder in the file's place", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(dbFile(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.Open(dir, sealedOptions()); err == nil {
			t.Error("a folder was opened")
		}
	})
	for _, dir := range []string{sealed} {
		db := open(t, dir, sealedOptions())
		if get(t, db, records, "a") != "1" {
			t.Error("the store is not the same after all refusals")
		}
	}
}

// editHeader changes a store's header row through bbolt.
func editHeader(t *testing.T, dir string, edit func([]byte) []byte) {
	t.Helper()
	db, err := bolt.Open(dbFile(dir), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		b := tx.Bucket([]byte("sambang-cache"))
		h := append([]byte(nil), b.Get([]byte("header"))...)
		return b.Put([]byte("header"), edit(h))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestMain lets a test start this binary as another process.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CACHE_TEST_CHILD"); dir != "" {
		os.Exit(child(os.Args[1], dir))
	}
	os.Exit(m.Run())
}

// child is what the other process does. Its exit codes are the test's business.
func child(what, dir string) int {
	db, err := cache.Open(dir, sealedOptions())
	switch what {
	case "open":
		if errors.Is(err, cache.ErrLocked) {
			return 10
		}
	case "save":
		if err == nil {
			saveUntilKilled(db)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func childCommand(t *testing.T, what, dir string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, what)
	cmd.Env = append(os.Environ(), "CACHE_TEST_CHILD="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

func TestAStoreIsOpenOnce(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, sealedOptions())
	put(t, db, records, "a", "1")
	t.Run("in this process", func(t *testing.T) { refuses(t, dir, sealedOptions(), cache.ErrLocked) })
	t.Run("in another process", func(t *testing.T) {
		var exit *exec.ExitError
		if err := childCommand(t, "open", dir).Run(); !errors.As(err, &exit) || exit.ExitCode() != 10 {
			t.Errorf("the other process: %v", err)
		}
	})
	t.Run("and lets go when closed", func(t *testing.T) {
		put(t, db, records, "b", "2")
		closeDB(t, db)
		if err := childCommand(t, "open", dir).Run(); err != nil {
			t.Error(err)
		}
	})
	t.Run("a foreign tool on the file is noticed", func(t *testing.T) {
		tool, err := bolt.Open(dbFile(dir), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer tool.Close()
		refuses(t, dir, sealedOptions(), cache.ErrLocked)
	})
}

var errCrash = errors.New("crash")

// TestACrashWhileCreatingLeavesNoOrAWholeStore stops the creation at each step, before it and after it, as a kill does, and
// after it with the folder as a power cut may leave it: names that were not synced are undone.
func TestACrashWhileCreatingLeavesNoOrAWholeStore(t *testing.T) {
	count := 0
	o := sealedOptions()
	o.Fault = func(_ cache.Op, do func() error) error { count++; return do() }
	open(t, filepath.Join(t.TempDir(), "x", "y"), o)
	if count < 9 {
		t.Fatalf("only %d steps: the fault seam is not called", count)
	}
	for stop := range count {
		for _, after := range []bool{false, true} {
			dir := filepath.Join(t.TempDir(), "x", "y")
			var ops []cache.Op
			o.Fault = func(op cache.Op, do func() error) error {
				ops = append(ops, op)
				if len(ops)-1 < stop {
					return do()
				}
				if len(ops)-1 == stop && after {
					if err := do(); err != nil {
						t.Error(err)
					}
				}
				return errCrash
			}
			if db, err := cache.Open(dir, o); !errors.Is(err, errCrash) {
				t.Fatalf("stop at %d: %v, %v", stop, db, err)
			}
			name := fmt.Sprintf("stopped at %d %s, after=%v", stop, ops[stop], after)
			db, err := cache.Open(dir, sealedOptions())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			put(t, db, records, "a", "1")
			closeDB(t, db)
			if _, err := os.Stat(filepath.Join(dir, "cache.new")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: cache.new is left over: %v", name, err)
			}
		}
	}
}

func TestAFileIsRenamedOnlyWhenItIsWholeAndItsNameIsSyncedAfter(t *testing.T) {
	dir := t.TempDir()
	var ops []cache.Op
	o := sealedOptions()
	o.Fault = func(op cache.Op, do func() error) error {
		_, err := os.Stat(dbFile(dir))
		if there := err == nil; there != slices.Contains(ops, cache.OpRename) {
			t.Errorf("before %q: cache.db there = %v", op, there)
		}
		if len(ops) == 0 || op != cache.OpSyncDir || ops[len(ops)-1] != op { // several folders count as one
			ops = append(ops, op)
		}
		return do()
	}
	open(t, dir, o)
	want := "[sync directory create rename fence sync directory create mark sync directory fence]"
	if fmt.Sprint(ops) != want {
		t.Errorf("steps %v, want %v", ops, want)
	}
}

// An Open that failed has left names that are not durable: the next one must
// not take them for good.
func TestTheNextOpenSyncsTheFoldersThatTheLastDidNot(t *testing.T) {
	syncs := func(o *cache.Options, fail int) *int {
		n := 0
		o.Fault = func(op cache.Op, do func() error) error {
			if op == cache.OpSyncDir {
				if n++; n == fail {
					return errDisk
				}
			}
			return do()
		}
		return &n
	}
	for fail := 1; ; fail++ {
		dir := filepath.Join(t.TempDir(), "app", "store")
		o := sealedOptions()
		o.MarkDir = t.TempDir()
		syncs(&o, fail)
		db, err := cache.Open(dir, o)
		if err == nil {
			closeDB(t, db)
			if fail < 6 {
				t.Errorf("only %d syncs of folders", fail-1)
			}
			return
		}
		_, err = os.Stat(dbFile(dir))
		named := err == nil
		n := syncs(&o, -1)
		closeDB(t, open(t, dir, o))
		// The folder itself, or, for a file that is made, also those above it and below the root.
		if least := 1 + strings.Count(dir, string(filepath.Separator)); !named && *n < least || named && *n == 0 {
			t.Errorf("sync %d failed, file there %v: the next Open syncs %d folders", fail, named, *n)
		}
	}
}

func TestATornCreationIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "cache.new"), []byte("half a file"))
	db := open(t, dir, sealedOptions())
	put(t, db, records, "a", "1")
}

func TestARandomSourceThatFailsWritesNothing(t *testing.T) {
	dir := t.TempDir()
	o := sealedOptions()
	o.Rand = brokenRand{}
	if _, err := cache.Open(dir, o); err == nil {
		t.Fatal("a store was made without randomness")
	}
	db := open(t, dir, sealedOptions())
	closeDB(t, db)
	db = open(t, dir, o) // reading needs none
	if err := db.Update(func(tx *cache.Tx) error { return tx.Put(records, []byte("a"), nil) }); err == nil {
		t.Error("a row was sealed without a nonce")
	}
	if got := get(t, db, records, "a"); got != "(absent)" {
		t.Errorf("row = %q", got)
	}
}
