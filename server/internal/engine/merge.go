package engine

import (
	"cmp"
	"errors"
	"slices"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// merging merges the items of one step into the rows of one scope.
type merging struct {
	push  *push
	tx    store.Tx
	scope syncproto.Scope

	rows    map[syncproto.RecordID]*current
	damaged map[syncproto.RecordID]bool // of which the row here can't be read
	seq     uint64
	changes []accepting
	inbox   []store.Quarantined
	plain   bool // all changes so far left the server with just what was sent
}

// accepting is one change that the step takes in.
type accepting struct {
	seq      uint64
	id       syncproto.RecordID
	ops      []byte // or, to be encoded:
	delta    syncproto.Delta
	absorbed []wire.PastWrite
}

// current is a record as the step sees it: as stored, or as merged before in
// the same step.
type current struct {
	row     store.Row
	record  syncproto.Record
	stamps  map[string]uint64
	entered uint64
	dirty   bool
	doc     *document // what record shows, if that is known already
}

// run merges items and returns the steps for those that belong elsewhere.
func (m *merging) run(items []*item) ([]store.Step, error) {
	if len(items) == 0 {
		return nil, nil
	}
	head, err := m.tx.Head(m.scope)
	if err != nil {
		return nil, err
	}
	m.seq, m.plain = head, true
	elsewhere, err := m.load(items)
	if err != nil {
		return nil, err
	}
	var then []store.Step
	for _, it := range items {
		it.result, it.code, it.hidden, it.home, it.reply, it.steps = wire.Result_RESULT_APPLIED, "", false, "", nil, nil
		if to, ok := elsewhere[it.delta.ID()]; ok {
			then = append(then, m.push.elsewhere(to, it))
			continue
		}
		if m.damaged[it.delta.ID()] {
			if err := m.aside(it); err != nil {
				return nil, err
			}
			continue
		}
		to, err := m.one(it)
		if err != nil {
			return nil, err
		}
		if to != "" {
			then = append(then, m.push.move(m.scope, to, it))
		}
	}
	if err := m.flush(); err != nil {
		return nil, err
	}
	if m.plain && m.seq > head {
		m.push.ran(m.scope, head, m.seq)
	}
	return then, nil
}

// load reads the rows of items in one query, and finds those that are at home
// in another scope.
func (m *merging) load(items []*item) (map[syncproto.RecordID]syncproto.Scope, error) {
	ids := make([]syncproto.RecordID, 0, len(items))
	for _, it := range items {
		ids = append(ids, it.delta.ID())
	}
	rows, err := m.tx.Records(m.scope, ids)
	if err != nil {
		return nil, err
	}
	m.rows = make(map[syncproto.RecordID]*current, len(ids))
	m.damaged = map[syncproto.RecordID]bool{}
	for _, row := range rows {
		if row.Damaged {
			m.damaged[row.ID] = true
			continue
		}
		if row.MovedTo != "" {
			// The record was here once, so the device could have seen it here
			// when it wrote (6.12).
			i := slices.IndexFunc(items, func(it *item) bool { return it.id == row.ID })
			items[i].passed = items[i].passed || m.push.mayWrite(row.Scope)
			continue
		}
		c, err := decodeCurrent(row)
		if err != nil {
			return nil, err
		}
		m.rows[row.ID] = c
	}
	missing := slices.DeleteFunc(ids, func(id syncproto.RecordID) bool { return m.rows[id] != nil })
	if len(missing) == 0 {
		return nil, nil
	}
	elsewhere, err := m.tx.Locate(missing)
	for id, scope := range elsewhere {
		if scope == m.scope { // its damaged row; a sound one is nowhere
			delete(elsewhere, id)
		}
	}
	return elsewhere, err
}

// aside keeps an item whose record can't be read: nothing can be joined into
// it until it is repaired, and nothing of the rest of the push waits for that.
func (m *merging) aside(it *item) error {
	return m.settle(it, &current{record: syncproto.NewRecord(it.id)}, syncproto.CodeDamaged, nil)
}

func decodeCurrent(row store.Row) (*current, error) {
	if err := row.Damage(); err != nil {
		return nil, err
	}
	rec, stamps, entered, err := wire.DecodeState(row.State)
	if err != nil {
		return nil, err
	}
	c := &current{row: row, record: rec, entered: entered, stamps: make(map[string]uint64, len(stamps))}
	i := 0
	for f := range rec.Fields() {
		if i < len(stamps) {
			c.stamps[f.Path] = stamps[i]
		}
		i++
	}
	return c, nil
}

// one decides about one item whose record, if it exists, is at home here. It
// returns the scope that the merged record wants to move to, with nothing
// done yet, or "".
func (m *merging) one(it *item) (syncproto.Scope, error) {
	id := it.delta.ID()
	cur := m.rows[id]
	if cur == nil {
		cur = &current{record: syncproto.NewRecord(id)}
	}
	merged, verdict, err := m.push.merge(cur, it)
	if err != nil || verdict != "" {
		return "", m.settle(it, cur, verdict, err)
	}
	if !merged.Changed && !ablate.Off(ablate.R10Idempotency) {
		m.push.applied(it, cur.record)
		return "", nil
	}
	home := merged.Record.Home()
	if home != m.scope {
		if home == "" {
			return "", m.settle(it, cur, syncproto.CodeBadScope, nil)
		}
		return home, nil
	}
	m.store(cur, merged, it, accepting{ops: it.ready.ops})
	return "", nil
}

// merge joins an item into a record. verdict is the code of an item that is to
// be kept aside; NEED_FULL, TRIPWIRE and EQUIVOCATION among them.
func (p *push) merge(cur *current, it *item) (c syncproto.Change, verdict syncproto.Code, err error) {
	// What the server has seen all of changes nothing, so nobody needs to be
	// allowed to send it again. It is joined all the same: the tripwire looks.
	if !it.delta.Context().LessEq(cur.record.Context()) || !it.delta.Floor().LessEq(cur.record.Floor()) {
		switch {
		case cur.record.IsPurged():
			return c, syncproto.CodePurged, nil
		case cur.record.IsZero() && !p.mayWrite(p.homeOf(it)), !cur.record.IsZero() && !p.mayWrite(cur.row.Scope) && !it.passed:
			return c, syncproto.CodeScopeDenied, nil
		}
		if code := p.forged(cur.record, it.delta); code != "" && !ablate.Off(ablate.A16Forged) {
			return c, code, nil
		}
	}
	delta := it.delta
	if ablate.Off(ablate.A10WholeRecord) {
		delta = withoutAField(delta)
	}
	c, err = syncproto.Apply(cur.record, delta)
	switch code := syncproto.CodeOf(err); {
	case err == nil:
	case code == syncproto.CodeInternal:
		return c, "", err
	default:
		return c, code, nil
	}
	if !c.Changed {
		return c, "", nil
	}
	if misplaced(cur.record, c.Record) {
		return c, syncproto.CodeBadScope, nil
	}
	if err := wire.CheckRecord(c.Record); err != nil {
		return c, syncproto.CodeOf(err), nil
	}
	flagged, paths := syncproto.Flag(c.Record, cur.record.Context(), p.now)
	c.Record = flagged
	for _, path := range paths {
		if !slices.Contains(c.Paths, path) {
			c.Paths = append(c.Paths, path)
		}
	}
	return c, "", nil
}

// misplaced reports whether a record would leave the class that it is of: who
// may write in a district may move its records, but not into a wider circle of
// readers. A companion's class is in its name.
func misplaced(before, after syncproto.Record) bool {
	home := after.Home()
	if home == "" {
		return false
	}
	if was := before.Home(); was != "" && was.Class() != home.Class() {
		return true
	}
	class, companion := after.ID().CompanionClass()
	return companion && class != home.Class()
}

// homeOf returns the home that an item wants: the one that it names, or the
// scope by which it was sent.
func (p *push) homeOf(it *item) syncproto.Scope {
	if home, ok := namedHome(it.delta); ok {
		return home
	}
	return it.scope
}

// forged returns the code of an item that speaks for replicas that are not the
// device's: a value of theirs, or a context that claims to have seen more of
// theirs than the server has, which would silently suppress it (C10).
func (p *push) forged(rec syncproto.Record, d syncproto.Delta) syncproto.Code {
	if !ablate.Off(ablate.A15Relayed) && p.recovering() {
		return ""
	}
	if !d.Floor().LessEq(rec.Floor()) {
		return syncproto.CodeForgedDot
	}
	ctx := rec.Context()
	for e := range d.Context().All() {
		if ctx.Covers(e) {
			continue
		}
		if r, ok := p.replicas[e.Replica]; !ok || e.N > r.ClaimedN {
			return syncproto.CodeForgedDot
		}
	}
	return ""
}

// settle records the outcome of an item that was not joined.
func (m *merging) settle(it *item, cur *current, verdict syncproto.Code, err error) error {
	if err != nil {
		return err
	}
	p := m.push
	it.ctx = cur.record.Context()
	switch verdict {
	case syncproto.CodeNeedFull:
		it.result = wire.Result_RESULT_NEED_FULL
		return nil
	case syncproto.CodeTripwire, syncproto.CodeEquivocation:
		if !it.repair {
			it.result, it.code = wire.Result_RESULT_REPAIR, verdict
			return nil
		}
		return m.absorb(it, cur)
	case syncproto.CodePurged:
		it.result = wire.Result_RESULT_PURGED
		it.steps = p.ownSteps(it)
		return nil
	}
	it.result, it.code = wire.Result_RESULT_QUARANTINED, verdict
	it.steps = p.ownSteps(it)
	q, err := p.quarantined(it)
	q.Scope = string(m.scope)
	m.inbox = append(m.inbox, q)
	return err
}

// absorb repairs a record whose states can't be joined: nothing is removed,
// what the server does not show is put beside what it does.
func (m *merging) absorb(it *item, cur *current) error {
	if !it.delta.IsFull() {
		it.result = wire.Result_RESULT_NEED_FULL
		return nil
	}
	taken, err := m.push.e.takenOver(m.push.context, it.delta.ID())
	if errors.Is(err, store.ErrDamaged) {
		return m.settle(it, cur, syncproto.CodeDamaged, nil)
	}
	if err != nil {
		return err
	}
	var rec syncproto.Record
	var mints []syncproto.Mint
	// A home that comes this way is left to the journal, as in release.absorb: a
	// repair does not move a record, least of all where its sender may not write.
	skip := func(path string, s syncproto.Sibling) bool {
		return path == syncproto.PathScope && !cur.record.IsZero() || taken.has(path, s)
	}
	err = m.push.e.mint(m.push.now, func(w syncproto.Minter) (syncproto.Minter, error) {
		rec, w, mints = syncproto.Absorb(cur.record, it.delta, w, m.push.now, skip)
		return w, nil
	})
	if err != nil {
		return err
	}
	if err := wire.CheckRecord(rec); err != nil {
		return m.settle(it, cur, syncproto.CodeOf(err), nil)
	}
	if len(mints) > 0 {
		change := syncproto.Change{Record: rec, Changed: true}
		for _, x := range mints {
			if !slices.Contains(change.Paths, x.Path) {
				change.Paths = append(change.Paths, x.Path)
			}
		}
		m.store(cur, change, it, accepting{delta: rec.Delta(cur.record.Context()), absorbed: taken.history(m.scope, it.delta)})
	}
	it.result, it.ctx = wire.Result_RESULT_ABSORBED, rec.Context()
	it.steps = m.push.ownSteps(it)
	it.hidden = !m.push.dev.Grants.MayRead(m.scope, m.push.now)
	if !it.hidden {
		it.reply = &rec
	}
	m.plain = false
	return nil
}

// applied records the plain outcome.
func (p *push) applied(it *item, rec syncproto.Record) {
	it.ctx = rec.Context()
	it.hidden = !p.dev.Grants.MayRead(rec.Home(), p.now)
	if it.home = ""; !it.hidden && p.unknownHome(it, rec) {
		it.home = rec.Home()
	}
	it.steps = p.ownSteps(it)
}

// unknownHome reports whether the device can't tell the record's home by what it
// sent. It will be sent the record; if it loses the right to read it there
// before, it has to know that it must ask.
func (p *push) unknownHome(it *item, rec syncproto.Record) bool {
	if rec.Home() != p.homeOf(it) {
		return true
	}
	f, _ := rec.Field(syncproto.PathScope)
	return slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return !it.sent.Covers(s.Dot) })
}

