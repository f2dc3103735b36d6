package sambang

import (
	"encoding/binary"
	"errors"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// settled is the server's word that it has all of a record, kept beside the
// record's row: thirty bytes, where the row would be two thousand to write
// again. It counts for the row with this very context: put leaves one behind
// only when the context grows, and then it never counts again.
type settled struct {
	ctx   syncproto.VV // of the row, and what the server has
	home  syncproto.Scope
	epoch uint32
}

func appendSettled(b []byte, s settled) []byte {
	b = binary.AppendUvarint(b, uint64(s.epoch))
	b = appendText(b, string(s.home))
	return wire.AppendVV(b, s.ctx)
}

func parseSettled(b []byte) (settled, error) {
	c := reader{b: b}
	s := settled{epoch: uint32(c.uvarint()), home: syncproto.Scope(c.text())} //nolint:gosec // written from a uint32
	s.ctx = c.vector()
	if c.err == nil && len(c.b) > 0 {
		c.err = errRow
	}
	return s, c.err
}

// settle applies what stands beside a row that is known by its header. Only a
// row that waits has anything there.
func (h *header) settle(tx *cache.Tx, id syncproto.RecordID) error {
	if h.w.at.isZero() {
		return nil
	}
	b, err := tx.Get(bucketSettled, id[:])
	if errors.Is(err, cache.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	s, err := parseSettled(b)
	if err != nil || !s.ctx.Equal(h.ctx) {
		return err
	}
	w := &h.w
	w.acked, w.home, w.epoch = s.ctx, s.home, s.epoch
	w.at, w.indexed = place{}, false
	return nil
}

// settleApplied is [response.settle] for nearly all outcomes: the record was
// applied as it still is, and nothing else is to be noted.
func (p *response) settleApplied(t *txn, o outcome) (done bool, err error) {
	if o.result != wire.Result_RESULT_APPLIED || o.hidden || o.home != "" || o.sent.repair {
		return false, nil
	}
	id := o.sent.id
	h, err := getHeader(t.tx, id)
	if err != nil || h == nil {
		return false, err
	}
	w := &h.w
	w.inEpoch(t.st.link.EpochOrdinal)
	if w.at.isZero() || w.needFull || w.broken || !w.aside.IsEmpty() || !h.ctx.Equal(o.sent.ctx) || !w.acked.LessEq(h.ctx) {
		return false, nil
	}
	if w.indexed {
		if err := t.tx.Delete(bucketDirty, dirtyKey(w.at, id)); err != nil {
			return false, err
		}
	}
	p.rep.Pushed++
	t.st.counts.Waiting -= min(1, t.st.counts.Waiting)
	t.changeOf(id, w, ChangeCustody, SourceSync)
	return true, t.tx.Put(bucketSettled, id[:], appendSettled(nil, settled{h.ctx, o.sent.home, w.epoch}))
}
