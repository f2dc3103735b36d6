package sqlite

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// byIDs returns the rows that a condition on the primary key selects.
func (s *session) byIDs(condition string, args ...any) ([]store.Row, error) {
	var rows []store.Row
	err := s.attempt(func() (err error) {
		rows, err = collect(s, scanRow, `SELECT `+recordsTable.list+` FROM records WHERE `+condition, args...)
		return err
	})
	if errors.Is(err, store.ErrDamaged) || err == nil && anyDamaged(rows) {
		return s.salvageIDs(condition, args...)
	}
	return rows, err
}

func anyDamaged(rows []store.Row) bool {
	return slices.ContainsFunc(rows, func(r store.Row) bool { return r.Damaged })
}

// Records implements [store.RecordTx].
func (t *tx) Records(scope syncproto.Scope, ids []syncproto.RecordID) ([]store.Row, error) {
	if err := t.holds(string(scope)); err != nil {
		return nil, err
	}
	return t.byIDs(`id IN (SELECT unhex(value) FROM json_each(?)) AND scope = ?`, idList(ids), string(scope))
}

// Locate implements [store.RecordTx].
func (t *tx) Locate(ids []syncproto.RecordID) (map[syncproto.RecordID]syncproto.Scope, error) {
	rows, err := t.Live(ids)
	if err != nil {
		return nil, err
	}
	out := make(map[syncproto.RecordID]syncproto.Scope, len(rows))
	for i := range rows {
		out[rows[i].ID] = rows[i].Scope
	}
	return out, nil
}

// Live implements [store.FeedReader]. It reads the markers too: whether a row
// is one counts only once its sum is right.
func (s *session) Live(ids []syncproto.RecordID) ([]store.Row, error) {
	rows, err := s.byIDs(`id IN (SELECT unhex(value) FROM json_each(?))`, idList(ids))
	if err != nil {
		return nil, err
	}
	if !anyDamaged(rows) {
		return slices.DeleteFunc(rows, func(r store.Row) bool { return r.MovedTo != "" }), nil
	}
	live := map[syncproto.RecordID]bool{}
	for i := range rows {
		if r := &rows[i]; !r.Damaged && r.MovedTo == "" {
			live[r.ID] = true
		}
	}
	return slices.DeleteFunc(rows, func(r store.Row) bool {
		drop := r.MovedTo != "" || r.Damaged && live[r.ID]
		live[r.ID] = live[r.ID] || r.Damaged // of several damaged ones, one
		return drop
	}), nil
}

// Put implements [store.RecordTx]. Rows are written one by one with a prepared
// statement, which on SQLite is faster than many rows to a statement.
func (t *tx) Put(scope syncproto.Scope, rows []store.Row) error {
	h, err := t.head(string(scope))
	if err != nil {
		return err
	}
	st, err := t.prepare(recordsTable.upsert)
	if err != nil {
		return err
	}
	top := h.now
	for i := range rows {
		r := &rows[i]
		if err := t.checkRow(scope, h, r); err != nil {
			return t.keep(err)
		}
		if err := t.put(st, scope, r); err != nil {
			return t.keep(fmt.Errorf("put record %s at %d in scope %q: %w", r.ID, r.Seq, scope, err))
		}
		top = max(top, r.Seq)
	}
	h.now = top
	return nil
}

// checkRow refuses a row that is not of this scope or not after its head.
func (t *tx) checkRow(scope syncproto.Scope, h *head, r *store.Row) error {
	switch {
	case r.Scope != "" && r.Scope != scope:
		return fmt.Errorf("row of scope %q in scope %q: %w", r.Scope, scope, store.ErrScope)
	case r.Seq <= h.now:
		return fmt.Errorf("record %s at %d in scope %q at head %d: %w", r.ID, r.Seq, scope, h.now, store.ErrSequence)
	}
	return h.take(r.Seq)
}

func (t *tx) put(st *statement, scope syncproto.Scope, r *store.Row) error {
	values, err := tables.Record(scope, r)
	if err != nil {
		return err
	}
	t.rows++
	_, err = st.run(t.ctx, values...)
	return err
}
