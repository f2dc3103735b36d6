package cache

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

const (
	// schemaVersion is the layout of rows and header. A store of a higher one is refused.
	schemaVersion = 1

	storeIDSize   = 16
	keyCheckSize  = 16
	headerSumSize = 16
)

// headerBucket doubles as the format id: a bbolt file without it is not ours. Names of rows' buckets start with "s/" or
// "r/", so they never meet it.
const (
	headerBucket = "sambang-cache"
	headerKey    = "header"
)

// header is what a store says about itself, in clear text, in one row with its own checksum (so that damage is not taken for
// a wrong key):
//
//	schema (2) | flags (2) | store id (16) | key check (16) | SHA-256 of these, cut (16)
type header struct {
	schema   uint16
	plain    bool
	store    [storeIDSize]byte
	keyCheck [keyCheckSize]byte
}

const headerFlagPlain = 1

func (h header) bytes() []byte {
	var flags uint16
	if h.plain {
		flags = headerFlagPlain
	}
	out := binary.BigEndian.AppendUint16(nil, h.schema)
	out = binary.BigEndian.AppendUint16(out, flags)
	out = append(out, h.store[:]...)
	out = append(out, h.keyCheck[:]...)
	sum := sha256.Sum256(out)
	return append(out, sum[:headerSumSize]...)
}

func parseHeader(b []byte) (header, error) {
	const body = 2 + 2 + storeIDSize + keyCheckSize
	if len(b) < 2+headerSumSize {
		return header{}, damagedFile("header row of %d bytes", len(b))
	}
	// The checksum is last in every schema, so a newer header is told from a damaged one.
	sum := sha256.Sum256(b[:len(b)-headerSumSize])
	if !bytes.Equal(sum[:headerSumSize], b[len(b)-headerSumSize:]) {
		return header{}, damagedFile("header row does not verify")
	}
	h := header{schema: binary.BigEndian.Uint16(b)}
	if h.schema > schemaVersion {
		return h, fmt.Errorf("schema %d, known up to %d: %w", h.schema, schemaVersion, ErrNewerSchema)
	}
	if len(b) != body+headerSumSize {
		return header{}, damagedFile("header row of %d bytes", len(b))
	}
	h.plain = binary.BigEndian.Uint16(b[2:])&headerFlagPlain != 0
	copy(h.store[:], b[4:])
	copy(h.keyCheck[:], b[4+storeIDSize:])
	return h, nil
}

func readHeader(tx *bolt.Tx) (header, error) {
	b := tx.Bucket([]byte(headerBucket))
	if b == nil {
		return header{}, ErrForeign
	}
	row := b.Get([]byte(headerKey))
	if row == nil {
		return header{}, damagedFile("no header row")
	}
	return parseHeader(row)
}

// unlock checks that the store is of the kind that the caller expects, and the key the right one.
func (h header) unlock(o Options) (*keyring, error) {
	switch {
	case h.plain && !o.Plain:
		return nil, ErrPlain
	case !h.plain && o.Plain:
		return nil, ErrSealed
	}
	keys, err := newKeyring(o.Key, o.Plain, h.store)
	if err != nil {
		return nil, err
	}
	check := keyCheck(keys)
	if !hmac.Equal(check[:], h.keyCheck[:]) {
		return nil, ErrWrongKey
	}
	return keys, nil
}

func keyCheck(k *keyring) [keyCheckSize]byte {
	mac := hmac.New(sha256.New, k.check)
	mac.Write([]byte("sambang-cache key check"))
	return [keyCheckSize]byte(mac.Sum(nil)[:keyCheckSize])
}
