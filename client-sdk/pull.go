package sambang

import (
	"encoding/binary"
	"errors"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// feed applies one frame of the feed: entries in small transactions, and the
// cursors in the last of them, never before the entries (I12). Of a frame whose
// tables or cursors can't be read nothing counts.
func (p *response) feed(f *wire.Feed) error {
	dec, err := wire.NewDecoder(f.GetTables())
	if err != nil {
		return unreadable("the tables of a frame", err)
	}
	for _, c := range f.GetCursors() {
		if _, err := syncproto.ParseScope(c.GetScope()); err != nil {
			return unreadable("a cursor", err)
		}
	}
	entries := f.GetEntries()
	if ablate.Off(ablate.A17CursorLast) && p.trusted {
		if err := p.r.update(func(t *txn) error { return t.advance(f.GetCursors()) }); err != nil {
			return err
		}
	}
	for first := true; first || len(entries) > 0; first = false {
		part := entries[:min(chunk, len(entries))]
		entries = entries[len(part):]
		forked := syncproto.ReplicaID(0)
		rep := *p.rep
		err := p.r.update(func(t *txn) error {
			for _, e := range part {
				id, err := p.entry(t, dec, f.GetTables(), e)
				if err != nil {
					return err
				}
				if forked = id; id != 0 {
					return errForked
				}
			}
			if len(entries) > 0 || !p.trusted {
				return nil
			}
			if err := t.authors(f.GetAuthors()); err != nil {
				return err
			}
			return t.advance(f.GetCursors())
		})
		if forked != 0 {
			// Somebody knows more of us than we wrote. Nothing of this part was
			// kept; repair, and ask again.
			*p.rep = rep
			p.rep.Repairs++
			if err := p.r.update(func(t *txn) error { return t.fork(forked) }); err != nil {
				return err
			}
			return errRestart
		}
		if err != nil {
			*p.rep = rep
			return err
		}
		p.pulled(len(part))
	}
	return nil
}

// advance moves the cursors to where the feed has been read.
func (t *txn) advance(cursors []*wire.Cursor) error {
	for _, c := range cursors {
		b := binary.BigEndian.AppendUint64(nil, c.GetSeq())
		if err := t.tx.Put(bucketCursors, []byte(c.GetScope()), b); err != nil {
			return err
		}
	}
	return nil
}

var errForked = errors.New("replica id is forked")

// entry applies one entry of the feed. It returns an own id that the entry
// proves forked.
func (p *response) entry(t *txn, dec *wire.Decoder, tables *wire.Tables, e *wire.Entry) (forked syncproto.ReplicaID, err error) {
	switch {
	case e.GetDelta() != nil:
		scope, err := dec.Scope(e.GetScope())
		if err != nil {
			return 0, p.poison(t, tables, e, err)
		}
		d, err := dec.Delta(e.GetDelta())
		if err != nil {
			return 0, p.poison(t, tables, e, err)
		}
		if id := t.st.forkedBy(d.Context()); id != 0 {
			return id, nil
		}
		err = p.delta(t, scope, d)
		if errors.Is(err, errPoison) {
			err = p.poison(t, tables, e, err)
		}
		return 0, err
	case e.GetLeft() != nil:
		return p.left(t, dec, e)
	case e.GetVerdict() != nil:
		return p.answered(t, dec, e.GetVerdict())
	case e.GetUnreadable() != nil:
		return 0, p.unread(t, e.GetUnreadable().GetId(), syncproto.CodeDamaged)
	}
	return 0, nil // of a later version: nothing that this one needs
}

var errPoison = errors.New("entry can't be applied")

func (p *response) delta(t *txn, scope syncproto.Scope, d syncproto.Delta) error {
	if !p.trusted {
		return t.refetch(d.ID(), 0)
	}
	w, before, err := t.rowOrNew(d.ID())
	if err != nil {
		return err
	}
	p.rep.Pulled++
	change, err := syncproto.Apply(w.rec, d)
	switch {
	case errors.Is(err, syncproto.CodeNeedFull):
		p.again = true
		return t.refetch(d.ID(), 0)
	case errors.Is(err, syncproto.CodeTripwire), errors.Is(err, syncproto.CodeEquivocation):
		t.r.log.Warn("two states of a record contradict each other; the next push repairs it", "record", d.ID().String(), "code", string(syncproto.CodeOf(err)))
		p.rep.Repairs++
		w.broken, p.again = true, true
		if w.at.isZero() {
			w.at = t.lowest(w)
		}
		return t.put(w, before)
	case err != nil:
		return errors.Join(errPoison, err)
	}
	if d.IsFull() {
		if err := t.unrefetch(d.ID()); err != nil {
			return err
		}
	}
	acked := w.acked.Join(d.Context())
	if !change.Changed && acked.Equal(w.acked) && w.home == scope && w.aside.IsEmpty() {
		return nil // I14
	}
	what := ChangeUpdated
	if w.rec.IsZero() {
		what = ChangeCreated
	}
	t.observe(d)
	w.rec, w.acked, w.home = change.Record, acked, scope
	if w.aside.LessEq(w.acked) {
		w.aside, w.asideCode = syncproto.VV{}, ""
	}
	if w.rec.IsPurged() && !hasContent(w.rec) && w.rec.Context().LessEq(d.Context()) {
		p.rep.Evicted++
		if before.rec.IsZero() {
			return nil // a skeleton is the server's to keep
		}
		*w = before
		return t.evict(w)
	}
	if w.toPush() {
		w.at = t.lowest(w)
	}
	if err := t.put(w, before); err != nil {
		return err
	}
	if w.conflicts > before.conflicts {
		p.rep.Conflicts++
	}
	if w.quarantined() {
		if err := t.refetch(d.ID(), refetchAside); err != nil {
			return err
		}
	}
	if !change.Changed {
		what = ChangeCustody
	}
	t.change(w, what, SourceSync)
	return nil
}

// left applies a marker: the record went out of a scope.
func (p *response) left(t *txn, dec *wire.Decoder, e *wire.Entry) (syncproto.ReplicaID, error) {
	id, ctx, err := named(dec, e.GetLeft().GetId(), e.GetLeft().GetCtx())
	if err != nil {
		return 0, p.unread(t, e.GetLeft().GetId(), err)
	}
	if forked := t.st.forkedBy(ctx); forked != 0 {
		return forked, nil
	}
	w, err := t.row(id)
	if err != nil || w == nil {
		return 0, err
	}
	if !p.trusted {
		return 0, t.refetch(id, 0)
	}
	if !e.GetLeft().GetVisible() && w.evictable(ctx) {
		p.rep.Evicted++
		return 0, t.evict(w)
	}
	if scope, err := dec.Scope(e.GetScope()); err == nil && e.GetLeft().GetVisible() && w.home != scope && ctx.LessEq(w.rec.Context()) {
		return 0, nil // it has arrived in its new home already
	}
	p.again = true
	return 0, t.refetch(id, 0)
}

// answered applies the verdict on a record that was asked for and is not
// visible to this device.
func (p *response) answered(t *txn, dec *wire.Decoder, v *wire.Verdict) (syncproto.ReplicaID, error) {
	id, ctx, err := named(dec, v.GetId(), v.GetCtx())
	if err != nil {
		return 0, p.unread(t, v.GetId(), err)
	}
	if forked := t.st.forkedBy(ctx); forked != 0 {
		return forked, nil
	}
	w, err := t.row(id)
	if err != nil {
		return 0, err
	}
	switch {
	case w == nil:
		return 0, t.unrefetch(id)
	case !p.trusted:
		return 0, nil // stays on the list
	case v.GetPurged():
		p.rep.Evicted++
		return 0, t.evict(w)
	case v.GetKnown() && w.evictable(ctx):
		p.rep.Evicted++
		return 0, t.evict(w)
	case v.GetKnown() || w.quarantined():
		return 0, nil // the push first; asked again with growing pauses
	}
	// The server has never seen it: whatever was acknowledged of it is not there.
	before := *w
	w.acked, w.home = syncproto.VV{}, ""
	w.at = t.lowest(w)
	if err := t.unrefetch(id); err != nil {
		return 0, err
	}
	return 0, t.put(w, before)
}

func named(dec *wire.Decoder, id []byte, v *wire.Vector) (syncproto.RecordID, syncproto.VV, error) {
	if len(id) != 16 {
		return syncproto.RecordID{}, syncproto.VV{}, syncproto.Errorf(syncproto.CodeBadResponse, "record id of %d bytes", len(id))
	}
	ctx, err := dec.Vector(v)
	return syncproto.RecordID(id), ctx, err
}

// poison keeps an entry that can't be read, raw, and asks for the record: the
// cursor moves on, so that one bad record does not stop the feed.
func (p *response) poison(t *txn, tables *wire.Tables, e *wire.Entry, why error) error {
	id := e.GetDelta().GetId()
	if len(id) != 16 {
		return p.unread(t, id, why)
	}
	raw, err := wire.EncodeQuarantined(tables, &wire.Item{Scope: e.GetScope(), Delta: e.GetDelta()})
	if err != nil {
		raw = nil // the id and the reason are what is left of it
	}
	if err := t.tx.Put(bucketPoison, id, append(appendText(nil, string(syncproto.CodeOf(why))), raw...)); err != nil {
		return err
	}
	return p.unread(t, id, why)
}

// unread passes over an entry that can't be read, and asks for its record.
func (p *response) unread(t *txn, id []byte, why error) error {
	p.rep.Poisoned++
	t.r.log.Warn("an entry of the feed can't be read; the record is asked for again", "code", string(syncproto.CodeOf(why)))
	if len(id) != 16 {
		return nil
	}
	return t.refetch(syncproto.RecordID(id), refetchFirst)
}

// end postpones what was asked for and not answered.
func (p *response) end() error {
	st, err := p.r.load()
	if err != nil {
		return err
	}
	due := false
	if len(p.q.refetch) > 0 && st.counts.Refetch > 0 {
		err = p.r.view(func(tx *cache.Tx) error {
			for _, id := range p.q.refetch {
				had, err := tx.Has(bucketRefetch, id[:])
				if err != nil {
					return err
				}
				due = due || had
			}
			return nil
		})
	}
	if err != nil || !due {
		return err
	}
	return p.r.update(func(t *txn) error {
		for _, id := range p.q.refetch {
			if err := t.postpone(id); err != nil {
				return err
			}
		}
		return nil
	})
}

// authors keeps who writes under the replica ids that a frame names.
func (t *txn) authors(list []*wire.Author) error {
	for _, a := range list {
		key := replicaKey(syncproto.ReplicaID(a.GetReplica()))
		value := appendText(appendText(nil, a.GetOfficer()), a.GetAgency())
		switch was, err := t.tx.Get(bucketAuthors, key); {
		case err == nil && string(was) == string(value):
			continue
		case err != nil && !errors.Is(err, cache.ErrNotFound):
			return err
		}
		if err := t.tx.Put(bucketAuthors, key, value); err != nil {
			return err
		}
	}
	return nil
}
