package sqlite

import (
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// rowColumns are the columns of a record's row as scanRow reads them.
const rowColumns = `scope, id, seq, entered_seq, kind, conflicts, deleted, purged, moved_to, of_id, agency, officer, created_at, updated_at, state, doc`

func scanRow(c *cursor) store.Row {
	return store.Row{
		Scope: syncproto.Scope(c.text(0)), ID: c.id(1), Seq: c.uint(2), Entered: c.uint(3), Kind: c.text(4),
		Conflicts: int(c.int(5)), Deleted: c.bool(6), Purged: c.bool(7), MovedTo: syncproto.Scope(c.text(8)), Of: c.id(9),
		Agency: c.text(10), Officer: c.text(11), CreatedAt: c.int(12), UpdatedAt: c.int(13), State: c.blob(14), Doc: []byte(c.text(15)),
	}
}

// Records implements [store.RecordTx].
func (t *tx) Records(scope syncproto.Scope, ids []syncproto.RecordID) ([]store.Row, error) {
	if err := t.holds(string(scope)); err != nil {
		return nil, err
	}
	return collect(&t.session, scanRow,
		`SELECT `+rowColumns+` FROM records WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND scope = ?`, idList(ids), string(scope))
}

// Locate implements [store.RecordTx].
func (t *tx) Locate(ids []syncproto.RecordID) (map[syncproto.RecordID]syncproto.Scope, error) {
	out := make(map[syncproto.RecordID]syncproto.Scope)
	err := t.each(`SELECT id, scope FROM records WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND moved_to IS NULL`,
		[]any{idList(ids)}, func(c *cursor) bool {
			out[c.id(0)] = syncproto.Scope(c.text(1))
			return true
		})
	return out, err
}

// Live implements [store.FeedReader].
func (s *session) Live(ids []syncproto.RecordID) ([]store.Row, error) {
	return collect(s, scanRow,
		`SELECT `+rowColumns+` FROM records WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND moved_to IS NULL`, idList(ids))
}

// Put implements [store.RecordTx]. Rows are written one by one with a prepared
// statement, which on SQLite is faster than many rows to a statement.
func (t *tx) Put(scope syncproto.Scope, rows []store.Row) error {
	h, err := t.head(string(scope))
	if err != nil {
		return err
	}
	st, err := t.prepare(`INSERT INTO records (` + rowColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id, scope) DO UPDATE SET seq = excluded.seq, entered_seq = excluded.entered_seq, kind = excluded.kind,
			conflicts = excluded.conflicts, deleted = excluded.deleted, purged = excluded.purged, moved_to = excluded.moved_to,
			of_id = excluded.of_id, agency = excluded.agency, officer = excluded.officer, created_at = excluded.created_at,
			updated_at = excluded.updated_at, state = excluded.state, doc = excluded.doc`)
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
	entered, err := signed(r.Entered)
	if err != nil {
		return err
	}
	// A null is short, and the partial indexes skip it.
	var moved, of, doc any
	if r.MovedTo != "" {
		moved = string(r.MovedTo)
	}
	if !r.Of.IsZero() {
		of = r.Of[:]
	}
	if len(r.Doc) > 0 {
		doc = string(r.Doc)
	}
	t.rows++
	_, err = st.run(t.ctx, string(scope), r.ID[:], int64(r.Seq), entered, r.Kind, //nolint:gosec // take bounds it
		int64(r.Conflicts), bit(r.Deleted), bit(r.Purged), moved, of, r.Agency, r.Officer, r.CreatedAt, r.UpdatedAt, blob(r.State), doc)
	return err
}
