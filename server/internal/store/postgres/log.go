package postgres

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Log implements [store.LogReader]. It walks the index records_log from the
// newest row down and stops at the limit, or the index records_scope of each of
// a few scopes, which the database merges.
//
// Which scopes a reader may see is decided in Go, by the rule that the feed
// uses, over the list of scopes that exist: SQL holds no second version of it.
func (s *session) Log(f store.Filter, after *store.LogKey, limit int) ([]store.Row, error) {
	scopes, err := s.visible(f)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	var q query
	switch {
	case len(scopes) == 0:
		return nil, nil
	case len(scopes) <= tables.Narrow:
		q.add(`SELECT ` + recordsTable.list + ` FROM (`)
		for i, scope := range scopes {
			if i > 0 {
				q.add(` UNION ALL `)
			}
			q.add(`(` + sqlLog)
			q.and(`scope = ?`, scope)
			if after != nil { // for the index; the rest follows
				q.and(`updated_at <= ?`, after.UpdatedAt)
			}
			if err := q.filter(f, after, limit); err != nil {
				return nil, fmt.Errorf("log: %w", err)
			}
			q.add(`)`)
		}
		q.add(`) AS newest`+logOrder, int64(limit))
	default:
		q.add(sqlLog)
		q.and(`scope = ANY(?)`, scopes)
		if err := q.filter(f, after, limit); err != nil {
			return nil, fmt.Errorf("log: %w", err)
		}
	}
	rows, err := collect(s, tables.ReadRecord[any], q.text, q.args...)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return rows, nil
}

//nolint:gochecknoglobals // texts, never written to
var (
	sqlLog   = `SELECT ` + recordsTable.list + ` FROM records WHERE moved_to IS NULL`
	logOrder = ` ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT ?`
)

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
	if f.From != 0 {
		q.and(`updated_at >= ?`, f.From)
	}
	if f.To != 0 {
		q.and(`updated_at < ?`, f.To)
	}
	if after != nil {
		seq, err := tables.Signed(after.Seq)
		if err != nil {
			return fmt.Errorf("after: %w", err)
		}
		q.and(`(updated_at, scope, seq) < (?, ?, ?)`, after.UpdatedAt, string(after.Scope), seq)
	}
	q.add(logOrder, int64(limit))
	return nil
}

// query is a statement that conditions are added to. Each ? of an addition is
// the next parameter.
type query struct {
	text string
	args []any
}

func (q *query) and(condition string, values ...any) { q.add(` AND `+condition, values...) }

func (q *query) add(text string, values ...any) {
	for _, v := range values {
		q.args = append(q.args, v)
		text = strings.Replace(text, "?", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.text += text
}

// visible returns the scopes that the filter and its grants select.
func (s *session) visible(f store.Filter) ([]string, error) {
	heads, err := s.heads(everyRegion)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, h := range heads {
		if (f.Region == "" || f.Region.Covers(h.Scope.Region())) && f.Grants.MayRead(h.Scope, f.Now) {
			out = append(out, string(h.Scope))
		}
	}
	return out, nil
}

// Companions implements [store.LogReader].
func (s *session) Companions(id syncproto.RecordID) ([]store.Row, error) {
	return collect(s, tables.ReadRecord[any], `SELECT `+recordsTable.list+` FROM records WHERE of_id = $1 AND moved_to IS NULL ORDER BY scope, id`, id[:])
}

// Stats implements [store.LogReader].
func (s *session) Stats() (store.Stats, error) {
	var st store.Stats
	number := func(to *uint64, text string) command {
		return command{text: text, scan: func(c *cursor) bool { *to = c.Uint(0); return true }}
	}
	err := s.send(
		number(&st.Records, `SELECT count(*) FROM records WHERE moved_to IS NULL`),
		number(&st.Changes, `SELECT count(*) FROM changes`),
		number(&st.Quarantined, `SELECT count(*) FROM quarantine WHERE state = 'open'`),
		number(&st.Devices, `SELECT count(*) FROM devices`),
		number(&st.Conflicts, `SELECT coalesce(sum(conflicts), 0)::bigint FROM records WHERE conflicts > 0 AND moved_to IS NULL`),
		number(&st.Scopes, `SELECT count(*) FROM scopes WHERE seq > 0`))
	if err != nil {
		return st, fmt.Errorf("stats: %w", err)
	}
	st.Damaged = s.store.damages.Count()
	return st, nil
}
