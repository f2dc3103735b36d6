package sambang

import (
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/syncproto"
)

// Get returns a record as it shows now. A deleted one is returned too, with
// Deleted set; one that headquarters erased or that was evicted is
// [syncproto.CodeNotFound].
func (r *Replica) Get(id ID) (*Record, error) {
	st, err := r.load()
	if err != nil {
		return nil, err
	}
	var shown *Record
	err = r.view(func(tx *cache.Tx) error {
		d, err := readDocument(tx, st, id)
		if err != nil || d.isNew() {
			return err
		}
		shown, err = r.showIn(tx, st, d)
		return err
	})
	if err == nil && shown == nil {
		return nil, syncproto.CodeNotFound
	}
	if err == nil && ablate.Off(ablate.A22ProjectionPure) {
		err = r.writeShown(shown)
	}
	return shown, err
}

// Filter selects records for [Replica.List]. Empty fields select all.
type Filter struct {
	Kind string
	// Region selects the records in it and below it. Records know their
	// district, so a village selects those of its district.
	Region syncproto.Region
	// Deleted includes deleted records.
	Deleted bool
	// Conflicts selects the records with conflicts only.
	Conflicts bool
	// Waiting selects the records that the server may not have yet.
	Waiting bool
}

// List yields the records that the filter selects, in order of their ids,
// which is about the order of their making. Records that the server received
// but put aside are not among them; [Replica.Outbox] tells those. It holds
// nothing open between two records, so the body of the loop may write; what is
// written meanwhile may be seen or not. It ends after the first error.
func (r *Replica) List(f Filter) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		var from []byte
		for {
			page, next, err := r.page(f, from)
			for _, rec := range page {
				if !yield(rec, nil) {
					return
				}
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if next == nil {
				return
			}
			from = next
		}
	}
}

// pageRecords is how many records List reads at a time: a View that stays open
// keeps the file from using its free pages again.
const pageRecords = 100

func (r *Replica) page(f Filter, from []byte) (page []*Record, next []byte, err error) {
	st, err := r.load()
	if err != nil {
		return nil, nil, err
	}
	err = r.view(func(tx *cache.Tx) error {
		for e, err := range tx.Ascend(bucketRecords, cache.Range{From: from}) {
			if err != nil {
				return err
			}
			h, err := readHeader(tx, syncproto.RecordID(e.Key), e.Value)
			if err != nil {
				return err
			}
			if !f.selects(&h.w) {
				continue
			}
			w, err := h.full()
			if err != nil {
				return err
			}
			w.inEpoch(st.link.EpochOrdinal)
			if w.quarantined() || f.Waiting && !w.dirty() {
				continue
			}
			if len(page) == pageRecords {
				next = slices.Clone(e.Key)
				return nil
			}
			d, err := readDocument(tx, st, w.rec.ID())
			if err != nil {
				return err
			}
			rec, err := r.showIn(tx, st, d)
			if err != nil {
				return err
			}
			if f.Conflicts && len(rec.Conflicts) == 0 {
				continue
			}
			page = append(page, rec)
		}
		return nil
	})
	return page, next, err
}

func (f Filter) selects(w *row) bool {
	return w.of.IsZero() &&
		(f.Kind == "" || w.kind == f.Kind) &&
		(f.Region == "" || f.Region.Covers(w.scope.Region()) || w.scope.Region().Covers(f.Region) && len(f.Region) > len(w.scope.Region())) &&
		(f.Deleted || !w.deleted)
}

// read returns the record's rows; CodeNotFound if it is not here.
func (r *Replica) read(id ID) (*document, error) {
	st, err := r.load()
	if err != nil {
		return nil, err
	}
	var d *document
	err = r.view(func(tx *cache.Tx) (err error) {
		d, err = readDocument(tx, st, id)
		return err
	})
	if err == nil && d.isNew() {
		return nil, syncproto.CodeNotFound
	}
	return d, err
}

func readDocument(tx *cache.Tx, st *state, id ID) (*document, error) {
	return openDocument(id, func(id ID) (docPart, error) {
		w, err := getRow(tx, id)
		if err != nil {
			return docPart{}, err
		}
		if w == nil {
			w = &row{rec: syncproto.NewRecord(id)}
		}
		w.inEpoch(st.link.EpochOrdinal)
		return docPart{row: w}, nil
	})
}

// show projects the record.
func (r *Replica) show(d *document) (*Record, error) {
	st, err := r.load()
	if err != nil {
		return nil, err
	}
	var rec *Record
	err = r.view(func(tx *cache.Tx) (err error) {
		rec, err = r.showIn(tx, st, d)
		return err
	})
	return rec, err
}

func (r *Replica) showIn(tx *cache.Tx, st *state, d *document) (*Record, error) {
	out := r.project(d)
	var latest syncproto.Sibling
	worst := CustodyHeld
	for i := range d.parts {
		p := &d.parts[i]
		if p.row.rec.IsZero() {
			continue
		}
		out.seen[p.row.rec.ID()] = p.row.rec
		out.Classes = append(out.Classes, p.class)
		worst = min(worst, p.row.custody(st))
		for f := range p.row.rec.Fields() {
			if s := f.Latest(); s.HLC > latest.HLC {
				latest = s
			}
		}
	}
	out.Custody = worst
	out.UpdatedAt = time.UnixMilli(latest.HLC.Millis())
	var err error
	out.UpdatedBy, err = author(tx, st, latest.Dot.Replica)
	return out, err
}

// author returns who writes under a replica id.
func author(tx *cache.Tx, st *state, id syncproto.ReplicaID) (Author, error) {
	a := Author{Replica: id}
	if st.own(id) != nil {
		a.Mine, a.Officer, a.Agency = true, st.device.Officer, st.device.Agency
		return a, nil
	}
	b, err := tx.Get(bucketAuthors, replicaKey(id))
	if errors.Is(err, cache.ErrNotFound) {
		return a, nil
	}
	if err != nil {
		return a, err
	}
	c := reader{b: b}
	a.Officer, a.Agency = c.text(), c.text()
	return a, c.err
}
