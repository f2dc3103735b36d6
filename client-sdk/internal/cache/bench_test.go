package cache_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// The benchmarks stand beside bare bbolt with the same settings, keys and stored bytes (a sealed value is 41 bytes longer than
// its text). One save is one Update of a record of 1.5 KB, its index row and a counter.
//
//	go test -run '^$' -bench . -benchtime 200x -count 6 ./client-sdk/internal/cache

const (
	recordSize = 1500
	sealedMore = 41
	clearMore  = 9
)

func rowKey(n int) []byte {
	k := make([]byte, 16)
	binary.BigEndian.PutUint64(k, uint64(n)*0x9E3779B97F4A7C15)
	return k
}

func BenchmarkSave(b *testing.B) {
	b.Run("cache", func(b *testing.B) {
		db := open(b, b.TempDir(), sealedOptions())
		value, index := make([]byte, recordSize), make([]byte, 16)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			err := db.Update(func(tx *cache.Tx) error {
				return errors.Join(tx.Put(records, rowKey(n), value), tx.Put(modelBuckets["log"], rowKey(n), index),
					tx.Put(heads, []byte("n"), index))
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cache, with the mark", func(b *testing.B) {
		db := open(b, b.TempDir(), sealedOptions())
		value, index := make([]byte, recordSize), make([]byte, 16)
		n := 0
		for b.Loop() {
			n++
			if err := db.WriteMark(mark(uint64(n))); err != nil {
				b.Fatal(err)
			}
			err := db.Update(func(tx *cache.Tx) error {
				return errors.Join(tx.Put(records, rowKey(n), value), tx.Put(modelBuckets["log"], rowKey(n), index),
					tx.Put(heads, []byte("n"), index))
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bbolt", func(b *testing.B) {
		db := bare(b)
		value, index, count := make([]byte, recordSize+sealedMore), make([]byte, 16+sealedMore), make([]byte, 16+clearMore)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n++
			err := db.Update(func(tx *bolt.Tx) error {
				return errors.Join(tx.Bucket([]byte("s/records")).Put(rowKey(n), value),
					tx.Bucket([]byte("s/log")).Put(rowKey(n), index), tx.Bucket([]byte("r/heads")).Put([]byte("n"), count))
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

// bare is a bbolt with the settings that the cache gives it.
func bare(b *testing.B) *bolt.DB {
	db, err := bolt.Open(b.TempDir()+"/bare.db", 0o600, &bolt.Options{PageSize: 4096, FreelistType: bolt.FreelistMapType,
		InitialMmapSize: 1 << 30, NoStatistics: true})
	if err != nil {
		b.Fatal(err)
	}
	db.AllocSize = 4 << 20
	b.Cleanup(func() { db.Close() })
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range []string{"s/records", "s/log", "r/heads"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return db
}

// BenchmarkApply is a page of a pull: 500 records in one Update.
func BenchmarkApply(b *testing.B) {
	b.Run("cache", func(b *testing.B) {
		db := open(b, b.TempDir(), sealedOptions())
		value := make([]byte, recordSize)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			err := db.Update(func(tx *cache.Tx) error {
				for range 500 {
					n++
					if err := tx.Put(records, rowKey(n), value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("bbolt", func(b *testing.B) {
		db := bare(b)
		value := make([]byte, recordSize+sealedMore)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			err := db.Update(func(tx *bolt.Tx) error {
				bucket := tx.Bucket([]byte("s/records"))
				for range 500 {
					n++
					if err := bucket.Put(rowKey(n), value); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

const benchRows = 20_000 // 30 MB: a district's records on one phone

func filled(b *testing.B) (dir string) {
	dir = b.TempDir()
	db := open(b, dir, sealedOptions())
	value := make([]byte, recordSize)
	err := db.Update(func(tx *cache.Tx) error {
		for n := range benchRows {
			if err := tx.Put(records, rowKey(n), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		b.Fatal(err)
	}
	return dir
}

func BenchmarkRead(b *testing.B) {
	db := open(b, filled(b), sealedOptions())
	b.Run("Get in one View", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			n = (n + 7919) % benchRows
			if err := db.View(func(tx *cache.Tx) error { _, err := tx.Get(records, rowKey(n)); return err }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(fmt.Sprintf("Ascend over %d", benchRows), func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(benchRows * recordSize)
		for b.Loop() {
			err := db.View(func(tx *cache.Tx) error {
				for _, err := range tx.Ascend(records, cache.Range{}) {
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	dir := filled(b)
	b.Run(fmt.Sprintf("cache of %d rows", benchRows), func(b *testing.B) {
		for b.Loop() {
			db, err := cache.Open(dir, sealedOptions())
			if err := errors.Join(err, db.Close()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run(fmt.Sprintf("bbolt of %d rows", benchRows), func(b *testing.B) {
		for b.Loop() {
			db, err := bolt.Open(dbFile(dir), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType})
			if err := errors.Join(err, db.Close()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
