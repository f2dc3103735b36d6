package sqlite

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// stream yields the rows of a query one by one. It holds one row at a time.
func stream[T any](s *session, scan func(*cursor) T, text string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		stopped := false
		err := s.each(text, args, func(c *cursor) bool {
			if s.ctx.Err() != nil {
				c.Err = s.ctx.Err()
				return true
			}
			row := scan(c)
			if c.Err != nil {
				return true
			}
			stopped = !yield(row, nil)
			return !stopped
		})
		if err != nil && !stopped {
			var zero T
			yield(zero, err)
		}
	}
}

// Feed implements [store.FeedReader].
func (s *session) Feed(scope syncproto.Scope, after, upTo uint64) iter.Seq2[store.Row, error] {
	if after > math.MaxInt64 {
		return func(func(store.Row, error) bool) {}
	}
	from, to := int64(after), int64(min(upTo, math.MaxInt64))
	return func(yield func(store.Row, error) bool) {
		stopped := false
		err := s.attempt(func() error {
			for row, err := range stream(s, scanRow, `SELECT `+recordsTable.list+` FROM records WHERE scope = ? AND seq > ? AND seq <= ? ORDER BY seq`, string(scope), from, to) {
				if err != nil {
					return err
				}
				if row.Damaged {
					return row.Damage()
				}
				from = int64(row.Seq) //nolint:gosec // from the table
				if stopped = !yield(row, nil); stopped {
					return nil
				}
			}
			return nil
		})
		switch {
		case stopped || err == nil:
		case errors.Is(err, store.ErrDamaged):
			s.salvageFeed(string(scope), from, to, yield)
		default:
			yield(store.Row{}, err)
		}
	}
}

// Heads implements [store.HeadReader].
func (s *session) Heads(region syncproto.Region, class syncproto.Class) ([]store.Head, error) {
	condition, args := `1`, []any(nil)
	if region != "" {
		condition, args = inRegion(region)
	}
	all, err := s.heads(condition, args...)
	if err != nil {
		return nil, fmt.Errorf("heads of %q: %w", region, err)
	}
	var out []store.Head
	for _, h := range all {
		if h.Scope.Class() == class {
			out = append(out, h)
		}
	}
	return out, nil
}

// heads returns the scopes that a condition on their name selects and that
// have rows. If the table of counters is damaged, the rows that they count tell
// how far they came.
func (s *session) heads(condition string, args ...any) ([]store.Head, error) {
	var out []store.Head
	err := s.attempt(func() (err error) {
		out, err = collect(s, scanHead, `SELECT `+scopesTable.list+` FROM scopes WHERE `+condition+` ORDER BY scope`, args...)
		return err
	})
	if errors.Is(err, store.ErrDamaged) {
		out, err = collect(s, func(c *cursor) store.Head {
			return store.Head{Scope: syncproto.Scope(c.Text(0)), Seq: c.Uint(1)}
		}, `SELECT scope, max(seq) FROM (SELECT scope, seq FROM records INDEXED BY records_seq UNION ALL SELECT scope, seq FROM changes INDEXED BY sqlite_autoindex_changes_1)
			WHERE `+condition+` GROUP BY scope ORDER BY scope`, args...)
	}
	return slices.DeleteFunc(out, func(h store.Head) bool { return h.Seq == 0 }), err
}

// inRegion is a condition on a scope: what lies in "35.24" is it, or begins
// with "35.24." or "35.24/"; "0" is the byte after those two.
func inRegion(region syncproto.Region) (condition string, args []any) {
	return `(scope = ? OR scope >= ? AND scope < ?)`, []any{string(region), string(region) + ".", string(region) + "0"}
}

// Epoch implements [store.FeedReader] and [store.DeviceTx].
func (s *session) Epoch() (store.Epoch, error) {
	var e store.Epoch
	err := s.each(`SELECT `+epochsTable.list+` FROM epochs WHERE scope = ?`, []any{store.EpochScope}, func(c *cursor) bool {
		e = tables.ReadEpoch(&c.Cursor)
		return true
	})
	if err != nil {
		return e, fmt.Errorf("read the epoch: %w", err)
	}
	return e, nil
}

// Authors implements [store.FeedReader].
func (s *session) Authors(ids []syncproto.ReplicaID) ([]store.Author, error) {
	list := hexList(ids, func(id *syncproto.ReplicaID) []byte { return tables.Big(uint64(*id)) })
	owners, err := collect(s, scanOwner, `SELECT `+replicasTable.list+` FROM replicas WHERE replica IN (SELECT unhex(value) FROM json_each(?))`, list)
	if err != nil {
		return nil, err
	}
	var out []store.Author
	for _, o := range owners {
		var d store.Device
		err := s.attempt(func() (err error) {
			if o.Device == "" {
				return store.ErrDamaged
			}
			d, err = s.Device(o.Device)
			return err
		})
		switch {
		case errors.Is(err, store.ErrDamaged):
			out = append(out, store.Author{Replica: o.Replica, Damaged: true})
		case isNotFound(err):
		case err != nil:
			return nil, err
		default:
			out = append(out, store.Author{Replica: o.Replica, Device: d.ID, Officer: d.Officer, Agency: d.Agency})
		}
	}
	return out, nil
}
