package sqlite

import (
	"errors"
	"fmt"
	"iter"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
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
		values, err := tables.Change(scope, c)
		if err == nil {
			_, err = st.run(t.ctx, values...)
		}
		if err != nil {
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
		if w.Scope != "" && w.Scope != scope {
			return t.keep(fmt.Errorf("past write of scope %q in scope %q: %w", w.Scope, scope, store.ErrScope))
		}
		t.rows++
		values, err := tables.PastWrite(scope, w)
		if err == nil {
			_, err = st.run(t.ctx, values...)
		}
		if err != nil {
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
		erased := *c
		erased.Ops = nil
		values, err := tables.Change(scope, &erased)
		if err != nil {
			return t.keep(err)
		}
		if _, err := t.exec(`UPDATE changes SET ops = x'', sum = ? WHERE scope = ? AND seq = ?`, values[len(values)-1], string(scope), values[1]); err != nil {
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
		erased := *w
		erased.Value = nil
		values, err := tables.PastWrite(scope, &erased)
		if err != nil {
			return t.keep(err)
		}
		if _, err := t.exec(`UPDATE past_writes SET value = x'', sum = ? WHERE scope = ? AND replica = ? AND n = ?`, values[len(values)-1], string(scope), values[1], values[2]); err != nil {
			return fmt.Errorf("erase past write %s of %s: %w", w.Dot, id, err)
		}
	}
	if _, err := t.exec(`UPDATE past_writes SET value = x'' WHERE id = ? AND scope = ? AND length(value) > 0`, id[:], string(scope)); err != nil {
		return fmt.Errorf("erase past writes of %s: %w", id, err)
	}
	return nil
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

// PastWrites implements [store.LogReader].
func (s *session) PastWrites(id syncproto.RecordID) iter.Seq2[store.PastWrite, error] {
	return stream(s, scanPastWrite, `SELECT `+pastWritesTable.list+` FROM past_writes WHERE id = ? ORDER BY hlc, replica, n, scope`, id[:])
}
