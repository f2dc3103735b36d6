package sqlite

import (
	"errors"
	"fmt"
	"iter"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Append implements [store.RecordTx].
func (t *tx) Append(scope syncproto.Scope, changes []store.Change) error {
	h, err := t.head(string(scope))
	if err != nil {
		return err
	}
	st, err := t.prepare(changesTable.insert)
	if err != nil {
		return err
	}
	for i := range changes {
		c := &changes[i]
		if c.Scope != "" && c.Scope != scope {
			return t.keep(fmt.Errorf("change of scope %q in scope %q: %w", c.Scope, scope, store.ErrScope))
		}
		if err := h.take(c.Seq); err != nil {
			return t.keep(err)
		}
		t.rows++
		if _, err := st.run(t.ctx, sealed(changesTable, string(scope), int64(c.Seq), c.ID[:], c.Device, c.Officer, c.Agency, c.At, c.Digest[:], blob(c.Ops))...); err != nil { //nolint:gosec // take bounds it
			return t.keep(fmt.Errorf("append change %d in scope %q: %w", c.Seq, scope, err))
		}
	}
	return nil
}

// AppendHistory implements [store.RecordTx].
func (t *tx) AppendHistory(scope syncproto.Scope, writes []store.PastWrite) error {
	if err := t.holds(string(scope)); err != nil {
		return err
	}
	st, err := t.prepare(pastWritesTable.insert + ` ON CONFLICT (scope, replica, n) DO NOTHING`)
	if err != nil {
		return err
	}
	for i := range writes {
		w := &writes[i]
		n, err := signed(w.Dot.N)
		if err == nil && w.Scope != "" && w.Scope != scope {
			err = fmt.Errorf("past write of scope %q in scope %q: %w", w.Scope, scope, store.ErrScope)
		}
		if err != nil {
			return t.keep(err)
		}
		t.rows++
		if _, err := st.run(t.ctx, sealed(pastWritesTable, string(scope), big(uint64(w.Dot.Replica)), n, w.ID[:], w.Path, big(uint64(w.HLC)), w.Step[:],
			w.Device, w.Officer, w.Agency, w.At, blob(w.Value))...); err != nil {
			return t.keep(fmt.Errorf("append past write %s in scope %q: %w", w.Dot, scope, err))
		}
	}
	return nil
}

// Erase implements [store.RecordTx].
func (t *tx) Erase(scope syncproto.Scope, id syncproto.RecordID) error {
	if err := t.holds(string(scope)); err != nil {
		return err
	}
	changes, err := collect(&t.session, scanChange, `SELECT `+changesTable.list+` FROM changes WHERE id = ? AND scope = ? AND length(ops) > 0`, id[:], string(scope))
	if err != nil {
		return fmt.Errorf("find the changes of %s: %w", id, err)
	}
	for i := range changes {
		c := &changes[i]
		if c.Damaged {
			continue
		}
		sum := sumOf(changesTable.name, []any{string(scope), int64(c.Seq), id[:], c.Device, c.Officer, c.Agency, c.At, c.Digest[:], []byte{}})   //nolint:gosec // from the table
		if _, err := t.exec(`UPDATE changes SET ops = x'', sum = ? WHERE scope = ? AND seq = ?`, sum, string(scope), int64(c.Seq)); err != nil { //nolint:gosec // from the table
			return fmt.Errorf("erase change %d of %s: %w", c.Seq, id, err)
		}
	}
	// What is damaged is erased as it is, and stays damaged.
	if _, err := t.exec(`UPDATE changes SET ops = x'' WHERE id = ? AND scope = ? AND length(ops) > 0`, id[:], string(scope)); err != nil {
		return fmt.Errorf("erase changes of %s: %w", id, err)
	}
	writes, err := collect(&t.session, scanPastWrite, `SELECT `+pastWritesTable.list+` FROM past_writes WHERE id = ? AND scope = ? AND length(value) > 0`, id[:], string(scope))
	if err != nil {
		return fmt.Errorf("find the past writes of %s: %w", id, err)
	}
	for i := range writes {
		w := &writes[i]
		if w.Damaged {
			continue
		}
		replica, n := big(uint64(w.Dot.Replica)), int64(w.Dot.N) //nolint:gosec // from the table
		sum := sumOf(pastWritesTable.name, []any{string(scope), replica, n, id[:], w.Path, big(uint64(w.HLC)), w.Step[:], w.Device, w.Officer, w.Agency, w.At, []byte{}})
		if _, err := t.exec(`UPDATE past_writes SET value = x'', sum = ? WHERE scope = ? AND replica = ? AND n = ?`, sum, string(scope), replica, n); err != nil {
			return fmt.Errorf("erase past write %s of %s: %w", w.Dot, id, err)
		}
	}
	if _, err := t.exec(`UPDATE past_writes SET value = x'' WHERE id = ? AND scope = ? AND length(value) > 0`, id[:], string(scope)); err != nil {
		return fmt.Errorf("erase past writes of %s: %w", id, err)
	}
	return nil
}

func scanChange(c *cursor) store.Change {
	if !c.sound(changesTable) {
		return store.Change{Scope: syncproto.Scope(scopeName(c.row[0])), Seq: looseUint(c, 1), ID: looseID(c, 2), Damaged: true}
	}
	return store.Change{
		Scope: syncproto.Scope(c.text(0)), Seq: c.uint(1), ID: c.id(2), Device: c.text(3), Officer: c.text(4), Agency: c.text(5),
		At: c.int(6), Digest: c.digest(7), Ops: c.blob(8),
	}
}

const changesOfRecord = ` FROM changes WHERE id = ? ORDER BY at, scope, seq`

// Changes implements [store.LogReader].
func (s *session) Changes(id syncproto.RecordID) iter.Seq2[store.Change, error] {
	return func(yield func(store.Change, error) bool) {
		given, stopped := 0, false
		err := s.attempt(func() error {
			for c, err := range stream(s, scanChange, `SELECT `+changesTable.list+changesOfRecord, id[:]) {
				if err != nil {
					return err
				}
				if stopped = !yield(c, nil); stopped {
					return nil
				}
				given++
			}
			return nil
		})
		if stopped || err == nil {
			return
		}
		var rest []store.Change
		if errors.Is(err, store.ErrDamaged) && given == 0 { // they are sorted first, so nothing was given yet
			rest, err = s.salvageChanges(id)
		}
		for _, c := range rest {
			if !yield(c, nil) {
				return
			}
		}
		if err != nil {
			yield(store.Change{}, err)
		}
	}
}

func scanPastWrite(c *cursor) store.PastWrite {
	if !c.sound(pastWritesTable) {
		return store.PastWrite{Scope: syncproto.Scope(scopeName(c.row[0])), Dot: syncproto.Dot{N: looseUint(c, 2)}, ID: looseID(c, 3), Damaged: true}
	}
	return store.PastWrite{
		Scope: syncproto.Scope(c.text(0)), Dot: syncproto.Dot{Replica: syncproto.ReplicaID(c.big(1)), N: c.uint(2)}, ID: c.id(3),
		Path: c.text(4), HLC: syncproto.HLC(c.big(5)), Step: c.digest(6), Device: c.text(7), Officer: c.text(8), Agency: c.text(9),
		At: c.int(10), Value: c.blob(11),
	}
}

// PastWrites implements [store.LogReader].
func (s *session) PastWrites(id syncproto.RecordID) iter.Seq2[store.PastWrite, error] {
	return stream(s, scanPastWrite, `SELECT `+pastWritesTable.list+` FROM past_writes WHERE id = ? ORDER BY hlc, replica, n, scope`, id[:])
}
