package sqlite

import (
	"fmt"
	"iter"
	"math"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// stream yields the rows of a query one by one. It holds one row at a time.
func stream[T any](s *session, scan func(*cursor) T, text string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		stopped := false
		err := s.each(text, args, func(c *cursor) bool {
			if s.ctx.Err() != nil {
				c.err = s.ctx.Err()
				return true
			}
			row := scan(c)
			if c.err != nil {
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
	return stream(s, scanRow, `SELECT `+rowColumns+` FROM records WHERE scope = ? AND seq > ? AND seq <= ? ORDER BY seq`,
		string(scope), int64(after), int64(min(upTo, math.MaxInt64)))
}

// Heads implements [store.HeadReader].
func (s *session) Heads(region syncproto.Region, class syncproto.Class) ([]store.Head, error) {
	var out []store.Head
	text, args := `SELECT scope, seq FROM scopes WHERE seq > 0`, []any(nil)
	if region != "" {
		within, values := inRegion(region)
		text, args = text+` AND `+within, values
	}
	err := s.each(text+` ORDER BY scope`, args, func(c *cursor) bool {
		if h := (store.Head{Scope: syncproto.Scope(c.text(0)), Seq: c.uint(1)}); h.Scope.Class() == class {
			out = append(out, h)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("heads of %q: %w", region, err)
	}
	return out, nil
}

// inRegion is a condition on a scope: what lies in "35.24" is it, or begins
// with "35.24." or "35.24/"; "0" is the byte after those two.
func inRegion(region syncproto.Region) (condition string, args []any) {
	return `(scope = ? OR scope >= ? AND scope < ?)`, []any{string(region), string(region) + ".", string(region) + "0"}
}

// Epoch implements [store.FeedReader] and [store.DeviceTx].
func (s *session) Epoch() (store.Epoch, error) {
	var e store.Epoch
	err := s.each(`SELECT id, since, recovering FROM epochs WHERE scope = ?`, []any{store.EpochScope}, func(c *cursor) bool {
		c.fixed(0, e.ID[:])
		e.Since, e.Recovering = c.int(1), c.bool(2)
		return true
	})
	if err != nil {
		return e, fmt.Errorf("read the epoch: %w", err)
	}
	return e, nil
}

// Authors implements [store.FeedReader].
func (s *session) Authors(ids []syncproto.ReplicaID) ([]store.Author, error) {
	list := hexList(ids, func(id *syncproto.ReplicaID) []byte { return big(uint64(*id)) })
	return collect(s, func(c *cursor) store.Author {
		return store.Author{Replica: syncproto.ReplicaID(c.big(0)), Device: c.text(1), Officer: c.text(2), Agency: c.text(3)}
	}, `SELECT r.replica, d.id, d.officer, d.agency FROM replicas r JOIN devices d ON r.scope = 'device/' || d.id
		WHERE r.replica IN (SELECT unhex(value) FROM json_each(?))`, list)
}
