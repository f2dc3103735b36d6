package move

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// sampleRows is how many rows of each table are compared byte for byte.
const sampleRows = 100

// verify compares the two stores.
func (m *mover) verify(ctx context.Context) error {
	for i, t := range tables.All() {
		if err := m.compare(ctx, t, &m.result.Tables[i]); err != nil {
			return fmt.Errorf("compare table %s: %w", t.Name, err)
		}
	}
	if err := m.heads(ctx); err != nil {
		return err
	}
	return m.checkTarget(ctx)
}

func differs(format string, args ...any) error {
	return syncproto.Errorf(syncproto.CodeStoreDiffers, format, args...)
}

// compare compares a table: keys and sums of all rows, their number as each side
// counts it, and all bytes of some.
func (m *mover) compare(ctx context.Context, t *tables.Table, r *TableResult) error {
	var sample [][]any
	random := rand.New(rand.NewPCG(m.Seed, uint64(len(t.Name)))) //nolint:gosec // a sample, not a secret
	differences := 0
	err := m.walk(ctx, PhaseCompare, t, func(p pair) error {
		if !p.same {
			differences++
			m.Problem("differs: " + nameOfKey(t, p.key))
			return nil
		}
		r.Rows++
		if len(sample) < sampleRows {
			sample = append(sample, p.key)
		} else if n := random.Int64N(r.Rows); n < sampleRows {
			sample[n] = p.key
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, side := range []Side{m.Source, m.Target} {
		n, err := side.Count(ctx, t)
		if err != nil {
			return err
		}
		if n != r.Rows {
			return differs("%s counts %d rows, of which %d are the same on both sides", side.Name(), n, r.Rows)
		}
	}
	if differences > 0 {
		return differs("%d rows", differences)
	}
	for _, key := range sample {
		if err := m.bytes(ctx, t, key); err != nil {
			return err
		}
	}
	m.result.Sample += len(sample)
	return nil
}

// bytes compares a row byte for byte.
func (m *mover) bytes(ctx context.Context, t *tables.Table, key []any) error {
	a, err := m.Source.Row(ctx, t, key)
	if err != nil {
		return err
	}
	b, err := m.Target.Row(ctx, t, key)
	if err != nil {
		return err
	}
	if a == nil || b == nil {
		return differs("%s is not there any more", nameOfKey(t, key))
	}
	m.Target.Fit(t, a)
	if !slices.EqualFunc(a, b, equal) {
		return differs("%s is not the same byte for byte", nameOfKey(t, key))
	}
	return nil
}

func equal(a, b any) bool {
	if x, ok := a.([]byte); ok {
		y, ok := b.([]byte)
		return ok && bytes.Equal(x, y)
	}
	if _, ok := b.([]byte); ok {
		return false
	}
	return a == b
}

// heads compares the scopes as a device's pull sees them.
func (m *mover) heads(ctx context.Context) error {
	for _, class := range []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ} {
		var both [2][]store.Head
		for i, side := range []Side{m.Source, m.Target} {
			err := side.View(ctx, func(r store.Reader) (err error) {
				both[i], err = r.Heads("", class)
				return err
			})
			if err != nil {
				if m.WithDamage && len(m.problems) > 0 {
					return nil // a counter is damaged, on both sides: the rows were compared
				}
				return err
			}
		}
		if !slices.Equal(both[0], both[1]) {
			return differs("the heads of class %s are not the same", class)
		}
		m.result.Scopes += len(both[0])
	}
	return nil
}

// checkTarget looks for problems that the source does not have.
func (m *mover) checkTarget(ctx context.Context) error {
	m.Progress(Progress{Phase: PhaseCheckTarget})
	found, fresh := map[string]bool{}, 0
	err := m.Check(ctx, m.Target, func(problem string) {
		found[problem] = true
		// Where there is damage, the engines put what follows from it in
		// different words.
		if !m.problems[problem] && (len(m.problems) == 0 || isRow(problem)) {
			fresh++
			m.Problem("target: " + problem)
		}
	})
	if err != nil {
		return err
	}
	for problem := range m.problems {
		if isRow(problem) && !found[problem] {
			fresh++
			m.Problem("target does not know: " + problem)
		}
	}
	if fresh > 0 {
		return differs("%d problems of one side are none of the other", fresh)
	}
	return nil
}

// isRow tells whether a problem is that of a damaged row.
func isRow(problem string) bool {
	return strings.HasPrefix(problem, "damaged row: ")
}
