package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"os"
)

// HeaderWithSchema returns a header row as a version with that schema would write it.
func HeaderWithSchema(row []byte, schema uint16) []byte {
	body := append([]byte(nil), row[:len(row)-headerSumSize]...)
	binary.BigEndian.PutUint16(body, schema)
	body = append(body, "fields of tomorrow"...)
	sum := sha256.Sum256(body)
	return append(body, sum[:headerSumSize]...)
}

// File is the descriptor that bbolt writes to.
func (db *DB) File() *os.File { return db.h.file }

// MarkFile is the mark's descriptor.
func (db *DB) MarkFile() *os.File { return db.mark.file }

// MarkSlotSize and MarkPage are the mark file's layout.
const (
	MarkSlotSize = markSlot
	MarkPage     = markPage
)

// BucketID is a bucket's name in the file.
func BucketID(b Bucket) []byte { return b.id }
