package cache

import (
	"bytes"
	"errors"
	"iter"

	bolt "go.etcd.io/bbolt"
)

// Range chooses rows of a bucket by key. The zero Range is all of them.
type Range struct {
	Prefix []byte // keys that start with it. Default: every key
	From   []byte // keys not below it. Default: from the first
}

// Row is a key and its value. Both are in memory that the next step of the iteration uses again: copy what must stay.
type Row struct {
	Key, Value []byte
}

// Ascend gives the rows of a range in the order of their keys:
//
//	for row, err := range tx.Ascend(records, cache.Range{}) {
//
// A damaged row comes as its Key with a *Damage, and the iteration goes on after it. A *Damage without a Key means that a part
// of the bucket cannot be read; with ReadOnly the iteration goes on behind that part, otherwise it ends. Rows may be put and deleted meanwhile: the iteration goes on with the next
// higher key.
func (tx *Tx) Ascend(b Bucket, r Range) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for s := (scan{tx: tx, b: b, r: r}); ; {
			for s.next() {
				row, err := s.row()
				if !yield(row, err) {
					return
				}
			}
			if s.err == nil || !yield(Row{}, s.err) || !s.skip() {
				return
			}
		}
	}
}

// Keys gives the keys of a range in order, and opens no values. A key is good until the next step. Errors are as in Ascend.
func (tx *Tx) Keys(b Bucket, r Range) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for s := (scan{tx: tx, b: b, r: r}); ; {
			for s.next() {
				if !yield(s.key, nil) {
					return
				}
			}
			if s.err == nil || !yield(nil, s.err) || !s.skip() {
				return
			}
		}
	}
}

// Last returns the row with the highest key of a range. Errors: ErrNotFound; *Damage, with the Key when only the row is damaged.
func (tx *Tx) Last(b Bucket, r Range) (Row, error) {
	s := scan{tx: tx, b: b, r: r}
	switch {
	case s.last():
		return s.row()
	case s.err != nil:
		return Row{}, s.err
	}
	return Row{}, tx.missing(b)
}

// scan is a position in a range.
type scan struct {
	tx *Tx
	b  Bucket
	r  Range

	cursor *bolt.Cursor
	writes int    // of the transaction, when the cursor was placed
	key    []byte // copy: bbolt's memory may go with a Put
	stored []byte // in bbolt's memory, good until the next write
	value  []byte
	err    error
}

var errOrder = errors.New("keys out of order")

func (s *scan) next() (ok bool) {
	defer s.guard(&ok)
	var key []byte
	switch {
	case s.cursor == nil:
		if !s.open() {
			return false
		}
		key, s.stored = s.cursor.Seek(s.start())
	case s.writes != s.tx.writes:
		s.cursor = s.tx.bolt.Bucket(s.b.id).Cursor()
		key, s.stored = s.cursor.Seek(s.key)
		if bytes.Equal(key, s.key) {
			key, s.stored = s.cursor.Next()
		}
	default:
		key, s.stored = s.cursor.Next()
	}
	s.writes = s.tx.writes
	if key == nil || !bytes.HasPrefix(key, s.r.Prefix) {
		return false
	}
	if s.key != nil && bytes.Compare(key, s.key) <= 0 { // or a damaged page could keep the iteration going for ever
		s.err = &Damage{Bucket: s.b.name, Detail: errOrder.Error()}
		return false
	}
	s.key = append(s.key[:0], key...)
	return true
}

// skip goes on behind the page that s.err came from, when Open found it damaged and knows which key comes after it.
func (s *scan) skip() bool {
	at := s.start()
	if bytes.Compare(s.key, at) > 0 {
		at = s.key
	}
	for _, key := range s.tx.h.wounds.after[s.b.name] {
		if bytes.Compare(key, at) > 0 {
			s.r.From, s.key, s.cursor, s.err = key, nil, nil, nil
			return true
		}
	}
	return false
}

func (s *scan) last() (ok bool) {
	defer s.guard(&ok)
	if !s.open() {
		return false
	}
	var key []byte
	if above := successor(s.r.Prefix); above == nil {
		key, s.stored = s.cursor.Last()
	} else if key, _ = s.cursor.Seek(above); key == nil {
		key, s.stored = s.cursor.Last()
	} else {
		key, s.stored = s.cursor.Prev()
	}
	if key == nil || !bytes.HasPrefix(key, s.r.Prefix) || bytes.Compare(key, s.r.From) < 0 {
		return false
	}
	s.key = append(s.key[:0], key...)
	return true
}

func (s *scan) open() bool {
	if s.tx.bolt == nil {
		s.err = ErrTxDone
		return false
	}
	bucket := s.tx.bolt.Bucket(s.b.id)
	if bucket == nil {
		return false
	}
	s.cursor = bucket.Cursor()
	return true
}

func (s *scan) start() []byte {
	if bytes.Compare(s.r.From, s.r.Prefix) > 0 {
		return s.r.From
	}
	return s.r.Prefix
}

func (s *scan) row() (row Row, err error) {
	defer s.tx.guard(s.b, &err)
	value, err := s.tx.codec.decode(s.value[:0], s.b, s.key, s.stored)
	if err != nil {
		return Row{Key: s.key}, damagedRow(s.b, s.key, err)
	}
	s.value = value
	return Row{Key: s.key, Value: value}, nil
}

func (s *scan) guard(ok *bool) {
	if p := recover(); p != nil {
		*ok = false
		s.err = &Damage{Bucket: s.b.name, Detail: (&panicked{p}).Error()}
		if s.tx.writable {
			s.tx.failed = s.err
		}
	}
}

// successor is the lowest key above all keys with this prefix, or nil when there is none.
func successor(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xFF {
			above := append([]byte(nil), prefix[:i+1]...)
			above[i]++
			return above
		}
	}
	return nil
}
