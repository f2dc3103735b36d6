package cache_test

import (
	"bytes"
	"fmt"
	"os"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// Buckets are declared once, at the top of the file that owns them.
var (
	records = cache.Sealed("records")
	heads   = cache.Unsealed("heads")
)

func Example() {
	dir, err := os.MkdirTemp("", "cache")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	db, err := cache.Open(dir, cache.Options{Key: bytes.Repeat([]byte{7}, cache.KeySize)})
	if err != nil {
		panic(err)
	}
	defer db.Close()

	if err := db.WriteMark(cache.Mark{Replica: 42, N: 1}); err != nil {
		panic(err)
	}
	err = db.Update(func(tx *cache.Tx) error {
		if err := tx.Put(heads, []byte("42"), []byte{1}); err != nil {
			return err
		}
		return tx.Put(records, []byte("id-1"), []byte(`{"name":"Ibu Sari"}`))
	})
	if err != nil {
		panic(err)
	}
	err = db.View(func(tx *cache.Tx) error {
		for row, err := range tx.Ascend(records, cache.Range{Prefix: []byte("id-")}) {
			if err != nil {
				return err // a *Damage: or note row.Key for a refetch, and go on
			}
			fmt.Printf("%s %s\n", row.Key, row.Value)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	// Output: id-1 {"name":"Ibu Sari"}
}
