package cache_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// model is what a store should hold: bucket and key to value.
type model map[string]map[string]string

var modelBuckets = map[string]cache.Bucket{
	"records": cache.Sealed("records"), "log": cache.Sealed("log"), "heads": cache.Unsealed("heads"),
}

func (m model) clone() model {
	out := model{}
	for b, rows := range m {
		out[b] = map[string]string{}
		for k, v := range rows {
			out[b][k] = v
		}
	}
	return out
}

func (m model) keys(bucket string, r cache.Range) []string {
	var keys []string
	for k := range m[bucket] {
		if strings.HasPrefix(k, string(r.Prefix)) && k >= string(r.From) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}

func TestStoreAnswersAsAPlainMapDoes(t *testing.T) {
	for name, o := range map[string]cache.Options{"sealed": sealedOptions(), "plain": {Plain: true}} {
		t.Run(name, func(t *testing.T) {
			rnd := seeded(t)
			dir := t.TempDir()
			db := open(t, dir, o)
			m := model{"records": {}, "log": {}, "heads": {}}
			for range 150 {
				m = randomUpdate(t, rnd, db, m)
				switch rnd.IntN(12) {
				case 0:
					closeDB(t, db)
					db = open(t, dir, o)
				case 1, 2, 3:
					compare(t, rnd, db, m)
				}
			}
			compare(t, rnd, db, m)
			if damages, err := db.Check(); err != nil || len(damages) > 0 {
				t.Errorf("Check: %v, %v", damages, err)
			}
		})
	}
}

var errAbort = errors.New("abort")

func randomKey(rnd *rand.Rand) string {
	return fmt.Sprintf("%c/%04d", 'a'+rnd.IntN(4), rnd.IntN(400))
}

func randomValue(rnd *rand.Rand) string {
	n := rnd.IntN(300)
	switch rnd.IntN(20) {
	case 0:
		n = 0
	case 1:
		n = rnd.IntN(30_000) // overflow pages, and past a quarter of an arena block
	}
	v := make([]byte, n)
	for i := range v {
		v[i] = byte(rnd.Uint32())
	}
	return string(v)
}

// randomUpdate does the same to the store and the model; some transactions are aborted, by an error or a panic.
func randomUpdate(t *testing.T, rnd *rand.Rand, db *cache.DB, m model) model {
	t.Helper()
	next := m.clone()
	end := rnd.IntN(10)
	err := func() (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = p.(error)
			}
		}()
		return db.Update(func(tx *cache.Tx) error {
			for range rnd.IntN(40) {
				name := []string{"records", "log", "heads"}[rnd.IntN(3)]
				b, k := modelBuckets[name], randomKey(rnd)
				if rnd.IntN(3) == 0 {
					if err := tx.Delete(b, []byte(k)); err != nil {
						t.Fatal(err)
					}
					delete(next[name], k)
					continue
				}
				v := randomValue(rnd)
				keyBuffer, valueBuffer := []byte(k), []byte(v)
				if err := tx.Put(b, keyBuffer, valueBuffer); err != nil {
					t.Fatal(err)
				}
				clear(keyBuffer) // Put keeps nothing of the caller's
				clear(valueBuffer)
				next[name][k] = v
				if got, err := tx.Get(b, []byte(k)); err != nil || string(got) != v {
					t.Fatalf("a transaction does not read its own write: %v", err)
				}
			}
			if rnd.IntN(4) == 0 {
				deleteWhileIterating(t, rnd, tx, next)
			}
			switch end {
			case 0:
				return errAbort
			case 1:
				panic(errAbort)
			}
			return nil
		})
	}()
	switch {
	case end > 1 && err == nil:
		return next
	case end <= 1 && errors.Is(err, errAbort):
		return m
	}
	t.Fatalf("update: %v", err)
	return nil
}

