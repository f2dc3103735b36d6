package cache_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

var damageFlag = flag.Int("cache.damage", 15, "damaged files per kind of damage")

// sample is a store with several tree levels, overflow pages, free pages and an inline bucket, and what it holds.
func sample(t *testing.T, rnd *rand.Rand, o cache.Options) (file []byte, m model) {
	t.Helper()
	dir := t.TempDir()
	db := open(t, dir, o)
	m = model{"records": {}, "log": {}, "heads": {}}
	for round := range 8 {
		err := db.Update(func(tx *cache.Tx) error {
			if round > 5 { // damage of the newest meta page undoes the last transaction: let it be without effect
				return tx.Put(heads, []byte("n"), []byte(m["heads"]["n"]))
			}
			for i := range 100 {
				k := fmt.Sprintf("%016x", rnd.Uint64N(2000))
				v := fmt.Sprintf("%d/%d %x", round, i, make([]byte, rnd.IntN(60)))
				if i%50 == 0 {
					v += string(make([]byte, 9000))
				}
				m["records"][k], m["log"][k] = v, k
				if err := errors.Join(tx.Put(records, []byte(k), []byte(v)), tx.Put(modelBuckets["log"], []byte(k), []byte(k))); err != nil {
					return err
				}
			}
			m["heads"]["n"] = fmt.Sprint(round)
			return tx.Put(heads, []byte("n"), []byte(m["heads"]["n"]))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	closeDB(t, db)
	file = readFile(t, dbFile(dir))
	return file[:usedPages(t, file)*4096], m
}

// outcome counts what reading a damaged store gave.
type outcome struct {
	refused, rescued, right int // files, of which read with ReadOnly; rows
	damaged, hidden, absent int // rows that say that they are damaged, that damage may hide, that are silently absent
}

// readDamaged opens a damaged file and uses all of it. A wrong value, and any error but ErrDamaged, fails the test; the death
// of the process fails it by itself.
func readDamaged(t *testing.T, rnd *rand.Rand, what string, file []byte, m model, o cache.Options) (out outcome) {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	writeFile(t, dbFile(dir), file)
	db, err := cache.Open(dir, o)
	if err != nil {
		if !errors.Is(err, cache.ErrDamaged) && !errors.Is(err, cache.ErrForeign) {
			t.Errorf("%s: Open: %v", what, err)
		}
		if !bytes.Equal(readFile(t, dbFile(dir)), file) {
			t.Errorf("%s: Open changed the file that it refused", what)
		}
		out.refused++
		readOnly := o
		readOnly.ReadOnly = true
		if db, err = cache.Open(dir, readOnly); err != nil {
			if !errors.Is(err, cache.ErrDamaged) && !errors.Is(err, cache.ErrForeign) {
				t.Errorf("%s: Open with ReadOnly: %v", what, err)
			}
			return out
		}
		out.rescued++
		if len(db.Wounds()) == 0 {
			t.Errorf("%s: refused, and has no wounds", what)
		}
	}
	defer db.Close()
	err = db.View(func(tx *cache.Tx) error {
		for name, rows := range m {
			b := modelBuckets[name]
			for k, want := range rows {
				switch got, err := tx.Get(b, []byte(k)); {
				case errors.Is(err, cache.ErrNotFound):
					out.absent++
				case err != nil:
					mustBeDamage(t, what, name, err)
					if strings.Contains(err.Error(), "damage elsewhere may hide it") {
						out.hidden++
					} else {
						out.damaged++
					}
				case string(got) != want:
					t.Errorf("%s: %s: WRONG VALUE", what, name)
				default:
					out.right++
				}
			}
			for row, err := range tx.Ascend(b, cache.Range{}) {
				if err != nil {
					mustBeDamage(t, what, name, err)
				} else if want, there := rows[string(row.Key)]; !there || want != string(row.Value) {
					t.Errorf("%s: %s: WRONG ROW", what, name)
				}
			}
			for _, err := range tx.Keys(b, cache.Range{}) {
				if err != nil {
					mustBeDamage(t, what, name, err)
				}
			}
			if _, err := tx.Last(b, cache.Range{}); err != nil && !errors.Is(err, cache.ErrNotFound) {
				mustBeDamage(t, what, name, err)
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, cache.ErrDamaged) {
		t.Errorf("%s: View: %v", what, err)
	}
	if out.damaged+out.hidden+out.absent > 0 {
		if damages, err := db.Check(); err != nil || len(damages) == 0 {
			t.Errorf("%s: %+v, and Check finds nothing (%v)", what, out, err)
		}
	}
	if out.rescued > 0 {
		if err := db.Update(func(*cache.Tx) error { return nil }); !errors.Is(err, cache.ErrReadOnly) {
			t.Errorf("%s: Update: %v", what, err)
		}
		if !bytes.Equal(readFile(t, dbFile(dir)), file) {
			t.Errorf("%s: reading changed the file", what)
		}
		return out
	}
	for range 5 {
		err := db.Update(func(tx *cache.Tx) error {
			k := []byte(fmt.Sprintf("%016x", rnd.Uint64N(2000)))
			_ = tx.Delete(modelBuckets["log"], k)
			return tx.Put(records, k, make([]byte, 5000))
		})
		if err != nil && !errors.Is(err, cache.ErrDamaged) {
			t.Errorf("%s: Update: %v", what, err)
		}
	}
	return out
}

func TestADamagedMetaPageUndoesOneTransactionAtMost(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, sealedOptions())
	for n := uint64(1); n <= 4; n++ {
		if err := db.WriteMark(mark(n)); err != nil {
			t.Fatal(err)
		}
		put(t, db, heads, "n", fmt.Sprint(n))
	}
	closeDB(t, db)
	file := readFile(t, dbFile(dir))
	for page := range 2 {
		damaged := bytes.Clone(file)
		damaged[page*4096+40] ^= 1
		writeFile(t, dbFile(dir), damaged)
		db := open(t, dir, sealedOptions())
		if got := get(t, db, heads, "n"); got != "4" && got != "3" {
			t.Errorf("meta page %d damaged: n = %s", page, got)
		}
		if found, err := db.Check(); err != nil || len(found) != 1 {
			t.Errorf("meta page %d damaged, and Check finds %v, %v", page, found, err)
		}
		if m, state := db.ReadMark(); m.N != 4 || state != cache.MarkValid {
			t.Errorf("mark %+v, %v: the undone transaction is not found out", m, state)
		}
		closeDB(t, db)
	}
	copied := bytes.Clone(file)
	copy(copied[4096:8192], copied[:4096])
	writeFile(t, dbFile(dir), copied)
	refuses(t, dir, sealedOptions(), cache.ErrDamaged)
}

func mustBeDamage(t *testing.T, what, bucket string, err error) {
	t.Helper()
	var d *cache.Damage
	if !errors.As(err, &d) || !errors.Is(err, cache.ErrDamaged) || d.Bucket[2:] != bucket {
		t.Errorf("%s: %s: %v", what, bucket, err)
	}
}

func (o *outcome) add(other outcome) {
	o.refused += other.refused
	o.rescued += other.rescued
	o.right += other.right
	o.damaged += other.damaged
	o.hidden += other.hidden
	o.absent += other.absent
}

func TestATruncatedFileIsAnError(t *testing.T) {
	rnd := seeded(t)
	file, m := sample(t, rnd, sealedOptions())
	var sum outcome
	for i := range 300 {
		size := rnd.IntN(len(file))
		switch i % 3 {
		case 0:
			size = i * 37 // in the first pages
		case 1:
			size &^= 4095
		}
		sum.add(readDamaged(t, rnd, fmt.Sprintf("cut at %d of %d", size, len(file)), file[:size], m, sealedOptions()))
	}
	t.Logf("300 cuts of %d bytes: %+v", len(file), sum)
	if sum.refused != 300 {
		t.Error("a cut file was opened")
	}
}

func TestADamagedFileGivesNoWrongValue(t *testing.T) {
	for name, o := range map[string]cache.Options{"sealed": sealedOptions(), "plain": {Plain: true}} {
		file, m := sample(t, seeded(t), o)
		used := len(file) / 4096
		damage := map[string]func(*rand.Rand, []byte){
			"a flipped bit":    func(r *rand.Rand, b []byte) { b[r.IntN(used*4096)] ^= 1 << r.IntN(8) },
			"a flipped header": func(r *rand.Rand, b []byte) { b[r.IntN(used)*4096+r.IntN(64)] ^= 1 << r.IntN(8) },
			"a zeroed sector":  func(r *rand.Rand, b []byte) { clear(b[r.IntN(used*8)*512:][:512]) },
			"a random page": func(r *rand.Rand, b []byte) {
				for p, i := b[r.IntN(used)*4096:][:4096], 0; i < len(p); i++ {
					p[i] = byte(r.Uint32())
				}
			},
			"a page in another's place": func(r *rand.Rand, b []byte) {
				copy(b[r.IntN(used)*4096:][:4096], b[r.IntN(used)*4096:][:4096])
			},
		}
		for what, do := range damage {
			t.Run(name+", "+what, func(t *testing.T) {
				rnd := seeded(t)
				var sum outcome
				for i := range *damageFlag {
					damaged := bytes.Clone(file)
					do(rnd, damaged)
					sum.add(readDamaged(t, rnd, fmt.Sprintf("%s, case %d", what, i), damaged, m, o))
				}
				t.Logf("%d files: %+v", *damageFlag, sum)
			})
		}
	}
}

func usedPages(t *testing.T, file []byte) (pages int) {
	t.Helper()
	path := t.TempDir() + "/copy"
	writeFile(t, path, file)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(tx *bolt.Tx) error { pages = int(tx.Size() / 4096); return nil }); err != nil {
		t.Fatal(err)
	}
	return pages
}

// TestAFlippedBitOfARowIsFound flips bits of every byte of a stored row: schema, nonce, value, tag.
func TestAFlippedBitOfARowIsFound(t *testing.T) {
	for name, b := range map[string]cache.Bucket{"sealed": records, "unsealed": heads} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir, sealedOptions())
			put(t, db, b, "a", "before")
			put(t, db, b, "b", "hello")
			put(t, db, b, "c", "after")
			closeDB(t, db)
			stored := rawRow(t, dir, b, "b", nil)
			for bit := 0; bit < len(stored)*8; bit += 3 {
				rawRow(t, dir, b, "b", func([]byte) []byte {
					v := bytes.Clone(stored)
					v[bit/8] ^= 1 << (bit % 8)
					return v
				})
				db := open(t, dir, sealedOptions())
				var d *cache.Damage
				seen := ""
				err := db.View(func(tx *cache.Tx) error {
					for row, err := range tx.Ascend(b, cache.Range{}) {
						seen += string(row.Key)
						if (err != nil) != (string(row.Key) == "b") {
							t.Errorf("bit %d: row %s: %v", bit, row.Key, err)
						}
					}
					_, err := tx.Get(b, []byte("b"))
					return err
				})
				if !errors.As(err, &d) || string(d.Key) != "b" || seen != "abc" {
					t.Fatalf("bit %d of %d: %v, rows seen %s", bit, len(stored)*8, err, seen)
				}
				closeDB(t, db)
			}
		})
	}
}

