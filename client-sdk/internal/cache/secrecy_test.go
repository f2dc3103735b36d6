package cache_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

func TestNoPlainTextIsOnTheDisk(t *testing.T) {
	canaries := make([]string, 32)
	for i := range canaries {
		var b [12]byte
		if _, err := rand.Read(b[:]); err != nil {
			t.Fatal(err)
		}
		canaries[i] = hex.EncodeToString(b[:])
	}
	write := func(t *testing.T, o cache.Options) string {
		dir := t.TempDir()
		db := open(t, dir, o)
		for i, c := range canaries {
			put(t, db, records, fmt.Sprint(i), c)                    // small
			put(t, db, records, "big", string(make([]byte, 9000))+c) // overwritten again and again
			index := db.IndexKey("passport", c)
			put(t, db, records, string(index[:]), "by natural key "+c)
			_ = db.Update(func(tx *cache.Tx) error { // rolled back
				_ = tx.Put(records, []byte("x"), []byte(c))
				return errAbort
			})
			if err := db.WriteMark(mark(uint64(i))); err != nil {
				t.Fatal(err)
			}
		}
		closeDB(t, db)
		return dir
	}
	hits := func(t *testing.T, dir string) (hits int) {
		err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
			if err != nil || info.IsDir() {
				return err
			}
			file := readFile(t, path)
			for _, c := range append(canaries, string(key(1))) {
				raw, _ := hex.DecodeString(c)
				if bytes.Contains(file, []byte(c)) || len(raw) > 0 && bytes.Contains(file, raw) {
					hits++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return hits
	}
	if n := hits(t, write(t, sealedOptions())); n != 0 {
		t.Errorf("%d canaries in a sealed store's files", n)
	}
	if n := hits(t, write(t, cache.Options{Plain: true})); n != len(canaries) {
		t.Errorf("positive control: %d of %d canaries found in a plain store", n, len(canaries))
	}
}

func TestTwoSealingsOfOneValueDiffer(t *testing.T) {
	dir := t.TempDir()
	seen := map[string]bool{}
	for range 5 { // nonces are drawn in blocks: across reopening too
		db := open(t, dir, sealedOptions())
		put(t, db, records, "a", "same")
		put(t, db, records, "a", "same")
		closeDB(t, db)
		seen[string(rawRow(t, dir, records, "a", nil)[:25])] = true
	}
	if len(seen) != 5 {
		t.Errorf("%d different nonces of 5", len(seen))
	}
}

func TestIndexKeysBelongToStoreAndPurpose(t *testing.T) {
	dir := t.TempDir()
	db, other := open(t, dir, sealedOptions()), open(t, t.TempDir(), sealedOptions())
	k := db.IndexKey("passport", "ID|A123")
	closeDB(t, db)
	db = open(t, dir, sealedOptions())
	if db.IndexKey("passport", "ID|A123") != k {
		t.Error("the key changed when the store was reopened")
	}
	for name, different := range map[string][16]byte{
		"text":                 db.IndexKey("passport", "ID|A124"),
		"purpose":              db.IndexKey("plate", "ID|A123"),
		"border between both":  db.IndexKey("passportID|", "A123"),
		"store":                other.IndexKey("passport", "ID|A123"),
		"the text cut in half": db.IndexKey("passport", "ID|A"),
	} {
		if different == k {
			t.Errorf("another %s, the same key", name)
		}
	}
}
