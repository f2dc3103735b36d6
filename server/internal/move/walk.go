package move

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// pageRows is how many keys of a side are in memory at a time.
const pageRows = 1000

// keys reads the keys of a table in order, page by page.
type keys struct {
	side  Side
	table *tables.Table
	page  [][]any
	last  []any // the last key of the pages before
	ended bool
}

// peek returns the next key with its sum, nil at the end.
func (k *keys) peek(ctx context.Context) ([]any, error) {
	if len(k.page) > 0 || k.ended {
		if len(k.page) == 0 {
			return nil, nil
		}
		return k.page[0], nil
	}
	page, err := k.side.Keys(ctx, k.table, k.last, pageRows)
	if err != nil {
		return nil, err
	}
	// A damaged index could lead in circles.
	for i, key := range page {
		last := k.last
		if i > 0 {
			last = page[i-1]
		}
		if last != nil && compare(k.table, last, key) >= 0 {
			return nil, fmt.Errorf("the keys of %s are not in order: its index is damaged: %w", k.side.Name(), store.ErrDamaged)
		}
	}
	k.page, k.ended = page, len(page) < pageRows
	if len(page) > 0 {
		k.last = page[len(page)-1][:len(k.table.Key)]
	}
	return k.peek(ctx)
}

func (k *keys) take() { k.page = k.page[1:] }

// compare compares keys by bytes, as both engines order them.
func compare(t *tables.Table, a, b []any) int {
	for i := range t.Key {
		if c := compareValue(a[i], b[i]); c != 0 {
			return c
		}
	}
	return 0
}

func compareValue(a, b any) int {
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b)
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b)
		}
	case []byte:
		if b, ok := b.([]byte); ok {
			return strings.Compare(string(a), string(b))
		}
	}
	return cmp.Compare(rank(a), rank(b))
}

// rank orders values of different kinds, which keys never are unless they are
// damaged.
func rank(v any) int {
	switch v.(type) {
	case nil:
		return 0
	case int64:
		return 1
	case string:
		return 2
	}
	return 3
}

// pair is a row by its key on one or both sides.
type pair struct {
	key            []any
	source, target bool // there
	same           bool // on both sides, with the same sum
}

// walk goes through a table on both sides at once, in order of key. Rows that do
// inserts at or before the present key are not met again.
func (m *mover) walk(ctx context.Context, phase string, t *tables.Table, do func(pair) error) error {
	total, err := m.Source.Count(ctx, t)
	if err != nil {
		return err
	}
	sources, targets := &keys{side: m.Source, table: t}, &keys{side: m.Target, table: t}
	for done := int64(0); ; {
		if done%pageRows == 0 {
			m.Progress(Progress{Phase: phase, Table: t.Name, Done: done, Total: total})
		}
		s, err := sources.peek(ctx)
		if err != nil {
			return err
		}
		// The target's next page is read only when the source's rows up to its
		// end were done.
		x, err := targets.peek(ctx)
		if err != nil {
			return err
		}
		if s == nil && x == nil {
			m.Progress(Progress{Phase: phase, Table: t.Name, Done: done, Total: total})
			return nil
		}
		order := 0
		switch {
		case s == nil:
			order = 1
		case x == nil:
			order = -1
		default:
			order = compare(t, s, x)
		}
		p := pair{source: order <= 0, target: order >= 0}
		if p.source {
			p.key = s[:len(t.Key)]
			sources.take()
			done++
		} else {
			p.key = x[:len(t.Key)]
		}
		if p.target {
			targets.take()
		}
		p.same = order == 0 && sumOf(s) == sumOf(x)
		if err := do(p); err != nil {
			return err
		}
	}
}

// sumOf is the sum after a key; 0 if that is damaged to what is none, as
// [Target.Fit] makes it.
func sumOf(row []any) int64 {
	n, _ := row[len(row)-1].(int64)
	return n
}

// name names a row without its contents.
func name(t *tables.Table, row []any) string {
	c := tables.Cursor[any]{Row: row}
	d := c.Damage(t)
	return fmt.Sprintf("table %s, scope %q, seq %d, id %s", d.Table, d.Scope, d.Seq, d.Key)
}

// nameOfKey names a row of which the key is known.
func nameOfKey(t *tables.Table, key []any) string {
	row := make([]any, len(t.Columns)+1)
	for i, column := range t.Key {
		row[t.At(column)] = key[i]
	}
	return name(t, row)
}
