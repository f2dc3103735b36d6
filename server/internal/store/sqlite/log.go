package sqlite

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Log implements [store.LogReader]. It walks an index from the newest row down
// and stops at the limit: that of all rows, of a kind or of an agency, or those
// of a few scopes.
//
// Which scopes a reader may see is decided in Go, by the rule that the feed
// uses, over the list of scopes that exist: SQL holds no second version of it.
func (s *session) Log(f store.Filter, after *store.LogKey, limit int) ([]store.Row, error) {
	scopes, err := s.visible(f)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	if len(scopes) == 0 {
		return nil, nil
	}
	list, err := json.Marshal(scopes)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	var asked []query
	if len(scopes) <= tables.Narrow {
		for _, scope := range scopes {
			q := query{text: `SELECT ` + recordsTable.list + ` FROM records INDEXED BY records_scope WHERE moved_to IS NULL AND scope = ?`, args: []any{string(scope)}}
			if after != nil { // for the index; the rest follows
				q.and(`updated_at <= ?`, after.UpdatedAt)
			}
			asked = append(asked, q)
		}
	} else {
		// The plus keeps SQLite from collecting the rows of all scopes and sorting
		// them.
		asked = []query{{text: `SELECT ` + recordsTable.list + ` FROM records WHERE moved_to IS NULL AND +scope IN (SELECT value FROM json_each(?))`, args: []any{string(list)}}}
	}
	var rows []store.Row
	damaged := false
	err = s.attempt(func() error {
		for i := range asked {
			q := &asked[i]
			if len(rows) == limit { // what is older is not of the page
				q.and(`updated_at >= ?`, rows[limit-1].UpdatedAt)
			}
			if err := q.filter(f, after, limit); err != nil {
				return err
			}
			page, err := collect(s, scanRow, q.text, q.args...)
			if err != nil {
				return err
			}
			damaged = damaged || anyDamaged(page)
			rows = newest(append(rows, page...), limit)
		}
		return nil
	})
	if errors.Is(err, store.ErrDamaged) || err == nil && damaged {
		rows, err = s.salvageLog(f, string(list), after, limit)
	}
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return rows, nil
}

// newest leaves the first rows of the log, and of the others nothing in memory.
func newest(rows []store.Row, limit int) []store.Row {
	slices.SortFunc(rows, tables.NewestFirst)
	n := min(limit, len(rows))
	clear(rows[n:])
	return rows[:n]
}

// filter adds what rows of the log must be, their order and their number.
func (q *query) filter(f store.Filter, after *store.LogKey, limit int) error {
	if f.Kind != "" {
		q.and(`kind = ?`, f.Kind)
	}
	if f.Agency != "" {
		q.and(`agency = ?`, f.Agency)
	}
	if !f.Deleted {
		q.and(`deleted = 0`)
	}
	if err := q.span(f, after); err != nil {
		return err
	}
	q.text += logOrder
	q.args = append(q.args, int64(limit))
	return nil
}

const logOrder = ` ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT ?`

// query is a statement that conditions are added to.
type query struct {
	text string
	args []any
}

func (q *query) and(condition string, values ...any) {
	q.text += ` AND ` + condition
	q.args = append(q.args, values...)
}

// span adds where in the log the rows are.
func (q *query) span(f store.Filter, after *store.LogKey) error {
	if f.From != 0 {
		q.and(`updated_at >= ?`, f.From)
	}
	if f.To != 0 {
		q.and(`updated_at < ?`, f.To)
	}
	if after == nil {
		return nil
	}
	seq, err := tables.Signed(after.Seq)
	if err != nil {
		return fmt.Errorf("log after: %w", err)
	}
	q.and(`(updated_at, scope, seq) < (?, ?, ?)`, after.UpdatedAt, string(after.Scope), seq)
	return nil
}

// visible returns the scopes that the filter and its grants select.
func (s *session) visible(f store.Filter) ([]syncproto.Scope, error) {
	heads, err := s.heads(`1`)
	if err != nil {
		return nil, err
	}
	var out []syncproto.Scope
	for _, h := range heads {
		if (f.Region == "" || f.Region.Covers(h.Scope.Region())) && f.Grants.MayRead(h.Scope, f.Now) {
			out = append(out, h.Scope)
		}
	}
	return out, nil
}

// Companions implements [store.LogReader].
func (s *session) Companions(id syncproto.RecordID) ([]store.Row, error) {
	return collect(s, scanRow, `SELECT `+recordsTable.list+` FROM records WHERE of_id = ? AND moved_to IS NULL ORDER BY scope, id`, id[:])
}

// Stats implements [store.LogReader].
func (s *session) Stats() (store.Stats, error) {
	st, err := one(s, store.ErrNotFound, func(c *cursor) store.Stats {
		return store.Stats{
			Records: c.Uint(0), Changes: c.Uint(1), Quarantined: c.Uint(2), Devices: c.Uint(3), Conflicts: c.Uint(4), Scopes: c.Uint(5),
		}
	}, `SELECT
		(SELECT count(*) FROM records WHERE moved_to IS NULL),
		(SELECT count(*) FROM changes),
		(SELECT count(*) FROM quarantine WHERE state = 'open'),
		(SELECT count(*) FROM devices),
		(SELECT coalesce(sum(conflicts), 0) FROM records INDEXED BY records_conflicts WHERE conflicts > 0 AND moved_to IS NULL),
		(SELECT count(*) FROM scopes WHERE seq > 0)`)
	if err != nil {
		return st, fmt.Errorf("stats: %w", err)
	}
	st.Damaged = s.conn.damages.Count()
	return st, nil
}
