package sambang

import (
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// SetPace makes the pauses of Run short enough for a test.
func (r *Replica) SetPace(gather, idle, first, last time.Duration) {
	r.pace = pace{gather: gather, idle: idle, first: first, last: last}
}

// OpenOn opens a replica on a disk that a test has a hand on.
func OpenOn(dir string, o Options, fault func(op string, do func() error) error) (*Replica, error) {
	return open(dir, o, func(op cache.Op, do func() error) error { return fault(string(op), do) })
}

// The decoders of rows, for fuzzing.
func ParseRow(b []byte) error {
	h, err := parseHeader(b)
	if err == nil {
		_, err = h.full()
	}
	return err
}
func ParseSettled(b []byte) error { _, err := parseSettled(b); return err }
func ParseHistory(b []byte) error { _, err := parseHistory(b); return err }
func ParseJournal(b []byte) error { _, err := parseJournal(b); return err }
func ParseRefetch(b []byte)       { parseRefetch(b) }

// The hooks by which the golden vectors put a replica into states that only a
// mistake in the SDK, or a later version, leads to.

// WriteRaw mints writes on a record as they are.
func (r *Replica) WriteRaw(id ID, writes ...syncproto.Write) error {
	return r.update(func(t *txn) error {
		w, before, err := t.rowOrNew(id)
		if err != nil {
			return err
		}
		if err := t.mint(w, writes); err != nil {
			return err
		}
		return t.put(w, before)
	})
}

// Believe takes a record for acknowledged that the server has never seen.
func (r *Replica) Believe(id ID) error {
	return r.update(func(t *txn) error {
		w, before, err := t.rowOrNew(id)
		if err != nil {
			return err
		}
		w.acked = w.rec.Context()
		return t.put(w, before)
	})
}

// Lose evicts a record without remembering how far it was written here.
func (r *Replica) Lose(id ID) error {
	return r.update(func(t *txn) error {
		w, err := t.row(id)
		if err != nil {
			return err
		}
		if err := t.evict(w); err != nil {
			return err
		}
		return t.tx.Delete(bucketEvicted, id[:])
	})
}

// Refetch asks for records at the next sync.
func (r *Replica) Refetch(ids ...ID) error {
	return r.update(func(t *txn) error {
		for _, id := range ids {
			if err := t.refetch(id, 0); err != nil {
				return err
			}
		}
		return nil
	})
}