// store gives a merged record the next sequence of the scope.
func (m *merging) store(cur *current, c syncproto.Change, it *item, accepted accepting) {
	p := m.push
	m.seq++
	cur.record, cur.dirty, cur.doc = c.Record, true, nil
	if it.ready.doc != nil && it.ready.record.Equal(c.Record) {
		cur.doc = it.ready.doc
	}
	for _, path := range c.Paths {
		if cur.stamps != nil { // a new record's stamps are all its sequence
			cur.stamps[path] = m.seq
		}
	}
	if cur.entered == 0 {
		cur.entered = m.seq
	}
	if cur.row.CreatedAt == 0 {
		cur.row.CreatedAt, cur.row.Agency, cur.row.Officer = p.now, p.dev.Agency, p.dev.Officer
	}
	cur.row.Scope, cur.row.ID, cur.row.Seq, cur.row.Entered, cur.row.UpdatedAt = m.scope, c.Record.ID(), m.seq, cur.entered, p.now
	m.rows[c.Record.ID()] = cur
	accepted.seq, accepted.id = m.seq, c.Record.ID()
	m.changes = append(m.changes, accepted)
	p.applied(it, c.Record)
	if !c.Record.Context().LessEq(it.delta.Context()) || p.anySuspect(c.Record, it.delta.Context()) {
		m.plain = false
	}
}

