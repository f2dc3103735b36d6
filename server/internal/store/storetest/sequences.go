package storetest

import (
	"errors"
	"math"
	"slices"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func sequenceCases() []testCase {
	return []testCase{
		{"a reader that follows a scope never misses a row", followers},
		{"an insert-only scope has a row at every sequence a reader sees", gaplessFollower},
		{"no concurrent change of one row is lost", lostUpdates},
		{"no concurrent creation of one record is lost", lostCreations},
		{"sequences that do not follow the head are refused and leave nothing", badSequences},
		{"a record that changed twice in a step has one row and two changes", changedTwice},
		{"rows of a step may come in any order", anyOrder},
		{"heads are found by region and class", heads},
		{"heads within a step show the call's own rows", headsInStep},
		{"a feed is bounded below and above", feedBounds},
		{"a feed may be left early and read within another", nestedFeeds},
	}
}

// followers: a phone asks for what came after its cursor and never looks back.
// With sequences from a counter that is not locked until commit, a row can
// become visible below a cursor that has passed it (measured on PostgreSQL:
// 17,690 of 44,555 missed).
func followers(b *bench) {
	scopes := []syncproto.Scope{home, next, task}
	const writers, writes, records = 8, 30, 6
	var open atomic.Int32
	open.Store(writers)
	write := func(i int) error {
		defer open.Add(-1)
		for n := range writes {
			scope := scopes[(i+n)%len(scopes)]
			record := id(n % records)
			err := b.update(string(scope), func(tx store.Tx) error {
				_, err := edit(tx, scope, scopedID(scope, record), increment)
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
	follow := func(scope syncproto.Scope) error {
		var cursor uint64
		copyOf := map[syncproto.RecordID]uint64{}
		for last := false; ; {
			last = open.Load() == 0 // before reading: the last poll comes after the last write
			err := b.s.View(b.Context(), func(r store.Reader) error {
				hs, err := r.Heads(scope.Region(), scope.Class())
				if err != nil {
					return err
				}
				i := slices.IndexFunc(hs, func(h store.Head) bool { return h.Scope == scope })
				if i < 0 {
					return nil
				}
				before := cursor
				for row, err := range r.Feed(scope, cursor, hs[i].Seq) {
					if err != nil {
						return err
					}
					if row.Seq <= before || row.Seq > hs[i].Seq {
						b.Errorf("row at %d, after %d, up to %d", row.Seq, before, hs[i].Seq)
					}
					before = row.Seq
					copyOf[row.ID] = row.Seq
				}
				cursor = hs[i].Seq
				return nil
			})
			if err != nil {
				return err
			}
			if last {
				break
			}
		}
		want := map[syncproto.RecordID]uint64{}
		err := b.s.View(b.Context(), func(r store.Reader) error {
			rows, err := all(r.Feed(scope, 0, math.MaxUint64))
			for _, row := range rows {
				want[row.ID] = row.Seq
			}
			return err
		})
		if diff := cmp.Diff(want, copyOf); diff != "" {
			b.Errorf("what a follower of %s has differs (-store +follower):\n%s", scope, diff)
		}
		return err
	}
	b.together(writers+2*len(scopes), func(i int) error {
		if i < writers {
			return write(i)
		}
		return follow(scopes[i%len(scopes)])
	})
}

// scopedID gives each scope records of its own: one record lives in one scope.
func scopedID(scope syncproto.Scope, id syncproto.RecordID) syncproto.RecordID {
	d := digest(string(scope) + id.String())
	copy(id[8:], d[:8])
	return id
}

// gaplessFollower: when no row is replaced, a reader can see every sequence; a
// hole would be a row that became visible out of order.
func gaplessFollower(b *bench) {
	const writers, writes = 6, 25
	var open atomic.Int32
	open.Store(writers)
	b.together(writers+2, func(i int) error {
		if i < writers {
			defer open.Add(-1)
			for n := range writes {
				if err := b.update(string(home), func(tx store.Tx) error {
					_, err := edit(tx, home, id(i*writes+n), increment)
					return err
				}); err != nil {
					return err
				}
			}
			return nil
		}
		var cursor uint64
		for last := false; !last; {
			last = open.Load() == 0
			err := b.s.View(b.Context(), func(r store.Reader) error {
				for row, err := range r.Feed(home, cursor, math.MaxUint64) {
					if err != nil {
						return err
					}
					if row.Seq != cursor+1 {
						b.Errorf("row at %d follows %d", row.Seq, cursor)
					}
					cursor = row.Seq
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if cursor != writers*writes {
			b.Errorf("follower ends at %d of %d", cursor, writers*writes)
		}
		return nil
	})
}

// lostUpdates: a step reads a row and writes what it made of it. If two steps
// read the same row before either writes, an officer's change vanishes.
func lostUpdates(b *bench) {
	const writers, writes = 16, 20
	b.together(writers, func(int) error {
		for range writes {
			if err := b.update(string(home), func(tx store.Tx) error {
				_, err := edit(tx, home, id(1), increment)
				return err
			}); err != nil {
				return err
			}
		}
		return nil
	})
	rows := b.feed(home, 0, math.MaxUint64)
	if len(rows) != 1 || counter(&rows[0]) != writers*writes || rows[0].Seq != writers*writes {
		b.Errorf("rows after %d changes: %+v", writers*writes, rows)
	}
}

// lostCreations: there is no row to lock when two phones bring the same new
// record (a natural key). Locking rows and not the scope lost 298 of 300.
func lostCreations(b *bench) {
	const rounds, writers = 15, 6
	for round := range rounds {
		b.together(writers, func(int) error {
			return b.update(string(home), func(tx store.Tx) error {
				_, err := edit(tx, home, id(round), increment)
				return err
			})
		})
	}
	for _, r := range b.feed(home, 0, math.MaxUint64) {
		if counter(&r) != writers {
			b.Errorf("record %s has %d of %d changes", r.ID, counter(&r), writers)
		}
	}
}

// badSequences: a wrong sequence is a row that some reader will never see. It
// must be an error at once, not a hole found months later.
func badSequences(b *bench) {
	b.add(row(home, id(1), 0), row(home, id(2), 0))
	for name, do := range map[string]func(store.Tx) error{
		"a row at the head":           func(tx store.Tx) error { return put(tx, row(home, id(3), 2)) },
		"a row below the head":        func(tx store.Tx) error { return put(tx, row(home, id(3), 1)) },
		"a row at zero":               func(tx store.Tx) error { return put(tx, row(home, id(3), 0)) },
		"a row after a gap":           func(tx store.Tx) error { return put(tx, row(home, id(3), 4)) },
		"a gap between rows":          func(tx store.Tx) error { return put(tx, row(home, id(3), 3), row(home, id(4), 5)) },
		"a row at the end of numbers": func(tx store.Tx) error { return put(tx, row(home, id(3), math.MaxUint64)) },
		"a change below the head":     func(tx store.Tx) error { return tx.Append(home, []store.Change{change(row(home, id(1), 2))}) },
		"a change above the rows": func(tx store.Tx) error {
			if err := put(tx, row(home, id(3), 3)); err != nil {
				return err
			}
			return tx.Append(home, []store.Change{change(row(home, id(3), 4))})
		},
	} {
		if err := b.update(string(home), do); !errors.Is(err, store.ErrSequence) {
			b.Errorf("%s: error is %v, want %v", name, err, store.ErrSequence)
		}
	}
	if err := b.update(string(home), func(tx store.Tx) error { return tx.Put(home, []store.Row{row(home, id(3), 3), row(home, id(4), 3)}) }); err == nil {
		b.Error("two rows took one sequence")
	}
	if got := b.feed(home, 0, math.MaxUint64); len(got) != 2 || b.head(home) != 2 {
		b.Errorf("refused steps left %d rows and head %d, want 2 and 2", len(got), b.head(home))
	}
	b.add(row(home, id(3), 0)) // and the scope goes on
}

// changedTwice: a batch may hold two changes of one record; each is in the
// journal, and the feed has the record once, at the later one (I15).
func changedTwice(b *bench) {
	b.must(b.update(string(home), func(tx store.Tx) error {
		first, second := row(home, id(1), 1), row(home, id(1), 2)
		if err := tx.Put(home, []store.Row{second}); err != nil {
			return err
		}
		return tx.Append(home, []store.Change{change(first), change(second)})
	}))
	b.must(b.update(string(home), func(tx store.Tx) error {
		third, fourth := row(home, id(1), 3), row(home, id(1), 4)
		if err := put(tx, third); err != nil {
			return err
		}
		return put(tx, fourth)
	}))
	if rows := b.feed(home, 0, math.MaxUint64); len(rows) != 1 || rows[0].Seq != 4 {
		b.Errorf("feed: %+v", rows)
	}
	b.view(func(r store.Reader) error {
		changes, err := all(r.Changes(id(1)))
		if len(changes) != 4 {
			b.Errorf("%d changes, want 4", len(changes))
		}
		return err
	})
}

// anyOrder: a step collects its rows in a map; their order means nothing.
func anyOrder(b *bench) {
	b.must(b.update(string(home), func(tx store.Tx) error {
		return put(tx, row(home, id(3), 3), row(home, id(1), 1), row(home, id(2), 2))
	}))
	var got []uint64
	for _, r := range b.feed(home, 0, math.MaxUint64) {
		got = append(got, r.Seq)
	}
	if !slices.Equal(got, []uint64{1, 2, 3}) {
		b.Errorf("feed is in order %v", got)
	}
}

// heads: a grant names a region by its prefix. "35.2" is no region above
// "35.24": a prefix of characters would open another regency's records.
func heads(b *bench) {
	scopes := []syncproto.Scope{home, task, secret, next, far, other}
	for i, s := range scopes {
		b.add(row(s, scopedID(s, id(i)), 0))
	}
	b.add(row(home, id(90), 0))
	b.add(row(task, id(91), 0))
	// A scope that was looked at and not written has no rows.
	b.must(b.update("35.24.99", func(tx store.Tx) error {
		_, err := tx.Head("35.24.99")
		return err
	}))
	for _, c := range []struct {
		region syncproto.Region
		class  syncproto.Class
		want   []store.Head
	}{
		{"35", "D", []store.Head{{Scope: far, Seq: 1}, {Scope: next, Seq: 1}, {Scope: home, Seq: 2}}},
		{"35.24", "D", []store.Head{{Scope: next, Seq: 1}, {Scope: home, Seq: 2}}},
		{"35.24.14", "D", []store.Head{{Scope: home, Seq: 2}}},
		{"35.24.14", "T", []store.Head{{Scope: task, Seq: 2}}},
		{"35.24.14", "H", []store.Head{{Scope: secret, Seq: 1}}},
		{"35", "H", []store.Head{{Scope: secret, Seq: 1}}},
		{"35.2", "D", nil},
		{"3", "D", nil},
		{"35.24.1", "D", nil},
		{"35.24.14.2011", "D", nil}, // a village is narrower than its district
		{"36", "T", nil},
		{"", "D", []store.Head{{Scope: far, Seq: 1}, {Scope: next, Seq: 1}, {Scope: home, Seq: 2}, {Scope: other, Seq: 1}}},
	} {
		b.view(func(r store.Reader) error {
			got, err := r.Heads(c.region, c.class)
			if diff := cmp.Diff(c.want, got); diff != "" {
				b.Errorf("heads of %q class %s (-want +got):\n%s", c.region, c.class, diff)
			}
			return err
		})
	}
}

// headsInStep: the receipt of a push states the heads after it.
func headsInStep(b *bench) {
	var inStep, later []store.Head
	err := b.s.Update(b.Context(), step(string(home), func(tx store.Tx) (err error) {
		if err := put(tx, row(home, id(1), 1)); err != nil {
			return err
		}
		inStep, err = tx.Heads("35", "D")
		if err != nil {
			return err
		}
		return put(tx, row(home, id(2), 2))
	}), step(store.DeviceScope("device-1"), func(tx store.Tx) (err error) {
		later, err = tx.Heads("35", "D")
		return err
	}))
	b.must(err)
	if want := []store.Head{{Scope: home, Seq: 1}}; !slices.Equal(inStep, want) {
		b.Errorf("heads within the step: %v, want %v", inStep, want)
	}
	if want := []store.Head{{Scope: home, Seq: 2}}; !slices.Equal(later, want) {
		b.Errorf("heads in a later step: %v, want %v", later, want)
	}
}

// feedBounds: a cursor is the sequence that the phone has; a response ends at
// the head that it names.
func feedBounds(b *bench) {
	for n := range 10 {
		b.add(row(home, id(n), 0))
	}
	for _, c := range []struct {
		after, upTo uint64
		first, rows int
	}{
		{0, 10, 1, 10}, {0, math.MaxUint64, 1, 10}, {3, 7, 4, 4}, {9, 10, 10, 1}, {10, 10, 0, 0},
		{10, 99, 0, 0}, {7, 3, 0, 0}, {0, 0, 0, 0}, {math.MaxUint64, math.MaxUint64, 0, 0}, {math.MaxInt64, math.MaxUint64, 0, 0},
	} {
		got := b.feed(home, c.after, c.upTo)
		if len(got) != c.rows || c.rows > 0 && got[0].Seq != uint64(c.first) { //nolint:gosec // small
			b.Errorf("feed after %d up to %d: %d rows, want %d from %d", c.after, c.upTo, len(got), c.rows, c.first)
		}
	}
	if got := b.feed(next, 0, 10); len(got) != 0 {
		b.Errorf("feed of an empty scope: %d rows", len(got))
	}
}

// nestedFeeds: a response that is full stops in the middle, and one feed looks
// up what another names; neither may disturb the other or keep the store busy.
func nestedFeeds(b *bench) {
	for n := range 6 {
		b.add(row(home, id(n), 0))
		b.add(row(next, id(100+n), 0))
	}
	b.view(func(r store.Reader) error {
		pairs := 0
		for _, err := range r.Feed(home, 0, 6) {
			if err != nil {
				return err
			}
			inner := 0
			for _, err := range r.Feed(next, 0, 6) {
				if err != nil {
					return err
				}
				if inner++; inner == 3 {
					break
				}
			}
			pairs += inner
			if _, err := r.Live([]syncproto.RecordID{id(100)}); err != nil {
				return err
			}
		}
		if pairs != 18 {
			b.Errorf("%d pairs of nested feeds, want 18", pairs)
		}
		return nil
	})
	b.add(row(home, id(50), 0))
}
