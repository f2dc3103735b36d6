package cache_test

import (
	"bytes"
	"fmt"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// A nonce that seals two values tells their difference, and lets who has both
// forge a third.
func TestNoNonceSealsTwoRows(t *testing.T) {
	const rows = 400 // more than one block of nonces
	dir := t.TempDir()
	seen := map[string]string{}
	for round := range 3 { // the second and third overwrite the first, in a process of their own
		db := open(t, dir, sealedOptions())
		for from := 0; from < rows; from += 50 {
			err := db.Update(func(tx *cache.Tx) error {
				for i := from; i < from+50; i++ {
					if err := tx.Put(records, fmt.Append(nil, i), []byte("the same value")); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		closeDB(t, db)
		for key, row := range rawRows(t, dir, records) {
			nonce := string(row[1:25])
			if other, ok := seen[nonce]; ok {
				t.Fatalf("round %d, row %s: the nonce of %s", round, key, other)
			}
			seen[nonce] = fmt.Sprintf("round %d, row %s", round, key)
		}
	}
	if len(seen) < 3*rows {
		t.Fatalf("%d nonces seen, want %d", len(seen), 3*rows)
	}
}

// rawRows are all stored rows of a bucket.
func rawRows(t *testing.T, dir string, b cache.Bucket) map[string][]byte {
	t.Helper()
	db, err := bolt.Open(dbFile(dir), 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	err = db.View(func(tx *bolt.Tx) error {
		return tx.Bucket(cache.BucketID(b)).ForEach(func(k, v []byte) error {
			out[string(k)] = bytes.Clone(v)
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return out
}