// anySuspect reports whether the server flagged something that the device
// does not know to be flagged.
func (p *push) anySuspect(rec syncproto.Record, sent syncproto.VV) bool {
	for f := range rec.Fields() {
		for _, s := range f.Siblings {
			if s.Suspect && sent.Covers(s.Dot) {
				return true
			}
		}
	}
	return false
}

// flush writes what the step merged. Encoding is half of the work and needs
// no database, so it uses all processors.
func (m *merging) flush() error {
	var dirty []*current
	for _, cur := range m.rows {
		if cur.dirty {
			dirty = append(dirty, cur)
		}
	}
	slices.SortFunc(dirty, func(a, b *current) int { return cmp.Compare(a.row.Seq, b.row.Seq) })
	changes := make([]store.Change, len(m.changes))
	err := parallel(len(dirty)+len(changes), func(i int) error {
		if i < len(dirty) {
			return m.push.e.fill(dirty[i])
		}
		c := m.changes[i-len(dirty)]
		var err error
		if c.ops == nil {
			c.ops, err = wire.EncodeChange(c.delta, c.absorbed...)
		}
		changes[i-len(dirty)] = m.push.change(m.scope, c.seq, c.id, c.ops)
		return err
	})
	if err != nil {
		return err
	}
	if len(dirty) > 0 {
		rows := make([]store.Row, len(dirty))
		for i, cur := range dirty {
			rows[i] = cur.row
		}
		if err := m.tx.Put(m.scope, rows); err != nil {
			return err
		}
		if err := m.tx.Append(m.scope, changes); err != nil {
			return err
		}
	}
	if len(m.inbox) > 0 {
		return m.tx.Quarantine(string(m.scope), m.inbox)
	}
	return nil
}

// fill encodes the state and the projection of a record into its row.
func (e *Engine) fill(cur *current) error {
	stamps := make([]uint64, 0, cur.record.Len())
	for f := range cur.record.Fields() {
		if cur.stamps == nil {
			stamps = append(stamps, cur.row.Seq)
		} else {
			stamps = append(stamps, cur.stamps[f.Path])
		}
	}
	state, err := wire.EncodeState(cur.record, stamps, cur.entered)
	if err != nil {
		return err
	}
	doc := cur.doc
	if doc == nil {
		shown, err := e.project(cur.record)
		if err != nil {
			return err
		}
		doc = &shown
	}
	row := &cur.row
	row.State, row.Doc, row.Kind = state, doc.json, cur.record.Kind()
	row.Conflicts, row.Deleted, row.Purged = doc.conflicts, doc.deleted, cur.record.IsPurged()
	row.MovedTo = ""
	if of, ok := cur.record.Of(); ok {
		row.Of = of
	}
	return nil
}
