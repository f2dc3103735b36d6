package postgres

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

// Rows that come in lists are read in pages: a connection answers one question
// at a time, and who reads a list may stop, or ask another. Pages double, so
// that a reader who stops has read less than twice what he wanted, and are
// bounded by bytes, so that rows of a megabyte do not fill the memory.
const (
	firstPage = 128
	minPage   = 8
	maxPage   = 2048
	pageBytes = 8 << 20
)

// pages yields the rows of a query, page by page. next makes the query after
// the row that was given to passed last; passed also tells the size of a row.
func pages[T any](s *session, read func(*tables.Cursor[any]) T, passed func(*cursor) int, next func(limit int64) (string, []any)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var zero T
		limit := int64(firstPage)
		for {
			if err := s.ctx.Err(); err != nil {
				yield(zero, s.keep(err))
				return
			}
			var page []T
			size := 0
			text, args := next(limit)
			err := s.send(command{text: text, args: args, start: func() { page, size = nil, 0 }, scan: func(c *cursor) bool {
				v := read(&c.Cursor)
				if c.Err == nil {
					page = append(page, v)
				}
				size += passed(c)
				return true
			}})
			if err != nil {
				yield(zero, err)
				return
			}
			for _, v := range page {
				if err := s.ctx.Err(); err != nil {
					yield(zero, s.keep(err))
					return
				}
				if !yield(v, nil) {
					return
				}
			}
			if int64(len(page)) < limit {
				return
			}
			limit = min(2*limit, max(pageBytes/int64(size/len(page)+1), minPage), maxPage)
		}
	}
}

// Feed implements [store.FeedReader].
func (s *session) Feed(scope syncproto.Scope, after, upTo uint64) iter.Seq2[store.Row, error] {
	if after > math.MaxInt64 {
		return func(func(store.Row, error) bool) {}
	}
	from, to := int64(after), int64(min(upTo, math.MaxInt64))
	return pages(s, tables.ReadRecord[any], func(c *cursor) int {
		from = c.LooseInt(2)
		return len(c.LooseBlob(14)) + len(c.LooseText(15))
	}, func(limit int64) (string, []any) {
		return `SELECT ` + recordsTable.list + ` FROM records WHERE scope = $1 AND seq > $2 AND seq <= $3 ORDER BY seq LIMIT $4`, []any{string(scope), from, to, limit}
	})
}

// Heads implements [store.HeadReader].
func (s *session) Heads(region syncproto.Region, class syncproto.Class) ([]store.Head, error) {
	condition, args := everyRegion, []any(nil)
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
		out, err = collect(s, tables.ReadHead[any], `SELECT `+scopesTable.list+` FROM scopes WHERE `+condition+` ORDER BY scope`, args...)
		return err
	})
	if errors.Is(err, store.ErrDamaged) {
		out, err = collect(s, func(c *tables.Cursor[any]) store.Head {
			return store.Head{Scope: syncproto.Scope(c.Text(0)), Seq: c.Uint(1)}
		}, `SELECT scope, max(seq) FROM (SELECT scope, seq FROM records UNION ALL SELECT scope, seq FROM changes) AS rows
			WHERE `+condition+` GROUP BY scope ORDER BY scope`, args...)
	}
	return slices.DeleteFunc(out, func(h store.Head) bool { return h.Seq == 0 }), err
}

// everyRegion is a condition on a scope: names of regions begin with a digit,
// those of the store's own scopes with a letter. ':' is the byte after '9'.
const everyRegion = `scope < ':'`

// inRegion is a condition on a scope: what lies in "35.24" is it, or begins
// with "35.24." or "35.24/"; "0" is the byte after those two.
func inRegion(region syncproto.Region) (condition string, args []any) {
	return `(scope = $1 OR scope >= $2 AND scope < $3)`, []any{string(region), string(region) + ".", string(region) + "0"}
}

// Epoch implements [store.FeedReader] and [store.DeviceTx].
func (s *session) Epoch() (store.Epoch, error) {
	e, err := one(s, store.ErrNotFound, tables.ReadEpoch[any], `SELECT `+epochsTable.list+` FROM epochs WHERE scope = $1`, store.EpochScope)
	if err != nil && !isNotFound(err) {
		return e, fmt.Errorf("read the epoch: %w", err)
	}
	return e, nil
}

// Authors implements [store.FeedReader].
func (s *session) Authors(ids []syncproto.ReplicaID) ([]store.Author, error) {
	owners, err := collect(s, tables.ReadOwner[any], `SELECT `+replicasTable.list+` FROM replicas WHERE replica = ANY($1)`, replicaList(ids))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, o := range owners {
		if o.Device != "" {
			names = append(names, o.Device)
		}
	}
	// Of a device whose row is damaged, no names are known.
	type known struct {
		device store.Device
		sound  bool
	}
	found, err := collect(s, func(c *tables.Cursor[any]) known {
		if !c.Sound(tables.Devices) {
			return known{device: store.Device{ID: c.LooseText(0)}}
		}
		return known{tables.ReadDevice(c), true}
	}, `SELECT `+devicesTable.list+` FROM devices WHERE id = ANY($1)`, names)
	if err != nil {
		return nil, err
	}
	devices := make(map[string]known, len(found))
	for _, d := range found {
		devices[d.device.ID] = d
	}
	var out []store.Author
	for _, o := range owners {
		d, there := devices[o.Device]
		switch {
		case o.Device == "" || there && !d.sound:
			out = append(out, store.Author{Replica: o.Replica, Damaged: true})
		case there:
			out = append(out, store.Author{Replica: o.Replica, Device: d.device.ID, Officer: d.device.Officer, Agency: d.device.Agency})
		}
	}
	return out, nil
}

func replicaList(ids []syncproto.ReplicaID) [][]byte {
	return list(ids, func(id *syncproto.ReplicaID) []byte { return tables.Big(uint64(*id)) })
}