func deleteWhileIterating(t *testing.T, rnd *rand.Rand, tx *cache.Tx, m model) {
	t.Helper()
	r := randomRange(rnd)
	want := m.keys("log", r)
	var got []string
	for row, err := range tx.Ascend(modelBuckets["log"], r) {
		if err != nil {
			t.Fatal(err)
		}
		k := string(row.Key)
		got = append(got, k)
		switch rnd.IntN(3) {
		case 0:
			if err := tx.Delete(modelBuckets["log"], row.Key); err != nil {
				t.Fatal(err)
			}
			delete(m["log"], k)
		case 1:
			if err := tx.Put(modelBuckets["log"], row.Key, row.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("iteration with writes in it: %q, want %q", got, want)
	}
}

func randomRange(rnd *rand.Rand) cache.Range {
	var r cache.Range
	if rnd.IntN(2) == 0 {
		r.Prefix = []byte(randomKey(rnd)[:rnd.IntN(5)])
	}
	if rnd.IntN(2) == 0 {
		r.From = []byte(randomKey(rnd))
	}
	return r
}

func compare(t *testing.T, rnd *rand.Rand, db *cache.DB, m model) {
	t.Helper()
	err := db.View(func(tx *cache.Tx) error {
		for name, b := range modelBuckets {
			for range 6 {
				compareRange(t, tx, m, name, b, randomRange(rnd))
			}
			compareRange(t, tx, m, name, b, cache.Range{})
			for range 30 {
				k := randomKey(rnd)
				want, there := m[name][k]
				got, err := tx.Get(b, []byte(k))
				has, errHas := tx.Has(b, []byte(k))
				if errHas != nil || has != there {
					t.Fatalf("Has(%s, %s) = %v, %v, want %v", name, k, has, errHas, there)
				}
				if there && (err != nil || string(got) != want) || !there && !errors.Is(err, cache.ErrNotFound) {
					t.Fatalf("Get(%s, %s): %v", name, k, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func compareRange(t *testing.T, tx *cache.Tx, m model, name string, b cache.Bucket, r cache.Range) {
	t.Helper()
	want := m.keys(name, r)
	var got, keysOnly []string
	for row, err := range tx.Ascend(b, r) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(row.Key))
		if m[name][string(row.Key)] != string(row.Value) {
			t.Fatalf("%s %s: wrong value", name, row.Key)
		}
	}
	for k, err := range tx.Keys(b, r) {
		if err != nil {
			t.Fatal(err)
		}
		keysOnly = append(keysOnly, string(k))
	}
	if !slices.Equal(got, want) || !slices.Equal(keysOnly, want) {
		t.Fatalf("%s range %q from %q: rows %q, keys %q, want %q", name, r.Prefix, r.From, got, keysOnly, want)
	}
	row, err := tx.Last(b, r)
	switch {
	case len(want) == 0:
		if !errors.Is(err, cache.ErrNotFound) {
			t.Fatalf("Last of nothing: %v", err)
		}
	case err != nil || string(row.Key) != want[len(want)-1] || m[name][string(row.Key)] != string(row.Value):
		t.Fatalf("Last of %q from %q: %q, %v, want %q", r.Prefix, r.From, row.Key, err, want[len(want)-1])
	}
}

func TestATransactionKnowsItsLimits(t *testing.T) {
	db := open(t, t.TempDir(), sealedOptions())
	put(t, db, records, "a", "1")

	t.Run("a View does not write", func(t *testing.T) {
		err := db.View(func(tx *cache.Tx) error {
			if err := tx.Delete(records, []byte("a")); !errors.Is(err, cache.ErrReadOnly) {
				t.Errorf("Delete: %v", err)
			}
			return tx.Put(records, []byte("a"), nil)
		})
		if !errors.Is(err, cache.ErrReadOnly) {
			t.Errorf("Put: %v", err)
		}
	})
	t.Run("a Tx is over when its closure is", func(t *testing.T) {
		var kept *cache.Tx
		if err := db.Update(func(tx *cache.Tx) error { kept = tx; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := kept.Get(records, []byte("a")); !errors.Is(err, cache.ErrTxDone) {
			t.Errorf("Get: %v", err)
		}
		if err := kept.Put(records, []byte("a"), nil); !errors.Is(err, cache.ErrTxDone) {
			t.Errorf("Put: %v", err)
		}
		if _, err := kept.Last(records, cache.Range{}); !errors.Is(err, cache.ErrTxDone) {
			t.Errorf("Last: %v", err)
		}
	})
	t.Run("keys have a length", func(t *testing.T) {
		for _, k := range [][]byte{nil, bytes.Repeat([]byte{1}, cache.MaxKeySize+1)} {
			if err := db.Update(func(tx *cache.Tx) error { return tx.Put(records, k, nil) }); err == nil {
				t.Errorf("a key of %d bytes was taken", len(k))
			}
		}
		longest := string(bytes.Repeat([]byte{1}, cache.MaxKeySize))
		put(t, db, records, longest, "x")
		if get(t, db, records, longest) != "x" {
			t.Error("the longest key is not read back")
		}
	})
	t.Run("buckets have a name", func(t *testing.T) {
		for _, b := range []cache.Bucket{{}, cache.Sealed(""), cache.Unsealed(strings.Repeat("x", 300))} {
			if err := db.Update(func(tx *cache.Tx) error { return tx.Put(b, []byte("a"), nil) }); err == nil {
				t.Errorf("%+v was taken", b)
			}
		}
	})
	t.Run("an Update that writes nothing does not touch the disk", func(t *testing.T) {
		before := fileSum(t, dbFile(db.Dir()))
		err := db.Update(func(tx *cache.Tx) error { return tx.Delete(records, []byte("absent")) })
		if err != nil || fileSum(t, dbFile(db.Dir())) != before {
			t.Errorf("the file changed, or %v", err)
		}
	})
	t.Run("sealed and unsealed buckets of one name are two", func(t *testing.T) {
		put(t, db, cache.Unsealed("records"), "a", "other")
		if got := get(t, db, records, "a"); got != "1" {
			t.Errorf("sealed row = %q", got)
		}
	})
	t.Run("a closed store says so", func(t *testing.T) {
		closeDB(t, db)
		closeDB(t, db)
		if err := db.View(func(*cache.Tx) error { return nil }); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("View: %v", err)
		}
		if err := db.Update(func(*cache.Tx) error { return nil }); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("Update: %v", err)
		}
		if err := db.WriteMark(cache.Mark{}); !errors.Is(err, cache.ErrClosed) {
			t.Errorf("WriteMark: %v", err)
		}
	})
}
