package sqlite

import (
	"cmp"
	"errors"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Reading around damage. A query ends at the first page that can't be read,
// and of a row whose sum is wrong the keys can't be trusted either. So where a
// query came upon damage, its rows are read again one by one: an index, whose
// pages are others, says which rows there are and what their keys were, and
// each row is then read by its rowid.

// attempt runs a read that may come upon damage. A read that failed has
// changed nothing, so the session goes on after it.
func (s *session) attempt(read func() error) error {
	if s.err != nil {
		return s.err
	}
	err := read()
	if errors.Is(err, store.ErrDamaged) {
		s.err = nil
	}
	return err
}

// place is a record's row as an index knows it.
type place struct {
	rowid int64
	key   store.Row // those of the keys that the index has; the others are zero
}

// at reads the row at a place.
func (s *session) at(p place) (store.Row, error) {
	var rows []store.Row
	err := s.attempt(func() (err error) {
		rows, err = collect(s, scanRow, `SELECT `+recordsTable.list+` FROM records WHERE rowid = ?`, p.rowid)
		return err
	})
	switch {
	case err != nil && !errors.Is(err, store.ErrDamaged):
		return store.Row{}, err
	case err == nil && len(rows) == 1 && !rows[0].Damaged && p.fits(&rows[0]):
		return rows[0], nil
	}
	out := p.key
	out.Damaged = true
	if len(rows) == 1 {
		r := &rows[0]
		out.Scope, out.Seq, out.UpdatedAt = cmp.Or(out.Scope, r.Scope), cmp.Or(out.Seq, r.Seq), cmp.Or(out.UpdatedAt, r.UpdatedAt)
		if out.ID.IsZero() {
			out.ID = r.ID
		}
	}
	if p.key.ID.IsZero() {
		if id, ok := s.journalled(out.Scope, out.Seq); ok {
			out.ID = id
		}
	}
	s.conn.damages.Add(&store.Damage{Table: recordsTable.Name, Scope: string(out.Scope), Seq: out.Seq, Key: out.ID.String()})
	return out, nil
}

// fits reports whether a row has the keys under which the index has it.
func (p *place) fits(r *store.Row) bool {
	k := &p.key
	return (k.Scope == "" || k.Scope == r.Scope) && (k.Seq == 0 || k.Seq == r.Seq) &&
		(k.ID.IsZero() || k.ID == r.ID) && (k.UpdatedAt == 0 || k.UpdatedAt == r.UpdatedAt)
}

// journalled returns the record whose change took a sequence: a second witness
// for the id of a damaged row.
func (s *session) journalled(scope syncproto.Scope, seq uint64) (id syncproto.RecordID, ok bool) {
	err := s.attempt(func() error {
		n, err := tables.Signed(seq)
		if err != nil {
			return err
		}
		found, err := collect(s, scanChange, `SELECT `+changesTable.list+` FROM changes WHERE scope = ? AND seq = ?`, string(scope), n)
		if err == nil && len(found) == 1 && !found[0].Damaged {
			id, ok = found[0].ID, true
		}
		return err
	})
	return id, ok && err == nil
}

// salvageChunk is how many places are looked up at a time.
const salvageChunk = 256

// salvageFeed yields the rows of a scope one by one; false if the reader has
// enough.
func (s *session) salvageFeed(scope string, after, upTo int64, yield func(store.Row, error) bool) {
	for {
		places, err := collect(s, func(c *cursor) place {
			return place{c.Int(0), store.Row{Scope: syncproto.Scope(scope), Seq: c.Uint(1)}}
		}, `SELECT rowid, seq FROM records INDEXED BY records_seq WHERE scope = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?`, scope, after, upTo, int64(salvageChunk))
		if err != nil {
			yield(store.Row{}, err)
			return
		}
		for _, p := range places {
			row, err := s.at(p)
			if !yield(row, err) || err != nil {
				return
			}
			after = int64(p.key.Seq) //nolint:gosec // from the table
		}
		if len(places) < salvageChunk {
			return
		}
	}
}

// salvageIDs returns the rows of records, damaged ones by the keys that the
// primary key has.
func (s *session) salvageIDs(condition string, args ...any) ([]store.Row, error) {
	places, err := collect(s, func(c *cursor) place {
		return place{c.Int(0), store.Row{ID: c.ID(1), Scope: syncproto.Scope(c.Text(2))}}
	}, `SELECT rowid, id, scope FROM records INDEXED BY sqlite_autoindex_records_1 WHERE `+condition, args...)
	if err != nil {
		return nil, err
	}
	out := make([]store.Row, 0, len(places))
	for _, p := range places {
		row, err := s.at(p)
		if err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, nil
}

// salvageLog is a page of the log. Of a damaged row nobody can tell whether the
// filter selects it, so it is shown.
func (s *session) salvageLog(f store.Filter, scopes string, after *store.LogKey, limit int) ([]store.Row, error) {
	var out []store.Row
	for len(out) < limit {
		q := query{text: `SELECT rowid, updated_at, scope, seq FROM records INDEXED BY records_log WHERE moved_to IS NULL AND +scope IN (SELECT value FROM json_each(?))`, args: []any{scopes}}
		if err := q.span(f, after); err != nil {
			return nil, err
		}
		places, err := collect(s, func(c *cursor) place {
			return place{c.Int(0), store.Row{UpdatedAt: c.Int(1), Scope: syncproto.Scope(c.Text(2)), Seq: c.Uint(3)}}
		}, q.text+logOrder, append(q.args, int64(salvageChunk))...)
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			row, err := s.at(p)
			if err != nil {
				return nil, err
			}
			after = &store.LogKey{UpdatedAt: p.key.UpdatedAt, Scope: p.key.Scope, Seq: p.key.Seq}
			selected := row.MovedTo == "" && (f.Kind == "" || row.Kind == f.Kind) && (f.Agency == "" || row.Agency == f.Agency) && (f.Deleted || !row.Deleted)
			if row.Damaged || selected {
				out = append(out, row)
			}
			if len(out) == limit {
				return out, nil
			}
		}
		if len(places) < salvageChunk {
			break
		}
	}
	return out, nil
}

// salvageChanges returns a record's journal, read one by one, in order of time.
func (s *session) salvageChanges(id syncproto.RecordID) ([]store.Change, error) {
	type at struct {
		rowid int64
		scope syncproto.Scope
	}
	places, err := collect(s, func(c *cursor) at { return at{c.Int(0), syncproto.Scope(c.Text(1))} },
		`SELECT rowid, scope FROM changes INDEXED BY changes_id WHERE id = ?`, id[:])
	if err != nil {
		return nil, err
	}
	out := make([]store.Change, 0, len(places))
	for _, p := range places {
		var found []store.Change
		err := s.attempt(func() (err error) {
			found, err = collect(s, scanChange, `SELECT `+changesTable.list+` FROM changes WHERE rowid = ?`, p.rowid)
			return err
		})
		switch {
		case err != nil && !errors.Is(err, store.ErrDamaged):
			return nil, err
		case err == nil && len(found) == 1:
			out = append(out, found[0])
		default:
			s.conn.damages.Add(&store.Damage{Table: changesTable.Name, Scope: string(p.scope), Key: id.String()})
			out = append(out, store.Change{Scope: p.scope, ID: id, Damaged: true})
		}
	}
	slices.SortStableFunc(out, func(a, b store.Change) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Scope, b.Scope), cmp.Compare(a.Seq, b.Seq))
	})
	return out, nil
}
