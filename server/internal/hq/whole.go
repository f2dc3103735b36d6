package hq

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Entry is one record as a whole: what of it the reader may read.
type Entry struct {
	ID   string `json:"id"`
	Kind string `json:"kind"`
	// Scope, Region, Class and Seq name the part by which the entry stands where
	// it does: the one that changed last.
	Scope  syncproto.Scope  `json:"scope"`
	Region syncproto.Region `json:"region"`
	Class  syncproto.Class  `json:"class"`
	Seq    uint64           `json:"seq"`
	// Agency and Officer are those of the device that first brought the main
	// record.
	Agency    string `json:"agency"`
	Officer   string `json:"officer"`
	CreatedAt string `json:"created_at"` // times of reception
	UpdatedAt string `json:"updated_at"`
	Conflicts int    `json:"conflicts"`
	Deleted   bool   `json:"deleted"`
	Purged    bool   `json:"purged"`
	// SuspectClock says that some value was written by a clock that was ahead.
	SuspectClock bool            `json:"suspect_clock"`
	Parts        []Part          `json:"parts"`
	Doc          json.RawMessage `json:"doc"`
	// Damaged says that what is stored of one of the parts is damaged: the entry
	// has names and no contents until it is repaired.
	Damaged bool `json:"damaged,omitempty"`
}

// Part is one of the records that an entry is joined from, the main record
// first.
type Part struct {
	ID        string          `json:"id"`
	Scope     syncproto.Scope `json:"scope"`
	Class     syncproto.Class `json:"class"`
	Seq       uint64          `json:"seq"`
	UpdatedAt string          `json:"updated_at"`
}

// whole is a record with those of its parts that the reader may read.
type whole struct {
	id      syncproto.RecordID
	rows    []store.Row // main first, if it is among them
	records []syncproto.Record
}

// baseOf returns the id of the record as a whole: the main record's. A row that
// merely says that it belongs to another record is a record of its own.
func baseOf(row store.Row) syncproto.RecordID {
	if !row.Of.IsZero() && (row.ID == syncproto.CompanionID(row.Of, syncproto.ClassTask) || row.ID == syncproto.CompanionID(row.Of, syncproto.ClassHQ)) {
		return row.Of
	}
	return row.ID
}

// partIDs returns the ids that the parts of a record can have.
func partIDs(base syncproto.RecordID) []syncproto.RecordID {
	return []syncproto.RecordID{base, syncproto.CompanionID(base, syncproto.ClassTask), syncproto.CompanionID(base, syncproto.ClassHQ)}
}

// gather finds the readable parts of records, in the order of bases. A record
// of which none is readable has no rows: it is not told apart from one that
// does not exist.
func gather(rd store.FeedReader, bases []syncproto.RecordID, grants syncproto.Grants, now int64) (map[syncproto.RecordID]*whole, error) {
	out := make(map[syncproto.RecordID]*whole, len(bases))
	var ids []syncproto.RecordID
	for _, b := range bases {
		if out[b] == nil {
			out[b] = &whole{id: b}
			ids = append(ids, partIDs(b)...)
		}
	}
	rows, err := rd.Live(ids)
	if err != nil {
		return nil, fmt.Errorf("read the parts of records: %w", err)
	}
	byID := make(map[syncproto.RecordID]store.Row, len(rows))
	for _, row := range rows {
		if grants.MayRead(row.Scope, now) {
			byID[row.ID] = row
		}
	}
	for base, w := range out {
		for _, id := range partIDs(base) {
			row, ok := byID[id]
			if ok && (id == base || row.Of == base || row.Damaged) {
				w.rows = append(w.rows, row)
			}
		}
	}
	return out, nil
}

// hasMain reports whether the main record is among the parts.
func (w *whole) hasMain() bool { return len(w.rows) > 0 && w.rows[0].ID == w.id }

