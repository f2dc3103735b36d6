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

// Records implements [store.RecordTx]. On one node it reads what there is of the
// records in all scopes, by the index that begins with their ids, and remembers
// where they are: whoever asks for a record that is not here asks next where it
// is, and the answer is as old. A cluster would have to ask all its nodes.
func (t *tx) Records(scope syncproto.Scope, ids []syncproto.RecordID) ([]store.Row, error) {
	if err := t.holds(string(scope)); err != nil {
		return nil, err
	}
	if t.store.citus.Load() {
		return collect(&t.session, tables.ReadRecord[any], `SELECT `+recordsTable.list+` FROM records WHERE scope = $1 AND id = ANY($2)`, string(scope), idList(ids))
	}
	rows, err := t.everywhere(ids)
	if err != nil {
		return nil, err
	}
	here := slices.Clone(rows)
	t.remember(ids, liveOf(rows))
	return slices.DeleteFunc(here, func(r store.Row) bool { return r.Scope != scope }), nil
}

// Locate implements [store.RecordTx].
func (t *tx) Locate(ids []syncproto.RecordID) (map[syncproto.RecordID]syncproto.Scope, error) {
	unknown := slices.DeleteFunc(slices.Clone(ids), func(id syncproto.RecordID) bool { _, ok := t.homes[id]; return ok })
	if len(unknown) > 0 {
		rows, err := t.Live(unknown)
		if err != nil {
			return nil, err
		}
		t.remember(unknown, rows)
	}
	out := make(map[syncproto.RecordID]syncproto.Scope, len(ids))
	for _, id := range ids {
		if home := t.homes[id]; home != "" {
			out[id] = home
		}
	}
	return out, t.err
}

// remember keeps for the rest of the step where records are at home, until the
// step puts them somewhere. live are all live rows that ids have.
func (t *tx) remember(ids []syncproto.RecordID, live []store.Row) {
	if t.homes == nil {
		t.homes = make(map[syncproto.RecordID]syncproto.Scope, len(ids))
	}
	for _, id := range ids {
		t.homes[id] = ""
	}
	for i := range live {
		t.homes[live[i].ID] = live[i].Scope
	}
}

// everywhere returns what there is of records in all scopes, markers too.
func (s *session) everywhere(ids []syncproto.RecordID) ([]store.Row, error) {
	return collect(s, tables.ReadRecord[any], `SELECT `+recordsTable.list+` FROM records WHERE id = ANY($1)`, idList(ids))
}

// Live implements [store.FeedReader].
func (s *session) Live(ids []syncproto.RecordID) ([]store.Row, error) {
	rows, err := s.everywhere(ids)
	return liveOf(rows), err
}

// liveOf leaves the live ones of rows, and one damaged one of a record that has
// none. It takes the markers too: whether a row is one counts only once its sum
// is right.
func liveOf(rows []store.Row) []store.Row {
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
	})
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
		delete(t.homes, r.ID)
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
