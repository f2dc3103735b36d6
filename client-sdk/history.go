package sambang

import (
	"encoding/binary"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// history is a write that was overwritten before the server had acknowledged
// it. It goes into the server's journal, never into the merge.
type history struct {
	sent  bool // acknowledged in a request; waits for the receipt that holds it
	scope syncproto.Scope
	id    syncproto.RecordID
	path  string
	hlc   syncproto.HLC
	value syncproto.Value
}

func appendHistory(b []byte, h history) []byte {
	if h.sent {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	b = append(b, h.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(h.hlc))
	b = appendText(b, string(h.scope))
	b = appendText(b, h.path)
	return appendText(b, h.value.JSON())
}

func parseHistory(b []byte) (history, error) {
	c := reader{b: b}
	h := history{sent: c.byte() == 1}
	copy(h.id[:], c.take(16))
	h.hlc = syncproto.HLC(c.uint64())
	h.scope = syncproto.Scope(c.text())
	h.path = c.text()
	text := c.text()
	if c.err != nil {
		return history{}, c.err
	}
	var err error
	h.value, err = syncproto.ParseValueString(text)
	return h, err
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
	for e, err := range tx.Ascend(bucketJournal, cache.Range{Prefix: replicaKey(in.ID), From: journalKey(in.ID, n)}) {
		if err != nil {
			return false, err
		}
		j, err := parseJournal(e.Value)
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

// ownSteps calls fn with the steps of an incarnation above a counter, in order,
// until fn returns false.
func ownSteps(tx *cache.Tx, in *incarnation, above uint64, fn func(n uint64, step syncproto.Digest) bool) error {
	for e, err := range tx.Ascend(bucketJournal, cache.Range{Prefix: replicaKey(in.ID), From: journalKey(in.ID, above+1)}) {
		if err != nil {
			return err
		}
		j, err := parseJournal(e.Value)
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
