package engine

import (
	"context"
	"errors"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// ErrUnreadable is wrapped when a quarantined message's content can't be read,
// so that it can't be released. It can be closed, and its bytes stay.
var ErrUnreadable = errors.New("the message's content can't be read")

// Close sets a quarantined message aside with a reason. Its bytes stay. Errors
// wrap store.ErrNotFound or store.ErrDecided.
func (e *Engine) Close(ctx context.Context, by Actor, key syncproto.Digest, reason string, now int64) error {
	q, err := e.message(ctx, key)
	if err != nil {
		return err
	}
	err = e.update(ctx, store.Step{Scopes: []string{q.Scope}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, tx.SetQuarantineState(q.Scope, key, store.QuarantineClosed, reason, by.ID, now)
	}})
	if err != nil {
		return fmt.Errorf("close a quarantined message: %w", err)
	}
	return nil
}

func (e *Engine) message(ctx context.Context, key syncproto.Digest) (q store.Quarantined, err error) {
	err = e.store.View(ctx, func(r store.Reader) (err error) {
		q, err = r.Message(key)
		return err
	})
	if err != nil {
		return q, fmt.Errorf("find a quarantined message: %w", err)
	}
	return q, nil
}

// Release takes a quarantined message's content into the merged log after all:
// it is joined if that is possible, without the move that it may ask for, and
// otherwise absorbed (4.9), which removes nothing. Errors wrap store.ErrNotFound, store.ErrDecided or
// [ErrUnreadable], or carry syncproto.CodePurged if the record was erased
// meanwhile, or CodeNeedFull if the message holds only part of the record.
func (e *Engine) Release(ctx context.Context, by Actor, key syncproto.Digest, reason string, now int64) error {
	q, err := e.message(ctx, key)
	if err != nil {
		return err
	}
	delta, home, err := readQuarantined(q.Raw)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	r := release{e: e, ctx: ctx, by: by, now: now, reason: reason, message: q, delta: delta}
	if rows, err := e.live(ctx, delta.ID()); err != nil {
		return err
	} else if len(rows) > 0 {
		home = rows[0].Scope
	}
	if err := e.update(ctx, r.step(home)); err != nil {
		return fmt.Errorf("release a quarantined message: %w", err)
	}
	return nil
}

// readQuarantined decodes the item that a message holds, and the home that it
// names.
func readQuarantined(raw []byte) (syncproto.Delta, syncproto.Scope, error) {
	tables, item, err := wire.DecodeQuarantined(raw)
	if err != nil {
		return syncproto.Delta{}, "", err
	}
	dec, err := wire.NewDecoder(tables)
	if err != nil {
		return syncproto.Delta{}, "", err
	}
	delta, err := dec.Delta(item.GetDelta())
	if err != nil {
		return syncproto.Delta{}, "", err
	}
	scope, err := dec.Scope(item.GetScope())
	if err != nil {
		return syncproto.Delta{}, "", err
	}
	if home, ok := namedHome(delta); ok {
		scope = home
	}
	return delta, scope, nil
}

// release is one call of Release. Its step writes the record and the decision
// in one transaction, so that a message is taken in exactly once.
type release struct {
	e       *Engine
	ctx     context.Context //nolint:containedctx // lives for one call
	by      Actor
	now     int64
	reason  string
	message store.Quarantined
	delta   syncproto.Delta
}

func (r release) step(scope syncproto.Scope) store.Step {
	return store.Step{Scopes: []string{string(scope), r.message.Scope}, Do: func(tx store.Tx) ([]store.Step, error) {
		err := tx.SetQuarantineState(r.message.Scope, r.message.Key, store.QuarantineReleased, r.reason, r.by.ID, r.now)
		if err != nil {
			return nil, err
		}
		rows, err := tx.Records(scope, []syncproto.RecordID{r.delta.ID()})
		if err != nil {
			return nil, err
		}
		cur := &current{record: syncproto.NewRecord(r.delta.ID())}
		if len(rows) > 0 {
			if rows[0].MovedTo != "" {
				return nil, store.ErrBusy // it moved between the look and the step
			}
			if cur, err = decodeCurrent(rows[0]); err != nil {
				return nil, err
			}
		}
		return nil, r.take(tx, scope, cur)
	}}
}

