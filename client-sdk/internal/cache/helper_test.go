package cache_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

var seedFlag = flag.Uint64("cache.seed", 0, "seed of the random tests; 0 draws one")

// seeded returns a random source whose seed a failure prints.
func seeded(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("repeat with: go test -run '^%s$' -cache.seed=%d", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

func key(b byte) []byte { return bytes.Repeat([]byte{b}, cache.KeySize) }

func sealedOptions() cache.Options { return cache.Options{Key: key(1)} }

func open(t testing.TB, dir string, o cache.Options) *cache.DB {
	t.Helper()
	db, err := cache.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func closeDB(t testing.TB, db *cache.DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t testing.TB, db *cache.DB, b cache.Bucket, k, v string) {
	t.Helper()
	err := db.Update(func(tx *cache.Tx) error { return tx.Put(b, []byte(k), []byte(v)) })
	if err != nil {
		t.Fatal(err)
	}
}

// get returns a value, or "(absent)".
func get(t testing.TB, db *cache.DB, b cache.Bucket, k string) string {
	t.Helper()
	var v []byte
	err := db.View(func(tx *cache.Tx) (err error) {
		v, err = tx.Get(b, []byte(k))
		return err
	})
	if errors.Is(err, cache.ErrNotFound) {
		return "(absent)"
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(v)
}

func dbFile(dir string) string { return filepath.Join(dir, "cache.db") }

func fileSum(t testing.TB, path string) [32]byte {
	t.Helper()
	return sha256.Sum256(readFile(t, path))
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// refuses opens a store that must be refused with want, and asserts that its file is untouched.
func refuses(t *testing.T, dir string, o cache.Options, want error) {
	t.Helper()
	before := fileSum(t, dbFile(dir))
	db, err := cache.Open(dir, o)
	if err == nil {
		db.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("Open: %v, want %v", err, want)
	}
	for _, other := range []error{cache.ErrLocked, cache.ErrForeign, cache.ErrDamaged, cache.ErrNewerSchema,
		cache.ErrWrongKey, cache.ErrSealed, cache.ErrPlain, cache.ErrKeySize} {
		if !errors.Is(other, want) && errors.Is(err, other) {
			t.Errorf("Open: %v is also %v", err, other)
		}
	}
	if fileSum(t, dbFile(dir)) != before {
		t.Error("Open changed the file that it refused")
	}
}

// brokenRand fails, as a phone's random source may.
type brokenRand struct{}

func (brokenRand) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
