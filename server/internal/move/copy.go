package move

import (
	"context"
	"fmt"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Bounds of what is written at once.
const (
	batchRows  = 2000
	batchBytes = 4 << 20
)

// table makes a table of the target that of the source.
func (m *mover) table(ctx context.Context, t *tables.Table) error {
	r := TableResult{Name: t.Name}
	had, err := m.Target.Count(ctx, t)
	if err != nil {
		return err
	}
	if had > 0 {
		if r.Deleted, err = m.clear(ctx, t); err != nil {
			return err
		}
	}
	if r.Copied, err = m.copy(ctx, t); err != nil {
		return err
	}
	m.result.Tables = append(m.result.Tables, r)
	return nil
}

// clear deletes what the target has and the source has not, or has otherwise.
func (m *mover) clear(ctx context.Context, t *tables.Table) (deleted int64, err error) {
	var keys [][]any
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		err := m.Target.Delete(ctx, t, keys)
		deleted += int64(len(keys))
		keys = nil
		return err
	}
	err = m.walk(ctx, PhaseClear, t, func(p pair) error {
		if !p.target || p.same {
			return nil
		}
		if keys = append(keys, p.key); len(keys) < batchRows {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	return deleted, err
}

// copy adds what the target lacks.
func (m *mover) copy(ctx context.Context, t *tables.Table) (copied int64, err error) {
	var rows [][]any
	size := 0
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := m.Target.Insert(ctx, t, rows)
		copied += int64(len(rows))
		rows, size = nil, 0
		return err
	}
	err = m.walk(ctx, PhaseCopy, t, func(p pair) error {
		if p.target {
			return nil
		}
		row, err := m.Source.Row(ctx, t, p.key)
		if err != nil {
			return err
		}
		if row == nil {
			return fmt.Errorf("%s is in the index and not in the table: %w", nameOfKey(t, p.key), store.ErrDamaged)
		}
		alone, err := m.fit(t, row)
		if err != nil {
			return err
		}
		if alone {
			if err := flush(); err != nil {
				return err
			}
		}
		rows = append(rows, row)
		size += sizeOf(row)
		if !alone && len(rows) < batchRows && size < batchBytes {
			return nil
		}
		if err := flush(); err != nil {
			if alone && m.Target.Refused(err) {
				err = syncproto.Errorf(syncproto.CodeStoreDamaged, "%s is damaged so that the target can't keep it at all: repair it, or restore a backup", name(t, row))
			}
			return err
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	return copied, err
}

// fit prepares a row for the target. A damaged one goes alone: the target may
// refuse it, and then it can be named.
func (m *mover) fit(t *tables.Table, row []any) (alone bool, err error) {
	c := tables.Cursor[any]{Row: row}
	sound, called := c.Sound(t), name(t, row)
	emptied := m.Target.Fit(t, row)
	if len(emptied) == 0 {
		return !sound, nil
	}
	what := fmt.Sprintf("%s: the target can't keep %s", called, strings.Join(emptied, ", "))
	for _, column := range emptied {
		if t.IsKey(column) {
			return true, syncproto.Errorf(syncproto.CodeStoreDamaged, "%s, which is part of the key: repair it, or restore a backup", what)
		}
	}
	m.Problem(what)
	m.result.Emptied = append(m.result.Emptied, what)
	if !m.WithDamage {
		return true, syncproto.Errorf(syncproto.CodeStoreDamaged, "%s", what)
	}
	return true, nil
}

func sizeOf(row []any) (n int) {
	for _, v := range row {
		switch v := v.(type) {
		case string:
			n += len(v)
		case []byte:
			n += len(v)
		}
		n += 16
	}
	return n
}
