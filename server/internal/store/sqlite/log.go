package sqlite

import (
	"encoding/json"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Log implements [store.LogReader]. It walks the index records_log from the
// newest row down and stops at the limit.
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
	// The plus keeps SQLite from collecting the rows of all scopes and sorting
	// them.
	text := `SELECT ` + rowColumns + ` FROM records WHERE moved_to IS NULL AND +scope IN (SELECT value FROM json_each(?))`
	args := []any{string(list)}
	and := func(condition string, values ...any) {
		text += ` AND ` + condition
		args = append(args, values...)
	}
	if f.Kind != "" {
		and(`kind = ?`, f.Kind)
	}
	if f.Agency != "" {
		and(`agency = ?`, f.Agency)
	}
	if f.From != 0 {
		and(`updated_at >= ?`, f.From)
	}
	if f.To != 0 {
		and(`updated_at < ?`, f.To)
	}
	if !f.Deleted {
		and(`deleted = 0`)
	}
	if after != nil {
		seq, err := signed(after.Seq)
		if err != nil {
			return nil, fmt.Errorf("log after: %w", err)
		}
		and(`(updated_at, scope, seq) < (?, ?, ?)`, after.UpdatedAt, string(after.Scope), seq)
	}
	rows, err := collect(s, scanRow, text+` ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT ?`, append(args, int64(limit))...)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	return rows, nil
}

// visible returns the scopes that the filter and its grants select.
func (s *session) visible(f store.Filter) ([]syncproto.Scope, error) {
	var out []syncproto.Scope
	err := s.each(`SELECT scope FROM scopes WHERE seq > 0 ORDER BY scope`, nil, func(c *cursor) bool {
		scope := syncproto.Scope(c.text(0))
		if (f.Region == "" || f.Region.Covers(scope.Region())) && f.Grants.MayRead(scope, f.Now) {
			out = append(out, scope)
		}
		return true
	})
	return out, err
}

// Companions implements [store.LogReader].
func (s *session) Companions(id syncproto.RecordID) ([]store.Row, error) {
	return collect(s, scanRow, `SELECT `+rowColumns+` FROM records WHERE of_id = ? AND moved_to IS NULL ORDER BY scope, id`, id[:])
}

// Stats implements [store.LogReader].
func (s *session) Stats() (store.Stats, error) {
	st, err := one(s, store.ErrNotFound, func(c *cursor) store.Stats {
		return store.Stats{
			Records: c.uint(0), Changes: c.uint(1), Quarantined: c.uint(2), Devices: c.uint(3), Conflicts: c.uint(4), Scopes: c.uint(5),
		}
	}, `SELECT
		(SELECT count(*) FROM records WHERE moved_to IS NULL),
		(SELECT count(*) FROM changes),
		(SELECT count(*) FROM quarantine WHERE state = 'open'),
		(SELECT count(*) FROM devices),
		(SELECT coalesce(sum(conflicts), 0) FROM records WHERE conflicts > 0 AND moved_to IS NULL),
		(SELECT count(*) FROM scopes WHERE seq > 0)`)
	if err != nil {
		return st, fmt.Errorf("stats: %w", err)
	}
	return st, nil
}