// rawRow reads a stored row through bbolt, and writes it when edit is given.
func rawRow(t *testing.T, dir string, b cache.Bucket, k string, edit func([]byte) []byte) (stored []byte) {
	t.Helper()
	db, err := bolt.Open(dbFile(dir), 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		bucket := tx.Bucket(cache.BucketID(b))
		stored = bytes.Clone(bucket.Get([]byte(k)))
		if edit == nil {
			return nil
		}
		return bucket.Put([]byte(k), edit(stored))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return stored
}

func TestARowMovedElsewhereDoesNotVerify(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	db := open(t, dir, sealedOptions())
	put(t, db, records, "a", "value of a")
	put(t, db, records, "b", "value of b")
	put(t, db, modelBuckets["log"], "a", "log of a")
	put(t, db, heads, "a", "head of a")
	put(t, db, heads, "b", "head of b")
	closeDB(t, db)
	db = open(t, other, sealedOptions()) // same key, another store
	put(t, db, records, "a", "value of a")
	closeDB(t, db)

	a, theirs := rawRow(t, dir, records, "a", nil), rawRow(t, other, records, "a", nil)
	moved := func(name string, b cache.Bucket, k string, row []byte) {
		t.Run(name, func(t *testing.T) {
			original := rawRow(t, dir, b, k, func([]byte) []byte { return row })
			defer rawRow(t, dir, b, k, func([]byte) []byte { return original })
			db := open(t, dir, sealedOptions())
			defer db.Close()
			err := db.View(func(tx *cache.Tx) error { _, err := tx.Get(b, []byte(k)); return err })
			if !errors.Is(err, cache.ErrDamaged) {
				t.Errorf("Get: %v", err)
			}
		})
	}
	moved("to another key", records, "b", a)
	moved("to another bucket", modelBuckets["log"], "a", a)
	moved("to an unsealed bucket", heads, "a", a)
	moved("from another store", records, "a", theirs)
	moved("an unsealed row to another key", heads, "b", rawRow(t, dir, heads, "a", nil))
	moved("an empty row", records, "a", nil)
	moved("a row of an unknown schema", records, "a", append([]byte{9}, a[1:]...))
}
