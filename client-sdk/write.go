package sambang

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// ErrChanged says that the record has changed since it was read, at a field
// that is to be written. Read it again, show it, and decide.
var ErrChanged = errors.New("sambang: the record has changed since it was read")

// NewID returns the id for a record to be made, for callers that need it
// before [Replica.CreateWith]: a UUIDv7 of the replica's clock.
func (r *Replica) NewID() (ID, error) {
	st, err := r.load()
	if err != nil {
		return ID{}, err
	}
	var id ID
	if _, err := io.ReadFull(r.opts.Rand, id[:]); err != nil {
		return ID{}, fmt.Errorf("draw a record id: %w", err)
	}
	ms := r.nowMillis(st)
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id, nil
}

// Create makes a record of a kind in a region, a district such as "35.24.14" or
// a village in it, and returns its id. It is durable when Create returns.
//
// Errors: [syncproto.CodeBadScope] for a region that is none or wider than a
// district; [syncproto.CodeBadValue], [syncproto.CodeBadPath] or
// [syncproto.CodeTooLarge] for fields that no record can have;
// [syncproto.CodeNoSpace]. Nothing is kept then.
func (r *Replica) Create(kind, region string, fields Fields) (ID, error) {
	id, err := r.NewID()
	if err != nil {
		return ID{}, err
	}
	return id, r.CreateWith(id, kind, region, fields)
}

// CreateWith is [Replica.Create] with an id of the caller's, such as one from a
// natural key. If the record is there already, its fields are written as by
// [Replica.Edit]: two officers who make the same record make one.
func (r *Replica) CreateWith(id ID, kind, region string, fields Fields) error {
	reg, err := syncproto.ParseRegion(region)
	if err != nil {
		return err
	}
	if kind == "" || len(kind) > syncproto.MaxKindBytes {
		return syncproto.Errorf(syncproto.CodeBadRecord, "kind of %d bytes, 1 to %d allowed", len(kind), syncproto.MaxKindBytes)
	}
	return r.update(func(t *txn) error {
		d, err := t.open(id)
		if err != nil {
			return err
		}
		d.kind, d.region = kind, reg
		return t.write(d, fields)
	})
}

// Edit changes a record: fn gets a copy and sets or removes fields, and all of
// that is one durable write when Edit returns nil. fn may be called again with
// a newer copy if a sync changed the record meanwhile, so it must do nothing
// else; it must not wait. An error of fn ends the edit, is returned, and
// nothing is written.
//
// Whatever a field showed is overwritten, conflicting values included. When a
// person looked at the record for a while, use [Replica.EditSeen].
//
// Errors: [syncproto.CodeNotFound], and those of [Replica.Create].
func (r *Replica) Edit(id ID, fn func(*Draft) error) error { return r.edit(id, nil, fn) }

// EditSeen is [Replica.Edit] for a record that was read earlier: it writes only
// if every field that fn touches still shows what seen showed, and returns
// [ErrChanged] otherwise. So nobody overwrites a value that nobody looked at.
func (r *Replica) EditSeen(seen *Record, fn func(*Draft) error) error {
	return r.edit(seen.ID, seen, fn)
}

func (r *Replica) edit(id ID, seen *Record, fn func(*Draft) error) error {
	for {
		d, err := r.read(id)
		if err != nil {
			return err
		}
		shown, err := r.show(d)
		if err != nil {
			return err
		}
		draft := &Draft{Kind: shown.Kind, ID: id, fields: shown.Fields, touched: map[string]struct{}{}}
		if err := fn(draft); err != nil {
			return err
		}
		changes := draft.changes()
		if len(changes) == 0 {
			return nil
		}
		again := false
		err = r.update(func(t *txn) error {
			now, err := t.open(id)
			if err != nil {
				return err
			}
			if again = !now.sameAs(d); again {
				return errAgain
			}
			if seen != nil {
				now.seen = seen.seen
			}
			return t.write(now, changes)
		})
		if again {
			continue
		}
		return err
	}
}

var errAgain = errors.New("record changed while it was edited")

