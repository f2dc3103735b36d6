package sqlite

import (
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
	st, err := t.prepare(`INSERT INTO changes (scope, seq, id, device, officer, agency, at, digest, ops) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)
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
		if _, err := st.run(t.ctx, string(scope), int64(c.Seq), c.ID[:], c.Device, c.Officer, c.Agency, c.At, c.Digest[:], blob(c.Ops)); err != nil { //nolint:gosec // take bounds it
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
	st, err := t.prepare(`INSERT INTO past_writes (scope, replica, n, id, path, hlc, step, device, officer, agency, at, value)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope, replica, n) DO NOTHING`)
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
		if _, err := st.run(t.ctx, string(scope), big(uint64(w.Dot.Replica)), n, w.ID[:], w.Path, big(uint64(w.HLC)), w.Step[:],
			w.Device, w.Officer, w.Agency, w.At, blob(w.Value)); err != nil {
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
	if _, err := t.exec(`UPDATE changes SET ops = x'' WHERE id = ? AND scope = ? AND length(ops) > 0`, id[:], string(scope)); err != nil {
		return fmt.Errorf("erase changes of %s: %w", id, err)
	}
	if _, err := t.exec(`UPDATE past_writes SET value = x'' WHERE id = ? AND scope = ? AND length(value) > 0`, id[:], string(scope)); err != nil {
		return fmt.Errorf("erase past writes of %s: %w", id, err)
	}
	return nil
}

const changeColumns = `scope, seq, id, device, officer, agency, at, digest, ops`

func scanChange(c *cursor) store.Change {
	return store.Change{
		Scope: syncproto.Scope(c.text(0)), Seq: c.uint(1), ID: c.id(2), Device: c.text(3), Officer: c.text(4), Agency: c.text(5),
		At: c.int(6), Digest: c.digest(7), Ops: c.blob(8),
	}
}

// Changes implements [store.LogReader].
func (s *session) Changes(id syncproto.RecordID) iter.Seq2[store.Change, error] {
	return stream(s, scanChange, `SELECT `+changeColumns+` FROM changes WHERE id = ? ORDER BY at, scope, seq`, id[:])
}

const pastWriteColumns = `scope, replica, n, id, path, hlc, step, device, officer, agency, at, value`

func scanPastWrite(c *cursor) store.PastWrite {
	return store.PastWrite{
		Scope: syncproto.Scope(c.text(0)), Dot: syncproto.Dot{Replica: syncproto.ReplicaID(c.big(1)), N: c.uint(2)}, ID: c.id(3),
		Path: c.text(4), HLC: syncproto.HLC(c.big(5)), Step: c.digest(6), Device: c.text(7), Officer: c.text(8), Agency: c.text(9),
		At: c.int(10), Value: c.blob(11),
	}
}

// PastWrites implements [store.LogReader].
func (s *session) PastWrites(id syncproto.RecordID) iter.Seq2[store.PastWrite, error] {
	return stream(s, scanPastWrite, `SELECT `+pastWriteColumns+` FROM past_writes WHERE id = ? ORDER BY hlc, replica, n, scope`, id[:])
}
