package postgres

import (
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

func idList(ids []syncproto.RecordID) [][]byte {
	return list(ids, func(id *syncproto.RecordID) []byte { return id[:] })
}

// Records implements [store.RecordTx].
func (t *tx) Records(scope syncproto.Scope, ids []syncproto.RecordID) ([]store.Row, error) {
	if err := t.holds(string(scope)); err != nil {
		return nil, err
	}
	return collect(&t.session, tables.ReadRecord[any], `SELECT `+recordsTable.list+` FROM records WHERE scope = $1 AND id = ANY($2)`, string(scope), idList(ids))
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
	rows, err := collect(s, tables.ReadRecord[any], `SELECT `+recordsTable.list+` FROM records WHERE id = ANY($1)`, idList(ids))
	if err != nil {
		return nil, err
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

// Put implements [store.RecordTx].
func (t *tx) Put(scope syncproto.Scope, rows []store.Row) error {
	h, err := t.head(string(scope))
	if err != nil {
		return err
	}
	top := h.now
	values := make([][]any, 0, len(rows))
	at := make(map[syncproto.RecordID]int, len(rows))
	for i := range rows {
		r := &rows[i]
		if err := checkRow(scope, h, r); err != nil {
			return t.keep(err)
		}
		row, err := tables.Record(scope, r)
		if err != nil {
			return t.keep(fmt.Errorf("put record %s at %d in scope %q: %w", r.ID, r.Seq, scope, err))
		}
		top = max(top, r.Seq)
		// One statement replaces a row once; the last of a record counts.
		if n, twice := at[r.ID]; twice {
			values[n] = row
			continue
		}
		at[r.ID] = len(values)
		values = append(values, row)
	}
	before := h.now
	h.now = top
	return t.write(recordsTable, recordsTable.upsert, string(scope), values, func() string {
		return fmt.Sprintf("put %d records after %d in scope %q", len(rows), before, scope)
	})
}

// checkRow refuses a row that is not of this scope or not after its head.
func checkRow(scope syncproto.Scope, h *head, r *store.Row) error {
	switch {
	case r.Scope != "" && r.Scope != scope:
		return fmt.Errorf("row of scope %q in scope %q: %w", r.Scope, scope, store.ErrScope)
	case r.Seq <= h.now:
		return fmt.Errorf("record %s at %d in scope %q at head %d: %w", r.ID, r.Seq, scope, h.now, store.ErrSequence)
	}
	return h.take(r.Seq)
}