func (r release) take(tx store.Tx, scope syncproto.Scope, cur *current) error {
	if cur.record.IsPurged() {
		return syncproto.CodePurged
	}
	before := cur.record
	var history []wire.PastWrite
	change, err := syncproto.Apply(before, r.delta)
	switch code := syncproto.CodeOf(err); {
	case code == syncproto.CodeTripwire || code == syncproto.CodeEquivocation:
		change, history, err = r.absorb(scope, before)
	case err == nil && change.Changed:
		change, err = r.joined(scope, before, change)
	}
	if err != nil {
		return err
	}
	if !change.Changed {
		return nil
	}
	if misplaced(before, change.Record) {
		return syncproto.Errorf(syncproto.CodeBadScope, "the message would show a companion to a wider circle than its class")
	}
	if err := wire.CheckRecord(change.Record); err != nil {
		return err
	}
	ops, err := wire.EncodeChange(change.Record.Delta(before.Context()), history...)
	if err != nil {
		return err
	}
	head, err := tx.Head(scope)
	if err != nil {
		return err
	}
	cur.record = change.Record
	cur.row.Scope, cur.row.ID, cur.row.Seq, cur.row.UpdatedAt = scope, r.delta.ID(), head+1, r.now
	if cur.row.Entered == 0 {
		cur.entered, cur.row.Entered, cur.row.CreatedAt = head+1, head+1, r.now
		if err := r.author(tx, &cur.row); err != nil {
			return err
		}
	}
	if cur.stamps != nil {
		for _, path := range change.Paths {
			cur.stamps[path] = head + 1
		}
	}
	if err := r.e.fill(cur); err != nil {
		return err
	}
	if err := tx.Put(scope, []store.Row{cur.row}); err != nil {
		return err
	}
	return tx.Append(scope, []store.Change{newChange(scope, head+1, r.delta.ID(), ops, r.message.Device, r.by.ID, r.by.Agency, r.now)})
}

// joined finishes what was joined plainly. A home that the message brings is
// superseded by a write of the server's: releasing evidence does not move a
// record, and a device whose move was refused learns it like any other change,
// so that its copy and ours become one again.
func (r release) joined(scope syncproto.Scope, before syncproto.Record, change syncproto.Change) (syncproto.Change, error) {
	flagged, suspect := syncproto.Flag(change.Record, before.Context(), r.message.At)
	change.Record = flagged
	change.Paths = append(change.Paths, suspect...)
	if change.Record.Home() == scope {
		return change, nil
	}
	rec, _, err := r.e.write(change.Record, r.now, syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue(string(scope))})
	change.Record, change.Paths = rec, append(change.Paths, syncproto.PathScope)
	return change, err
}

// author notes on a new row whose device brought it.
func (r release) author(tx store.Tx, row *store.Row) error {
	dev, err := tx.Device(r.message.Device)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	row.Agency, row.Officer = dev.Agency, dev.Officer
	return err
}

// absorb puts the message's values beside those of the record. Its $scope is
// left out if the record has one: releasing evidence does not move a record.
func (r release) absorb(scope syncproto.Scope, rec syncproto.Record) (syncproto.Change, []wire.PastWrite, error) {
	if !r.delta.IsFull() {
		return syncproto.Change{}, nil, syncproto.CodeNeedFull
	}
	taken, err := r.e.takenOver(r.ctx, r.delta.ID())
	if err != nil {
		return syncproto.Change{}, nil, err
	}
	skip := func(path string, s syncproto.Sibling) bool {
		return path == syncproto.PathScope && !rec.IsZero() || taken.has(path, s)
	}
	out := syncproto.Change{}
	err = r.e.mint(r.now, func(m syncproto.Minter) (syncproto.Minter, error) {
		var mints []syncproto.Mint
		out.Record, m, mints = syncproto.Absorb(rec, r.delta, m, r.now, skip)
		out.Changed = len(mints) > 0
		for _, x := range mints {
			out.Paths = append(out.Paths, x.Path)
		}
		return m, nil
	})
	return out, taken.history(scope, r.delta), err
}

// namedHome returns the home that a delta names.
func namedHome(d syncproto.Delta) (syncproto.Scope, bool) {
	for f := range d.Fields() {
		if f.Path != syncproto.PathScope {
			continue
		}
		if text, ok := f.Latest().Value.Text(); ok {
			s, err := syncproto.ParseScope(text)
			return s, err == nil
		}
	}
	return "", false
}
