package sambang

import (
	"encoding/binary"
	"errors"
	"iter"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// journalRow is one local transaction's part of one replica's log.
type journalRow struct {
	first   uint64
	start   syncproto.Digest // chain head before first
	steps   []byte           // 32 bytes each
	records []byte           // 16 bytes each: which records it wrote
	now     nowState         // after the transaction
}

func appendJournal(b []byte, j journalRow) []byte {
	b = binary.BigEndian.AppendUint64(b, j.first)
	b = append(b, j.start[:]...)
	b = binary.BigEndian.AppendUint64(b, j.now.Clock)
	for _, n := range j.now.numbers() {
		b = binary.AppendUvarint(b, *n)
	}
	b = binary.AppendUvarint(b, uint64(len(j.records)/16)) //nolint:gosec // not negative
	b = append(b, j.records...)
	return append(b, j.steps...)
}

func parseJournal(b []byte) (journalRow, error) {
	c := reader{b: b}
	j := journalRow{first: c.uint64(), start: syncproto.Digest(c.take(32))}
	j.now.Clock = c.uint64()
	for _, n := range j.now.numbers() {
		*n = c.uvarint()
	}
	count := c.uvarint()
	if c.err != nil || count > uint64(len(c.b)/16) {
		return journalRow{}, errRow
	}
	j.records = c.take(int(count) * 16) //nolint:gosec // bounded by the length of b
	j.steps = c.b
	if len(j.steps) == 0 || len(j.steps)%32 != 0 {
		return journalRow{}, errRow
	}
	head := j.start
	for i := 0; i < len(j.steps); i += 32 {
		head = syncproto.Chain(head, syncproto.Digest(j.steps[i:i+32]))
	}
	j.now.N = j.first + uint64(len(j.steps)/32) - 1
	j.now.Head = head[:]
	return j, nil
}

// numbers are the parts of the state that a journal row tells beside what
// follows from its steps.
func (s *nowState) numbers() []*uint64 {
	c := &s.Counts
	return []*uint64{&s.Seq, &c.Records, &c.Waiting, &c.Conflicts, &c.Quarantined, &c.History, &c.Refetch}
}

// tailRoom is how many bytes of rows bucketTail may hold: with keys and seals
// less than bbolt keeps inside the page of its parent, a quarter of a page.
const tailRoom = 800

const tailRowOverhead = 80 // of a row: bbolt's element, the key, the seal

// putJournal appends a row. The last few rows wait in bucketTail, which costs
// a save no page of its own, and move on together: a third of the pages that a
// journal alone would cost. All rows of the tail are newer than all others.
func putJournal(tx *cache.Tx, key, row []byte) error {
	room := tailRoom - len(row) - tailRowOverhead
	type kv struct{ key, value []byte }
	var tail []kv
	for e, err := range tx.Ascend(bucketTail, cache.Range{}) {
		if err != nil {
			return err
		}
		tail = append(tail, kv{append([]byte(nil), e.Key...), append([]byte(nil), e.Value...)})
		room -= len(e.Value) + tailRowOverhead
	}
	if room >= 0 {
		return tx.Put(bucketTail, key, row)
	}
	for _, e := range tail {
		if err := tx.Put(bucketJournal, e.key, e.value); err != nil {
			return err
		}
		if err := tx.Delete(bucketTail, e.key); err != nil {
			return err
		}
	}
	return tx.Put(bucketJournal, key, row)
}

// journal yields the rows of a replica id that end at n or later, in order. A
// row's slices are good until the next one.
func journal(tx *cache.Tx, id syncproto.ReplicaID, n uint64) iter.Seq2[journalRow, error] {
	return func(yield func(journalRow, error) bool) {
		for _, b := range []cache.Bucket{bucketJournal, bucketTail} {
			for e, err := range tx.Ascend(b, cache.Range{Prefix: replicaKey(id), From: journalKey(id, n)}) {
				var j journalRow
				if err == nil {
					j, err = parseJournal(e.Value)
				}
				if !yield(j, err) || err != nil {
					return
				}
			}
		}
	}
}

// lastJournal returns the last row of a replica id, or cache.ErrNotFound.
func lastJournal(tx *cache.Tx, id syncproto.ReplicaID) (journalRow, error) {
	last, err := tx.Last(bucketTail, cache.Range{Prefix: replicaKey(id)})
	if errors.Is(err, cache.ErrNotFound) {
		last, err = tx.Last(bucketJournal, cache.Range{Prefix: replicaKey(id)})
	}
	if err != nil {
		return journalRow{}, err
	}
	return parseJournal(last.Value)
}

// ownLog reports whether the log of an incarnation has head after n writes.
func ownLog(tx *cache.Tx, st *state, in *incarnation, n uint64, head []byte) (bool, error) {
	end, last := st.end(in)
	switch {
	case n > end:
		return false, nil
	case n == 0:
		start := syncproto.ChainStart(in.ID)
		return len(head) == 0 || string(head) == string(start[:]), nil
	case n == end:
		return string(head) == string(last[:]), nil
	}
	for j, err := range journal(tx, in.ID, n) {
		if err != nil || n < j.first {
			return false, err
		}
		h := j.start
		for i := j.first; i <= n && len(j.steps) >= 32; i++ {
			h = syncproto.Chain(h, syncproto.Digest(j.steps[:32]))
			j.steps = j.steps[32:]
		}
		return string(head) == string(h[:]), nil
	}
	return false, nil
}

// ownSteps calls fn with the steps of an incarnation above a counter, in order,
// until fn returns false.
func ownSteps(tx *cache.Tx, in *incarnation, above uint64, fn func(n uint64, step syncproto.Digest) bool) error {
	for j, err := range journal(tx, in.ID, above+1) {
		if err != nil {
			return err
		}
		for n, steps := j.first, j.steps; len(steps) >= 32; n, steps = n+1, steps[32:] {
			if n > above && !fn(n, syncproto.Digest(steps[:32])) {
				return nil
			}
		}
	}
	return nil
}