// Delete deletes a record. An edit by somebody who does not know of it yet
// survives, and shows as a conflict. Deleting twice is no error.
func (r *Replica) Delete(id ID) error { return r.setDeleted(id, true) }

// Undelete takes a deletion back.
func (r *Replica) Undelete(id ID) error { return r.setDeleted(id, false) }

func (r *Replica) setDeleted(id ID, deleted bool) error {
	return r.eachPart(id, func(t *txn, w *row) ([]syncproto.Write, error) {
		if w.rec.Life().Deleted == deleted && len(w.rec.Life().Survivors) == 0 {
			return nil, nil
		}
		v := syncproto.Deletion{Deleted: deleted, Seen: w.rec.Context()}.Value()
		return []syncproto.Write{{Path: syncproto.PathDel, Value: v}}, nil
	})
}

// Move gives the record another home, with all of its parts that this device
// holds. Whether the device may still see it there is for its grants to say.
func (r *Replica) Move(id ID, region string) error {
	reg, err := syncproto.ParseRegion(region)
	if err != nil {
		return err
	}
	return r.eachPart(id, func(t *txn, w *row) ([]syncproto.Write, error) {
		scope, err := syncproto.NewScope(reg, w.scope.Class())
		if err != nil || scope == w.scope {
			return nil, err
		}
		return []syncproto.Write{{Path: syncproto.PathScope, Value: syncproto.MustValue(string(scope))}}, nil
	})
}

// eachPart writes to the main record and to each companion held.
func (r *Replica) eachPart(id ID, writes func(*txn, *row) ([]syncproto.Write, error)) error {
	return r.update(func(t *txn) error {
		d, err := t.open(id)
		if err != nil {
			return err
		}
		if d.isNew() {
			return syncproto.CodeNotFound
		}
		for i := range d.parts {
			p := &d.parts[i]
			if p.row.rec.IsZero() {
				continue
			}
			ws, err := writes(t, p.row)
			if err != nil {
				return err
			}
			if err := t.writePart(p, ws); err != nil {
				return err
			}
		}
		return nil
	})
}

// document is a record with its companions, as rows.
type document struct {
	id     ID
	kind   string
	region syncproto.Region // for parts to be made
	parts  []docPart        // the main one, then the companions of classes D, T, H
	seen   map[ID]syncproto.Record
}

type docPart struct {
	class  syncproto.Class
	row    *row // with a zero record if not held
	before row
	// written: the row has mints that are not in the file yet
	written bool
}

func (d *document) main() *docPart { return &d.parts[0] }

func (d *document) isNew() bool { return d.main().row.rec.IsZero() }

// held returns the companions that are here.
func (d *document) held() []syncproto.Record {
	var out []syncproto.Record
	for _, p := range d.parts[1:] {
		if !p.row.rec.IsZero() {
			out = append(out, p.row.rec)
		}
	}
	return out
}

// part returns the rows that a part of the pack's belongs to.
func (d *document) part(t pack.Part) *docPart {
	if !t.Companion {
		return d.main()
	}
	for i := range d.parts[1:] {
		if p := &d.parts[i+1]; p.class == t.Class {
			return p
		}
	}
	return nil
}

// sameAs reports whether both are the same state of the record.
func (d *document) sameAs(o *document) bool {
	return slices.EqualFunc(d.parts, o.parts, func(a, b docPart) bool {
		return a.row.rec.Context().Equal(b.row.rec.Context())
	})
}

// open returns the record for writing.
func (t *txn) open(id ID) (*document, error) {
	return openDocument(id, func(id ID) (docPart, error) {
		w, before, err := t.rowOrNew(id)
		return docPart{row: w, before: before}, err
	})
}

// openDocument collects a record's parts. The id of a companion opens that
// companion alone.
func openDocument(id ID, get func(ID) (docPart, error)) (*document, error) {
	main, err := get(id)
	if err != nil {
		return nil, err
	}
	main.class = main.row.scope.Class()
	d := &document{id: id, kind: main.row.kind, parts: append(make([]docPart, 0, 4), main)}
	if main.row.scope != "" {
		d.region = main.row.scope.Region()
	}
	if !main.row.of.IsZero() {
		return d, nil
	}
	for _, c := range []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ} {
		p, err := get(syncproto.CompanionID(id, c))
		if err != nil {
			return nil, err
		}
		p.class = c
		d.parts = append(d.parts, p)
	}
	return d, nil
}

