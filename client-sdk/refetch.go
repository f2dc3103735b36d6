package sambang

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
)

// The refetch set holds the records of which the whole state, or a verdict, is
// wanted from the server: what a delta could not be applied to, what can't be
// read, what may be visible no longer, what the server has put aside. An entry
// is asked for at once and then with growing pauses, until it is answered.

const (
	refetchFirst = time.Minute
	refetchLast  = 6 * time.Hour
	// refetchAside is when to ask again whether somebody has decided.
	refetchAside = 15 * time.Minute
)

func parseRefetch(b []byte) (attempts uint64, notBefore int64) {
	c := reader{b: b}
	return c.uvarint(), int64(c.uint64()) //nolint:gosec // written from an int64
}

func (t *txn) putRefetch(id syncproto.RecordID, attempts uint64, notBefore int64) error {
	b := binary.AppendUvarint(nil, attempts)
	b = binary.BigEndian.AppendUint64(b, uint64(notBefore)) //nolint:gosec // read back as it was
	return t.tx.Put(bucketRefetch, id[:], b)
}

// refetch asks for a record, now or after a pause. One that waits already
// waits no longer than before.
func (t *txn) refetch(id syncproto.RecordID, after time.Duration) error {
	notBefore := t.now + after.Milliseconds()
	if after == 0 {
		notBefore = 0
	}
	b, err := t.tx.Get(bucketRefetch, id[:])
	switch {
	case errors.Is(err, cache.ErrNotFound):
		t.st.counts.Refetch++
		return t.putRefetch(id, 0, notBefore)
	case err != nil:
		return err
	}
	attempts, was := parseRefetch(b)
	if was <= notBefore {
		return nil
	}
	return t.putRefetch(id, attempts, notBefore)
}

// unrefetch takes a record off the list.
func (t *txn) unrefetch(id syncproto.RecordID) error {
	if t.st.counts.Refetch == 0 {
		return nil
	}
	had, err := t.tx.Has(bucketRefetch, id[:])
	if err != nil || !had {
		return err
	}
	t.st.counts.Refetch--
	return t.tx.Delete(bucketRefetch, id[:])
}

// postpone doubles the pause of a record that was asked for and is still on
// the list.
func (t *txn) postpone(id syncproto.RecordID) error {
	b, err := t.tx.Get(bucketRefetch, id[:])
	if errors.Is(err, cache.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	attempts, notBefore := parseRefetch(b)
	if notBefore > t.now {
		return nil // set anew while it was answered
	}
	pause := min(refetchFirst<<min(attempts, 16), refetchLast)
	return t.putRefetch(id, attempts+1, t.now+pause.Milliseconds())
}

// dueRefetch returns what to ask for now.
func dueRefetch(tx *cache.Tx, st *state, now int64) ([]syncproto.RecordID, error) {
	if st.counts.Refetch == 0 {
		return nil, nil
	}
	var out []syncproto.RecordID
	for e, err := range tx.Ascend(bucketRefetch, cache.Range{}) {
		if err != nil {
			return nil, err
		}
		if _, notBefore := parseRefetch(e.Value); notBefore <= now {
			out = append(out, syncproto.RecordID(e.Key))
		}
		if len(out) == syncproto.MaxRefetch {
			break
		}
	}
	return out, nil
}
