package sambang

import (
	"bytes"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// chunk is how many records one transaction of a repair or a response
// touches: enough that its syncs cost little beside them, and few enough that
// an officer who saves meanwhile does not notice.
const chunk = 500

// adoptEpoch begins a new epoch: the server's history is another one, so
// nothing that it acknowledged counts, and everything here is pushed again,
// also what others wrote (4.10). What this replica wrote stays as it is.
func (t *txn) adoptEpoch(epoch []byte) error {
	t.st.link.Epoch = bytes.Clone(epoch)
	t.st.link.EpochOrdinal++
	t.st.link.Redirty, t.st.link.RedirtyFrom = true, nil
	t.st.link.WitnessN, t.st.link.WitnessStamp = 0, nil
	t.st.link.GrantsVersion = 0 // the server may count anew; what is granted stays until it says
	for i := range t.st.incarnations {
		in := &t.st.incarnations[i]
		in.ConfirmedN, in.ConfirmedHead, in.HeldN = 0, nil, 0
	}
	t.st.counts.Quarantined = 0
	for key, err := range t.tx.Keys(bucketCursors, cache.Range{}) {
		if err != nil {
			return err
		}
		if err := t.tx.Delete(bucketCursors, key); err != nil {
			return err
		}
	}
	t.r.log.Warn("the server began a new epoch: everything is pushed again")
	return nil
}

// fork retires a replica id under which somebody else was proven to write, and
// begins to write again, under the present one, what the server had not
// acknowledged (4.8).
func (t *txn) fork(id syncproto.ReplicaID) error {
	if id == t.st.minter.Replica() {
		if err := t.rotate("fork"); err != nil {
			return err
		}
	}
	in := t.st.own(id)
	if in == nil || in.Forked {
		return nil
	}
	t.r.log.Warn("another copy of this replica writes under its id", "replica", id.String())
	in.Forked, in.Reminting, in.RemintFrom = true, true, nil
	return nil
}

// repairs finishes what an epoch change, a fork or the end of a grant left to
// do, in small transactions that a crash may separate. Nothing is exchanged before.
func (r *Replica) repairs() error {
	for {
		st, err := r.load()
		if err != nil {
			return err
		}
		var next func(*txn) error
		if st.timedOut(r.nowMillis(st)) {
			next = func(t *txn) error { return t.endGrants(t.st.readable()) }
		}
		if st.link.Redirty {
			next = (*txn).redirty
		}
		for i := range st.incarnations {
			if in := st.incarnations[i]; in.Reminting {
				next = func(t *txn) error { return t.remint(in.ID) }
			}
		}
		if next == nil {
			return nil
		}
		if err := r.update(next); err != nil {
			return err
		}
	}
}

// redirty puts the next records into the push order after an epoch change.
func (t *txn) redirty() error {
	link := &t.st.link
	n := 0
	for e, err := range t.tx.Ascend(bucketRecords, cache.Range{From: link.RedirtyFrom}) {
		if err != nil {
			return err
		}
		if n++; n > chunk {
			link.RedirtyFrom = bytes.Clone(e.Key)
			return nil
		}
		w, err := readRow(t.tx, syncproto.RecordID(e.Key), e.Value)
		if err != nil {
			return err
		}
		if w.epoch == link.EpochOrdinal {
			continue
		}
		before := *w
		w.inEpoch(link.EpochOrdinal)
		w.at = t.lowest(w)
		before.aside = syncproto.VV{} // counted as not put aside since adoptEpoch
		if err := t.put(w, before); err != nil {
			return err
		}
	}
	link.Redirty, link.RedirtyFrom = false, nil
	// What waited for its receipt waits again.
	var again [][]byte
	for e, err := range t.tx.Ascend(bucketHistory, cache.Range{}) {
		if err != nil {
			return err
		}
		if len(e.Value) > 0 && e.Value[0] == 1 {
			again = append(again, bytes.Clone(e.Key))
		}
	}
	for _, key := range again {
		if err := t.markHistory(key, false); err != nil {
			return err
		}
	}
	return nil
}

// markHistory sets whether a history row was sent.
func (t *txn) markHistory(key []byte, sent bool) error {
	b, err := t.tx.Get(bucketHistory, key)
	if err != nil {
		return err
	}
	b[0] = 0
	if sent {
		b[0] = 1
	}
	return t.tx.Put(bucketHistory, key, b)
}

// remint writes the next records again that hold unacknowledged writes of a
// forked id.
func (t *txn) remint(id syncproto.ReplicaID) error {
	in := t.st.own(id)
	n := 0
	var todo []syncproto.RecordID
	for e, err := range t.tx.Ascend(bucketRecords, cache.Range{From: in.RemintFrom}) {
		if err != nil {
			return err
		}
		if n++; n > 10*chunk || len(todo) == chunk/10 {
			in.RemintFrom = bytes.Clone(e.Key)
			return t.remintRows(id, todo)
		}
		w, err := readRow(t.tx, syncproto.RecordID(e.Key), e.Value)
		if err != nil {
			return err
		}
		if w.inEpoch(t.st.link.EpochOrdinal); w.rec.Context().Get(id) > w.acked.Get(id) {
			todo = append(todo, w.rec.ID())
		}
	}
	if err := t.remintRows(id, todo); err != nil {
		return err
	}
	if err := t.remintHistory(id); err != nil {
		return err
	}
	in = t.st.own(id)
	in.Reminting, in.RemintFrom = false, nil
	return nil
}

func (t *txn) remintRows(id syncproto.ReplicaID, todo []syncproto.RecordID) error {
	for _, rid := range todo {
		w, err := t.row(rid)
		if err != nil {
			return err
		}
		before := *w
		if own := t.st.minter.Replica(); !ablate.Off(ablate.A12OwnHigh) && w.ownHigh.Replica == own && w.rec.Context().Get(own) < w.ownHigh.N {
			if err := t.rotate("hole"); err != nil {
				return err
			}
		}
		rec, m, mints := syncproto.Remint(w.rec, id, w.acked.Get(id), t.st.minter, t.now)
		if len(mints) == 0 && rec.Equal(w.rec) {
			continue
		}
		w.rec = rec
		w.at = place{}
		t.minted1(w, m, mints)
		if w.at.isZero() {
			w.at = t.lowest(w)
		}
		if err := t.put(w, before); err != nil {
			return err
		}
		t.change(w, ChangeUpdated, SourceLocal)
	}
	return nil
}

// remintHistory gives the overwritten writes of a forked id dots of the
// present one, so that the journal at headquarters gets them.
func (t *txn) remintHistory(id syncproto.ReplicaID) error {
	in := t.st.own(id)
	type entry struct {
		key []byte
		h   history
	}
	var todo []entry
	prefix := historyKey(in.Generation, syncproto.Dot{Replica: id})[:12]
	for e, err := range t.tx.Ascend(bucketHistory, cache.Range{Prefix: prefix}) {
		if err != nil {
			return err
		}
		h, err := parseHistory(e.Value)
		if err != nil {
			return err
		}
		todo = append(todo, entry{bytes.Clone(e.Key), h})
	}
	for _, e := range todo {
		if err := t.tx.Delete(bucketHistory, e.key); err != nil {
			return err
		}
		// The write of its own, on nothing: the record shows what overwrote it.
		_, m, mints, _, err := t.st.minter.Write(syncproto.NewRecord(e.h.id), 0, t.now, syncproto.Write{Path: e.h.path, Value: e.h.value})
		if err != nil {
			return err
		}
		var none row
		none.rec = syncproto.NewRecord(e.h.id)
		t.minted1(&none, m, mints)
		e.h.sent, e.h.hlc = false, mints[0].HLC
		key := historyKey(t.st.present().Generation, mints[0].Dot)
		if err := t.tx.Put(bucketHistory, key, appendHistory(nil, e.h)); err != nil {
			return err
		}
	}
	return nil
}

// lowest is the place of a row by the lowest own write that it shows and the
// server may not have.
func (t *txn) lowest(w *row) place {
	best := place{generation: generationNone}
	for f := range w.rec.Fields() {
		for _, s := range f.Siblings {
			if w.acked.Covers(s.Dot) {
				continue
			}
			if in := t.st.own(s.Dot.Replica); in != nil {
				if at := (place{in.Generation, s.Dot.N}); at.before(best) {
					best = at
				}
			}
		}
	}
	return best
}

// forkedBy returns the own id of which somebody knows more than was written
// here, 0 if there is none: nobody can know more of a replica than it wrote.
func (s *state) forkedBy(ctx syncproto.VV) syncproto.ReplicaID {
	for d := range ctx.All() {
		in := s.own(d.Replica)
		if in == nil || in.Forked {
			continue
		}
		if n, _ := s.end(in); !ablate.Off(ablate.A04Fence) && d.N > n {
			return d.Replica
		}
	}
	return 0
}

// forkedHeads returns the own ids whose chain the server knows otherwise.
func forkedHeads(tx *cache.Tx, st *state, heads []*wire.Head) ([]syncproto.ReplicaID, error) {
	var out []syncproto.ReplicaID
	for _, h := range heads {
		in := st.own(syncproto.ReplicaID(h.GetReplica()))
		if in == nil || in.Forked {
			continue
		}
		ok, err := ownLog(tx, st, in, h.GetN(), h.GetHead())
		if err != nil {
			return nil, err
		}
		if !ok && !ablate.Off(ablate.A04Fence) && !ablate.Off(ablate.A26ChainOnPull) {
			out = append(out, in.ID)
		}
	}
	return out, nil
}
