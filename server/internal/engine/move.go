package engine

import (
	"errors"
	"slices"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// maxHops bounds how often an item follows a record that moves meanwhile.
const maxHops = 16

// elsewhere returns the step that merges an item in the scope where its record
// is at home.
func (p *push) elsewhere(scope syncproto.Scope, it *item) store.Step {
	it.hops++
	return store.Step{Scopes: []string{string(scope)}, Do: func(tx store.Tx) ([]store.Step, error) {
		if it.hops > maxHops {
			return nil, store.ErrBusy
		}
		m := &merging{push: p, tx: tx, scope: scope}
		return m.run([]*item{it})
	}}
}

// move returns the step that merges an item whose record thereby goes from one
// scope to another: both counters are held, the record leaves a marker in the
// one and enters the other (4.6).
func (p *push) move(from, to syncproto.Scope, it *item) store.Step {
	it.hops++
	return store.Step{Scopes: []string{string(from), string(to)}, Do: func(tx store.Tx) ([]store.Step, error) {
		if it.hops > maxHops {
			return nil, store.ErrBusy
		}
		it.result, it.code, it.hidden, it.home, it.reply, it.steps = wire.Result_RESULT_APPLIED, "", false, "", nil, nil
		m := &merging{push: p, tx: tx, scope: from}
		elsewhere, err := m.load([]*item{it})
		if err != nil {
			return nil, err
		}
		if at, ok := elsewhere[it.delta.ID()]; ok {
			return []store.Step{p.elsewhere(at, it)}, nil // it moved between the steps
		}
		if m.damaged[it.delta.ID()] {
			return nil, errors.Join(m.aside(it), m.flush())
		}
		cur := m.rows[it.delta.ID()]
		if cur == nil {
			cur = &current{record: syncproto.NewRecord(it.delta.ID())}
		}
		merged, verdict, err := p.merge(cur, it)
		if err != nil || verdict != "" {
			if err = m.settle(it, cur, verdict, err); err != nil {
				return nil, err
			}
			return nil, m.flush()
		}
		if !merged.Changed {
			p.applied(it, cur.record)
			return nil, nil
		}
		switch home := merged.Record.Home(); home {
		case to:
		case from:
			return []store.Step{p.elsewhere(from, it)}, nil
		default:
			return []store.Step{p.move(from, home, it)}, nil
		}
		mover := relocation{e: p.e, tx: tx, now: p.now, device: p.dev.ID, officer: p.dev.Officer, agency: p.dev.Agency}
		if err := mover.relocate(cur, merged.Record, from, to, it.ready.ops); err != nil {
			return nil, err
		}
		p.applied(it, merged.Record)
		if cur.row.Scope == "" || cur.row.MovedTo != "" {
			return nil, nil
		}
		return p.e.companionSteps(mover, merged.Record, from, to), nil
	}}
}

// relocation carries one record from a scope into another.
type relocation struct {
	e       *Engine
	tx      store.Tx
	now     int64
	device  string
	officer string
	agency  string
}

// relocate writes the marker in from, if the record was there, and the record
// in to. The journal has the change in the scope that the record enters.
func (r relocation) relocate(cur *current, rec syncproto.Record, from, to syncproto.Scope, ops []byte) error {
	wasHere := cur.row.Scope == from
	row := cur.row
	if wasHere {
		head, err := r.tx.Head(from)
		if err != nil {
			return err
		}
		marker := store.Row{
			Scope: from, ID: rec.ID(), Kind: rec.Kind(), Seq: head + 1, Entered: cur.entered, State: wire.EncodeContext(rec.Context()),
			MovedTo: to, Of: row.Of, Agency: row.Agency, Officer: row.Officer, CreatedAt: row.CreatedAt, UpdatedAt: r.now,
		}
		if err := r.tx.Put(from, []store.Row{marker}); err != nil {
			return err
		}
	}
	head, err := r.tx.Head(to)
	if err != nil {
		return err
	}
	seq := head + 1
	// Its stamps are all new: sequences of the one scope say nothing to who has
	// a cursor of the other (C5).
	next := &current{row: row, record: rec, entered: seq}
	if ablate.Off(ablate.A08Cursor) {
		next.stamps = cur.stamps
	}
	next.row.Scope, next.row.ID, next.row.Seq, next.row.Entered, next.row.UpdatedAt = to, rec.ID(), seq, seq, r.now
	if next.row.CreatedAt == 0 {
		next.row.CreatedAt, next.row.Agency, next.row.Officer = r.now, r.agency, r.officer
	}
	if err := r.e.fill(next); err != nil {
		return err
	}
	if err := r.tx.Put(to, []store.Row{next.row}); err != nil {
		return err
	}
	return r.tx.Append(to, []store.Change{r.change(to, seq, rec.ID(), ops)})
}

func (r relocation) change(scope syncproto.Scope, seq uint64, id syncproto.RecordID, ops []byte) store.Change {
	return newChange(scope, seq, id, ops, r.device, r.officer, r.agency, r.now)
}

// companionSteps returns the steps that let a record's companions follow it
// into another district: whoever moves a record may not even see them, so the
// server writes their home.
func (e *Engine) companionSteps(r relocation, main syncproto.Record, from, to syncproto.Scope) []store.Step {
	if from.Region() == to.Region() {
		return nil
	}
	var steps []store.Step
	for _, class := range []syncproto.Class{syncproto.ClassTask, syncproto.ClassHQ} {
		if !class.Stricter(to.Class()) {
			continue
		}
		id := syncproto.CompanionID(main.ID(), class)
		a, errA := syncproto.NewScope(from.Region(), class)
		b, errB := syncproto.NewScope(to.Region(), class)
		if errA != nil || errB != nil {
			continue
		}
		steps = append(steps, store.Step{Scopes: []string{string(a), string(b)}, Do: func(tx store.Tx) ([]store.Step, error) {
			return nil, e.moveCompanion(tx, r.now, id, a, b)
		}})
	}
	return steps
}

func (e *Engine) moveCompanion(tx store.Tx, now int64, id syncproto.RecordID, from, to syncproto.Scope) error {
	rows, err := tx.Records(from, []syncproto.RecordID{id})
	if err != nil {
		return err
	}
	// A damaged one stays where it is: check names it, and whoever moved the
	// record could not help it.
	i := slices.IndexFunc(rows, func(r store.Row) bool { return r.MovedTo == "" && !r.Purged && !r.Damaged })
	if i < 0 {
		return nil
	}
	cur, err := decodeCurrent(rows[i])
	if err != nil {
		return err
	}
	rec, ops, err := e.write(cur.record, now, syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue(string(to))})
	if err != nil {
		return err
	}
	return relocation{e: e, tx: tx, now: now}.relocate(cur, rec, from, to, ops)
}

// write makes a write of the server's own and returns the record and the
// journal's form of what was written.
func (e *Engine) write(rec syncproto.Record, now int64, writes ...syncproto.Write) (syncproto.Record, []byte, error) {
	before := rec.Context()
	err := e.mint(now, func(m syncproto.Minter) (_ syncproto.Minter, err error) {
		rec, m, _, _, err = m.Write(rec, 0, now, writes...)
		return m, err
	})
	if err != nil {
		return rec, nil, err
	}
	ops, err := wire.EncodeChange(rec.Delta(before))
	return rec, ops, err
}
