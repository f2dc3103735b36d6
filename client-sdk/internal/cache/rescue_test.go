package cache_test

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// leafPages lists the pages of a file that look like leaves with rows.
func leafPages(file []byte) (pages []int) {
	for at := 2 * 4096; at < len(file); at += 4096 {
		if binary.NativeEndian.Uint64(file[at:]) == uint64(at/4096) && binary.NativeEndian.Uint16(file[at+8:]) == 2 &&
			binary.NativeEndian.Uint16(file[at+10:]) > 3 {
			pages = append(pages, at/4096)
		}
	}
	return pages
}

func TestReadOnlyReadsAroundADamagedPage(t *testing.T) {
	rnd := seeded(t)
	file, m := sample(t, rnd, sealedOptions())
	dir := t.TempDir()
	o := sealedOptions()
	o.ReadOnly = true
	met := 0
	for _, page := range leafPages(file) {
		damaged := append([]byte(nil), file...)
		for i := range 4096 {
			damaged[page*4096+i] = byte(rnd.Uint32())
		}
		writeFile(t, dbFile(dir), damaged)
		if db, err := cache.Open(dir, sealedOptions()); err == nil {
			if damages, err := db.Check(); err != nil || len(damages) > 0 {
				t.Errorf("page %d is not a free page: %v, %v", page, damages, err)
			}
			closeDB(t, db)
			continue
		}
		db, err := cache.Open(dir, o)
		if errors.Is(err, cache.ErrDamaged) {
			continue // the bucket list
		} else if err != nil {
			t.Fatal(err)
		}
		rows, keys, parts := 0, 0, 0
		err = db.View(func(tx *cache.Tx) error {
			for row, err := range tx.Ascend(records, cache.Range{}) {
				if err != nil {
					parts++
				} else if rows++; m["records"][string(row.Key)] != string(row.Value) {
					t.Errorf("page %d: wrong row", page)
				}
			}
			for _, err := range tx.Keys(records, cache.Range{}) {
				if err == nil {
					keys++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if lost := len(m["records"]) - rows; keys != rows || parts > 1 || (parts == 0) != (lost == 0) || lost > 60 {
			t.Errorf("page %d: %d of %d rows, %d keys, %d unreadable parts", page, rows, len(m["records"]), keys, parts)
		}
		met += parts
		closeDB(t, db)
	}
	if met < 10 {
		t.Errorf("only %d damaged pages were met", met)
	}
}

func TestReadOnlyLeavesTheFolderAlone(t *testing.T) {
	o := sealedOptions()
	o.ReadOnly = true
	if _, err := cache.Open(t.TempDir(), o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open of nothing: %v", err)
	}
	dir := t.TempDir()
	db := open(t, dir, sealedOptions())
	put(t, db, records, "a", "1")
	if err := db.WriteMark(mark(3)); err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	before, beforeMark := fileSum(t, dbFile(dir)), fileSum(t, dir+"/mark/mark")

	db = open(t, dir, o)
	if got := get(t, db, records, "a"); got != "1" {
		t.Errorf("row = %s", got)
	}
	mustBeMark(t, db, mark(3), cache.MarkValid)
	if err := db.WriteMark(mark(4)); !errors.Is(err, cache.ErrReadOnly) {
		t.Errorf("WriteMark: %v", err)
	}
	if err := db.Update(func(*cache.Tx) error { return nil }); !errors.Is(err, cache.ErrReadOnly) {
		t.Errorf("Update: %v", err)
	}
	if damages, err := db.Check(); err != nil || len(damages)+len(db.Wounds()) > 0 {
		t.Errorf("Check: %v, %v, %v", damages, db.Wounds(), err)
	}
	closeDB(t, db)
	if fileSum(t, dbFile(dir)) != before || fileSum(t, dir+"/mark/mark") != beforeMark {
		t.Error("a file changed")
	}
	if err := os.RemoveAll(dir + "/mark"); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, o)
	mustBeMark(t, db, cache.Mark{}, cache.MarkMissing)
}
