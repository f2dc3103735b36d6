package tables

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// Every row of every table ends with sum: a hash of the table's name and of
// all its other columns, key columns included, in the order of the table's
// list of columns. It is made when the row is written and compared whenever it
// is read. It finds accidents, not forgers: who can write the store can make
// sums, so a fast hash of 64 bits is enough (ADR 14).

// Tags keep a value of one kind from looking like one of another.
const (
	tagNull byte = iota
	tagInt
	tagText
	tagBlob
	tagOther // what no column holds: its row never has the right sum
)

// Sum is the hash of a row's values: all but the last column.
func Sum[V any](t *Table, values []V) int64 {
	var d xxhash.Digest
	d.Reset()
	var head [9]byte
	part := func(tag byte, n uint64) {
		head[0] = tag
		binary.LittleEndian.PutUint64(head[1:], n)
		_, _ = d.Write(head[:]) // never fails
	}
	part(tagText, uint64(len(t.Name)))
	_, _ = d.WriteString(t.Name)
	for _, v := range values {
		switch v := any(v).(type) {
		case nil:
			part(tagNull, 0)
		case int64:
			part(tagInt, uint64(v)) //nolint:gosec // the bits are what counts
		case string:
			part(tagText, uint64(len(v)))
			_, _ = d.WriteString(v)
		case []byte:
			part(tagBlob, uint64(len(v)))
			_, _ = d.Write(v)
		default:
			part(tagOther, 0)
		}
	}
	return int64(d.Sum64()) //nolint:gosec // the bits are what counts
}

// Seal appends the sum to a row's values.
func Seal(t *Table, values ...any) []any { return append(values, Sum(t, values)) }
