package cache

import (
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// Bucket is a named set of rows, ordered by key. It is declared once, as sealed or unsealed, and needs no creation: it is
// there from its first Put. Sealed("x") and Unsealed("x") are two buckets.
type Bucket struct {
	name   string
	id     []byte // in the file
	sealed bool
	full   bool // pages are filled before the next is begun
}

// maxBucketName leaves room for the length byte that seals a name into each row.
const maxBucketName = 200

// Sealed declares a bucket whose values are encrypted. The name is readable in the file; it is 1 to 200 bytes.
func Sealed(name string) Bucket {
	return Bucket{name: "s/" + name, id: []byte("s/" + name), sealed: true}
}

// Unsealed declares a bucket whose values are readable in the file, and verified: for counters and digests, never for
// personal data.
func Unsealed(name string) Bucket {
	return Bucket{name: "r/" + name, id: []byte("r/" + name)}
}

// Appended returns the bucket for rows that mostly come in the order of their keys: its pages are filled to the end, where others
// keep room for rows between.
func (b Bucket) Appended() Bucket {
	b.full = true
	return b
}

// Tx is one transaction. It is good inside its closure only, in the goroutine that was given it.
//
// Slices that are passed in are copied; slices that come out belong to the caller, except where a method says otherwise.
type Tx struct {
	db       *DB
	h        *handle
	bolt     *bolt.Tx
	codec    *codec
	writable bool
	writes   int   // Puts and Deletes so far
	failed   error // bbolt panicked in a write: the transaction must not be committed
}

// end rolls back what is not committed. It may be called twice.
func (tx *Tx) end() {
	if tx.bolt != nil {
		tx.h.rollback(tx.bolt)
		tx.bolt = nil
	}
}

// Get returns the value of a row, never nil. Errors: ErrNotFound, unwrapped; *Damage.
func (tx *Tx) Get(b Bucket, key []byte) ([]byte, error) { return tx.AppendGet([]byte{}, b, key) }

// AppendGet is Get into the caller's memory: it returns dst with the value appended, and nil with an error.
func (tx *Tx) AppendGet(dst []byte, b Bucket, key []byte) (value []byte, err error) {
	defer tx.guard(b, &err)
	stored, err := tx.stored(b, key)
	if err != nil {
		return nil, err
	}
	if value, err = tx.codec.decode(dst, b, key, stored); err != nil {
		return nil, damagedRow(b, key, err)
	}
	return value, nil
}

// Has tells whether there is a row, without unsealing it.
func (tx *Tx) Has(b Bucket, key []byte) (found bool, err error) {
	defer tx.guard(b, &err)
	switch _, err := tx.stored(b, key); {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrNotFound):
		return false, nil
	default:
		return false, err
	}
}

// stored is a row as it is in the file, in bbolt's memory.
func (tx *Tx) stored(b Bucket, key []byte) ([]byte, error) {
	if tx.bolt == nil {
		return nil, ErrTxDone
	}
	if bucket := tx.bolt.Bucket(b.id); bucket != nil {
		if stored := bucket.Get(key); stored != nil {
			return stored, nil
		}
	}
	return nil, tx.missing(b)
}

// missing is what to say of a row that bbolt does not find.
func (tx *Tx) missing(b Bucket) error {
	if len(tx.h.wounds.found) > 0 {
		return &Damage{Bucket: b.name, Detail: "not found, and damage elsewhere may hide it"}
	}
	return ErrNotFound
}

// MaxKeySize is the longest key in bytes. Keys are ids, counters and digests; bbolt is fast with short ones.
const MaxKeySize = 1024

// Put writes a row, new or in place of the one with the same key. A key is 1 to MaxKeySize bytes; a value may be empty.
func (tx *Tx) Put(b Bucket, key, value []byte) (err error) {
	defer tx.guard(b, &err)
	if err := tx.mayWrite(); err != nil {
		return err
	}
	if len(key) == 0 || len(key) > MaxKeySize {
		return fmt.Errorf("put in %s: key of %d bytes: 1 to %d are allowed", b.name, len(key), MaxKeySize)
	}
	var nonce []byte
	if tx.codec.seals(b) {
		if nonce, err = tx.db.nonces.next(); err != nil {
			return err
		}
	}
	bucket := tx.bolt.Bucket(b.id)
	if bucket == nil {
		if len(b.name) <= len("s/") || len(b.name) > maxBucketName {
			return fmt.Errorf("bucket %q: a name is 1 to %d bytes", b.name, maxBucketName)
		}
		if bucket, err = tx.bolt.CreateBucket(b.id); err != nil {
			return fmt.Errorf("create bucket %s: %w", b.name, err)
		}
	}
	if b.full {
		bucket.FillPercent = 1
	}
	tx.writes++
	stored := tx.codec.encode(tx.db.sealed.space(tx.codec.size(b, len(value))), b, key, value, nonce)
	if err := bucket.Put(key, stored); err != nil {
		return fmt.Errorf("put in %s: %w", b.name, err)
	}
	return nil
}

// Delete removes a row. A row that is not there is no error.
func (tx *Tx) Delete(b Bucket, key []byte) (err error) {
	defer tx.guard(b, &err)
	if err := tx.mayWrite(); err != nil {
		return err
	}
	bucket := tx.bolt.Bucket(b.id)
	if bucket == nil || bucket.Get(key) == nil {
		return nil
	}
	tx.writes++
	if err := bucket.Delete(key); err != nil {
		return fmt.Errorf("delete in %s: %w", b.name, err)
	}
	return nil
}

func (tx *Tx) mayWrite() error {
	switch {
	case tx.bolt == nil:
		return ErrTxDone
	case !tx.writable:
		return ErrReadOnly
	}
	return tx.failed
}

// guard turns a panic of bbolt's into an error. In an Update it also forbids the commit: nobody knows what bbolt was at.
func (tx *Tx) guard(b Bucket, err *error) {
	p := recover()
	if p == nil {
		return
	}
	*err = &Damage{Bucket: b.name, Detail: (&panicked{p}).Error()}
	if tx.writable {
		tx.failed = *err
	}
}

func damagedRow(b Bucket, key []byte, why error) *Damage {
	return &Damage{Bucket: b.name, Key: append([]byte(nil), key...), Detail: why.Error()}
}