// decode reads the parts' states.
func (w *whole) decode() error {
	w.records = make([]syncproto.Record, 0, len(w.rows))
	for _, row := range w.rows {
		if err := row.Damage(); err != nil {
			return fmt.Errorf("read a part of record %s: %w", w.id, err)
		}
		rec, _, _, err := wire.DecodeState(row.State)
		if err != nil {
			return fmt.Errorf("read the state of record %s in %s: %w", row.ID, row.Scope, err)
		}
		w.records = append(w.records, rec)
	}
	return nil
}

// project joins the parts into one document.
func (w *whole) project(p *pack.Pack) pack.Projection {
	if w.hasMain() {
		return p.Project(w.records[0], w.records[1:]...)
	}
	return p.Project(syncproto.NewRecord(w.id), w.records...)
}

// entry shows the record by the part at.
func (w *whole) entry(p *pack.Pack, at store.Row) (Entry, error) {
	if slices.ContainsFunc(w.rows, func(row store.Row) bool { return row.Damaged }) {
		return damagedEntry(w.id, at), nil
	}
	if err := w.decode(); err != nil {
		return Entry{}, err
	}
	return w.show(w.project(p), at), nil
}

func (w *whole) show(projection pack.Projection, at store.Row) Entry {
	first := w.rows[0]
	e := Entry{
		ID: w.id.String(), Kind: projection.Kind,
		Scope: at.Scope, Region: at.Scope.Region(), Class: at.Scope.Class(), Seq: at.Seq,
		Agency: first.Agency, Officer: first.Officer,
		CreatedAt: stamp(first.CreatedAt), UpdatedAt: stamp(at.UpdatedAt),
		Conflicts: len(projection.Conflicts), Deleted: projection.Life.Deleted, Purged: projection.Purged,
		SuspectClock: slices.ContainsFunc(w.records, suspect), Doc: projection.DocJSON(),
	}
	for _, row := range w.rows {
		e.Parts = append(e.Parts, Part{ID: row.ID.String(), Scope: row.Scope, Class: row.Scope.Class(), Seq: row.Seq, UpdatedAt: stamp(row.UpdatedAt)})
	}
	return e
}

// damagedEntry stands for a record that can't be read whole. A document of the
// parts that can be would look like a record in which less was written.
func damagedEntry(id syncproto.RecordID, at store.Row) Entry {
	seen := stamp(max(at.UpdatedAt, 1)) // of a row of which nothing can be read
	return Entry{
		ID: id.String(), Scope: at.Scope, Region: at.Scope.Region(), Class: at.Scope.Class(), Seq: at.Seq, CreatedAt: seen, UpdatedAt: seen,
		Parts: []Part{{ID: at.ID.String(), Scope: at.Scope, Class: at.Scope.Class(), Seq: at.Seq, UpdatedAt: seen}},
		Doc:   json.RawMessage(`{}`), Damaged: true,
	}
}

func suspect(r syncproto.Record) bool {
	for f := range r.Fields() {
		if slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return s.Suspect }) {
			return true
		}
	}
	return false
}

// contested reports whether the record has a conflict that the reader may see.
func (e Entry) contested() bool { return e.Conflicts > 0 }

// newest returns the part with the greatest key among those that the filter
// selects; false if there is none. A damaged part has an entry of its own.
func (w *whole) newest(f Filter) (store.Row, bool) {
	best := -1
	for i, row := range w.rows {
		if !row.Damaged && f.selects(row) && (best < 0 || keyOf(w.rows[best]).less(keyOf(row))) {
			best = i
		}
	}
	if best < 0 {
		return store.Row{}, false
	}
	return w.rows[best], true
}

// key is a [store.LogKey] that can be compared.
type key store.LogKey

func keyOf(row store.Row) key { return key{row.UpdatedAt, row.Scope, row.Seq} }

func (k key) less(o key) bool {
	switch {
	case k.UpdatedAt != o.UpdatedAt:
		return k.UpdatedAt < o.UpdatedAt
	case k.Scope != o.Scope:
		return k.Scope < o.Scope
	}
	return k.Seq < o.Seq
}
