package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// LimitPages makes the writing connection find no space beyond the present
// size and more pages: a full disk. It needs the turn, as a step has it.
func (s *Store) LimitPages(ctx context.Context, more int64) error {
	v := &session{conn: s.writer, ctx: ctx}
	count, err := one(v, errEnded, func(c *cursor) int64 { return c.Int(0) }, `PRAGMA page_count`)
	if err != nil {
		return err
	}
	limit := `PRAGMA max_page_count = ` + strconv.FormatInt(count+more, 10)
	if more < 0 {
		limit = `PRAGMA max_page_count = 4294967294`
	}
	return v.each(limit, nil, func(*cursor) bool { return true })
}

// BreakCommit makes the commit of the running group fail. It needs the turn,
// as a step has it.
func (s *Store) BreakCommit(ctx context.Context) error {
	for _, text := range []string{
		`CREATE TABLE broken_parent (id INTEGER PRIMARY KEY)`,
		`CREATE TABLE broken_child (id INTEGER REFERENCES broken_parent (id) DEFERRABLE INITIALLY DEFERRED)`,
		`INSERT INTO broken_child VALUES (1)`,
	} {
		if _, err := s.writer.exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// Waiting returns how many callers of Update wait for their turn.
func (s *Store) Waiting() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// Plan returns how SQLite would run a query.
func (s *Store) Plan(ctx context.Context, text string, args ...any) (plan []string, err error) {
	err = s.view(ctx, func(v *session) error {
		plan, err = collect(v, func(c *cursor) string { return c.Text(3) }, `EXPLAIN QUERY PLAN `+text, args...)
		return err
	})
	return plan, err
}

// Pragma returns a setting of a connection of the store.
func Pragma(ctx context.Context, s *Store, pool, name string) string {
	c := s.writer
	if pool == "reader" {
		var err error
		if c, err = s.readers.take(ctx); err != nil {
			return err.Error()
		}
		defer s.readers.put(c)
	}
	v := &session{conn: c, ctx: ctx}
	got, err := one(v, errEnded, func(c *cursor) string { return fmt.Sprint(c.Row[0]) }, `PRAGMA `+name)
	if err != nil {
		return err.Error()
	}
	return got
}

// Tables names the tables and their columns without sum.
func Tables() map[string][]string {
	out := map[string][]string{}
	for _, t := range allTables {
		out[t.Name] = t.Names()
	}
	return out
}

// Reseal gives every row the sum of what it holds now: what a bug of the
// server leaves, and not a bad disk.
func (s *Store) Reseal(ctx context.Context) error {
	v := &session{conn: s.writer, ctx: ctx}
	for _, t := range allTables {
		type row struct {
			sum  int64
			keys []any
		}
		columns := t.Names()
		rows, err := collect(v, func(c *cursor) row {
			r := row{sum: tables.Sum(t.Table, c.Row)}
			for _, value := range c.Row {
				if b, ok := value.([]byte); ok {
					value = append([]byte{}, b...)
				}
				r.keys = append(r.keys, value)
			}
			return r
		}, `SELECT `+strings.Join(t.Names(), ", ")+` FROM `+t.Name)
		if err != nil {
			return err
		}
		for _, r := range rows {
			where := strings.Join(columns, ` IS ? AND `) + ` IS ?`
			if _, err := v.exec(`UPDATE `+t.Name+` SET sum = ? WHERE `+where, append([]any{r.sum}, r.keys...)...); err != nil {
				return err
			}
		}
	}
	return nil
}