// write writes fields to the record's parts. Parts that are not there are
// made.
func (t *txn) write(d *document, fields Fields) error {
	if d.kind == "" {
		return syncproto.CodeNotFound
	}
	parts, err := t.r.split(d, fields)
	if err != nil {
		return err
	}
	for _, part := range parts {
		p := d.part(part)
		if p == nil {
			return syncproto.Errorf(syncproto.CodeBadRecord, "a companion has no companions")
		}
		writes := part.WritesFor(p.row.rec)
		if err := d.checkSeen(p, writes); err != nil {
			return err
		}
		if p.row.rec.IsZero() {
			p.class = part.Class
			head, err := d.birth(p, t.r.opts.Pack.Schema())
			if err != nil {
				return err
			}
			writes = append(head, writes...)
		} else {
			writes = slices.DeleteFunc(writes, func(w syncproto.Write) bool { return shows(p.row.rec, w) })
		}
		if err := t.mintPart(p, writes); err != nil {
			return err
		}
	}
	t.beginMark()
	for i := range d.parts {
		if err := t.storePart(&d.parts[i]); err != nil {
			return err
		}
	}
	return nil
}

// shows reports whether the record shows the value and nothing else at the
// path: writing it again would change nothing.
func shows(r syncproto.Record, w syncproto.Write) bool {
	f, ok := r.Field(w.Path)
	if !ok {
		return w.Value.IsNull()
	}
	return len(f.Siblings) == 1 && f.Siblings[0].Value == w.Value
}

// checkSeen refuses writes to registers that are not as they were seen.
func (d *document) checkSeen(p *docPart, writes []syncproto.Write) error {
	if d.seen == nil {
		return nil
	}
	was := d.seen[p.row.rec.ID()]
	for _, w := range writes {
		a, _ := was.Field(w.Path)
		b, _ := p.row.rec.Field(w.Path)
		if !slices.EqualFunc(a.Siblings, b.Siblings, func(x, y syncproto.Sibling) bool { return x.Dot == y.Dot }) {
			return ErrChanged
		}
	}
	return nil
}

// birth returns the writes that make a record, in the order of their paths: so
// dots and times rise with them, as in the golden vectors, and a delta of them
// is smallest.
func (d *document) birth(p *docPart, schema string) ([]syncproto.Write, error) {
	scope, err := syncproto.NewScope(d.region, p.class)
	if err != nil {
		return nil, err
	}
	writes := []syncproto.Write{{Path: syncproto.PathKind, Value: syncproto.MustValue(d.kind)}}
	if p != d.main() {
		writes = append(writes, syncproto.Write{Path: syncproto.PathOf, Value: syncproto.MustValue(d.id.String())})
	}
	if schema != "" {
		writes = append(writes, syncproto.Write{Path: syncproto.PathSchema, Value: syncproto.MustValue(schema)})
	}
	return append(writes, syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue(string(scope))}), nil
}

// writePart mints the writes on one record and stores it.
func (t *txn) writePart(p *docPart, writes []syncproto.Write) error {
	if err := t.mintPart(p, writes); err != nil {
		return err
	}
	return t.storePart(p)
}

// mintPart mints the writes on one record, which storePart then stores.
func (t *txn) mintPart(p *docPart, writes []syncproto.Write) error {
	if len(writes) == 0 {
		return nil
	}
	p.written = true
	return t.mint(p.row, writes)
}

func (t *txn) storePart(p *docPart) error {
	if !p.written {
		return nil
	}
	p.written = false
	if err := t.put(p.row, p.before); err != nil {
		return err
	}
	kind := ChangeUpdated
	if p.before.rec.IsZero() {
		kind = ChangeCreated
	}
	t.change(p.row, kind, SourceLocal)
	return nil
}
