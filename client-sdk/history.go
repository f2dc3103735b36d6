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
		first, h, steps, err := parseJournal(e.Value)
		if err != nil || n < first {
			return false, err
		}
		for i := first; i <= n && len(steps) >= 32; i++ {
			h = syncproto.Chain(h, syncproto.Digest(steps[:32]))
			steps = steps[32:]
		}
		return string(head) == string(h[:]), nil
	}
	return false, nil
}

func parseJournal(b []byte) (first uint64, start syncproto.Digest, steps []byte, err error) {
	c := reader{b: b}
	first = c.uint64()
	start = syncproto.Digest(c.take(32))
	if c.err != nil {
		return 0, start, nil, c.err
	}
	return first, start, c.b, nil
}

// ownSteps calls fn with the steps of an incarnation above a counter, in order,
// until fn returns false.
func ownSteps(tx *cache.Tx, in *incarnation, above uint64, fn func(n uint64, step syncproto.Digest) bool) error {
	for e, err := range tx.Ascend(bucketJournal, cache.Range{Prefix: replicaKey(in.ID), From: journalKey(in.ID, above+1)}) {
		if err != nil {
			return err
		}
		n, _, steps, err := parseJournal(e.Value)
		if err != nil {
			return err
		}
		for ; len(steps) >= 32; n, steps = n+1, steps[32:] {
			if n > above && !fn(n, syncproto.Digest(steps[:32])) {
				return nil
			}
		}
	}
	return nil
}
