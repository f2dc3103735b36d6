package storetest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func recordCases() []testCase {
	return []testCase{
		{"a row comes back as it was put", rowRoundTrip},
		{"a row replaces all of the one before", rowReplaced},
		{"records are found by id in their scope only", findRecords},
		{"live rows are found wherever they are", locate},
		{"a record that moves under edits has one live row and loses none", moves},
		{"companions are found by their main record", companions},
	}
}

// sameRows compares what was put with what came back: empty and no bytes are
// the same, everything else is exact.
func sameRows(b *bench, what string, want, got []store.Row) {
	b.Helper()
	byKey := func(x, y store.Row) int {
		if c := strings.Compare(string(x.Scope), string(y.Scope)); c != 0 {
			return c
		}
		return bytes.Compare(x.ID[:], y.ID[:])
	}
	want, got = slices.SortedFunc(slices.Values(want), byKey), slices.SortedFunc(slices.Values(got), byKey)
	if diff := cmp.Diff(want, got, cmp.Comparer(bytes.Equal)); diff != "" {
		b.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// rowRoundTrip: what an engine rounds, trims, folds or takes for null is lost.
func rowRoundTrip(b *bench) {
	rng := rand.New(rand.NewPCG(3, 14)) //nolint:gosec // rows, not secrets
	big := make([]byte, 300<<10)
	for i := range big {
		big[i] = byte(rng.Uint32())
	}
	rows := []store.Row{
		row(home, id(1), 1),
		{Scope: home, ID: id(2), Seq: 2, State: []byte{}, Doc: nil},
		{Scope: home, ID: id(3), Seq: 3, Entered: 1, State: []byte{0, 0xff, 0}, Doc: []byte(`{"nama":"Nyoman é é 王 🙂","apos":"'\"%_\\"}`), Kind: "kind/with space"},
		{Scope: home, ID: id(4), Seq: 4, Entered: 4, State: big, Doc: []byte(`"` + strings.Repeat("x", 100<<10) + `"`), Conflicts: 2048, Of: id(1)},
		{Scope: home, ID: id(5), Seq: 5, Entered: 5, State: []byte("purged"), Deleted: true, Purged: true, Agency: "Polri", Officer: "Ø", CreatedAt: 1, UpdatedAt: math.MaxInt64},
		{Scope: home, ID: id(6), Seq: 6, Entered: 6, State: []byte("s"), CreatedAt: -1, UpdatedAt: -62_135_596_800_000},
		{Scope: home, ID: syncproto.RecordID{0xff, 15: 0xff}, Seq: 7, Entered: 7, State: []byte("ids are bytes"), CreatedAt: 1_766_000_000_123, UpdatedAt: 1_766_000_000_124},
	}
	b.must(b.update(string(home), func(tx store.Tx) error { return put(tx, rows...) }))
	sameRows(b, "feed", rows, b.feed(home, 0, math.MaxUint64))
	ids := make([]syncproto.RecordID, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	b.must(b.update(string(home), func(tx store.Tx) error {
		got, err := tx.Records(home, ids)
		sameRows(b, "records", rows, got)
		return err
	}))
	b.view(func(r store.Reader) error {
		got, err := r.Live(ids)
		sameRows(b, "live", rows, got)
		return err
	})
}

// rowReplaced: a record that comes back to a scope must not keep the mark of
// having left, nor a purged one its document.
func rowReplaced(b *bench) {
	full := row(home, id(1), 1)
	full.Conflicts, full.Of = 3, id(7)
	b.must(b.update(string(home), func(tx store.Tx) error { return put(tx, full) }))
	moved := store.Row{Scope: home, ID: id(1), Seq: 2, State: []byte("ctx"), MovedTo: next}
	live := row(next, id(1), 1)
	b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{string(next), string(home)}, Do: func(tx store.Tx) ([]store.Step, error) {
		if err := put(tx, moved); err != nil {
			return nil, err
		}
		return nil, put(tx, live)
	}}))
	sameRows(b, "after leaving", []store.Row{moved}, b.feed(home, 0, math.MaxUint64))
	marker := store.Row{Scope: next, ID: id(1), Seq: 2, State: []byte("ctx"), MovedTo: home}
	back := store.Row{Scope: home, ID: id(1), Seq: 3, Entered: 3, State: []byte("purged"), Purged: true}
	b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{string(home), string(next)}, Do: func(tx store.Tx) ([]store.Step, error) {
		if err := put(tx, marker); err != nil {
			return nil, err
		}
		return nil, put(tx, back)
	}}))
	sameRows(b, "after coming back", []store.Row{back}, b.feed(home, 0, math.MaxUint64))
}

// findRecords: a push of 500 records asks for them in one question.
func findRecords(b *bench) {
	const n = 700
	rows := make([]store.Row, n)
	for i := range rows {
		rows[i] = row(home, id(i), 0)
	}
	b.add(rows...)
	b.add(row(next, id(n), 0))
	ids := make([]syncproto.RecordID, 0, n+3)
	for i := range n + 2 { // id(n) is in another scope, id(n+1) nowhere
		ids = append(ids, id(i))
	}
	ids = append(ids, id(0)) // asked twice
	b.must(b.update(string(home), func(tx store.Tx) error {
		got, err := tx.Records(home, ids)
		if err != nil {
			return err
		}
		found := map[syncproto.RecordID]int{}
		for _, r := range got {
			found[r.ID]++
		}
		if len(got) != n || len(found) != n || found[id(0)] != 1 {
			b.Errorf("%d rows of %d records, want %d; the one asked twice %d times", len(got), len(found), n, found[id(0)])
		}
		none, err := tx.Records(home, nil)
		if len(none) != 0 {
			b.Errorf("records of no ids: %d", len(none))
		}
		return err
	}))
}

// locate: a push arrives at the scope that the phone knew; the record may be
// anywhere by now. A marker is not the record.
func locate(b *bench) {
	b.add(row(home, id(1), 0), row(home, id(2), 0))
	b.add(row(far, id(3), 0))
	b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{string(home), string(next)}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, move(tx, home, next, id(2))
	}}))
	want := map[syncproto.RecordID]syncproto.Scope{id(1): home, id(2): next, id(3): far}
	ids := []syncproto.RecordID{id(1), id(2), id(3), id(4)}
	b.must(b.update(store.DeviceScope("device-1"), func(tx store.Tx) error { // names none of them
		got, err := tx.Locate(ids)
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("locate (-want +got):\n%s", diff)
		}
		return err
	}))
	b.view(func(r store.Reader) error {
		rows, err := r.Live(ids)
		got := map[syncproto.RecordID]syncproto.Scope{}
		for _, r := range rows {
			got[r.ID] = r.Scope
		}
		if diff := cmp.Diff(want, got); diff != "" || len(rows) != len(want) {
			b.Errorf("live: %d rows (-want +got):\n%s", len(rows), diff)
		}
		return err
	})
}

// move takes the live row of a record from one scope to another, as the engine
// does.
func move(tx store.Tx, from, to syncproto.Scope, id syncproto.RecordID) error {
	rows, err := tx.Records(from, []syncproto.RecordID{id})
	if err != nil || len(rows) == 0 || rows[0].MovedTo != "" {
		return err // it moved meanwhile
	}
	headFrom, err := tx.Head(from)
	if err != nil {
		return err
	}
	headTo, err := tx.Head(to)
	if err != nil {
		return err
	}
	live := rows[0]
	live.Scope, live.Seq, live.Entered = to, headTo+1, headTo+1
	marker := store.Row{Scope: from, ID: id, Seq: headFrom + 1, State: []byte("context"), MovedTo: to, UpdatedAt: live.UpdatedAt}
	if err := put(tx, marker); err != nil {
		return err
	}
	return put(tx, live)
}

// moves: a village is assigned to another district while officers edit its
// records. The one live row, every edit, and the order of each scope survive.
func moves(b *bench) {
	scopes := []syncproto.Scope{home, next, far, other}
	const records, editors, edits, movers, times = 8, 4, 30, 3, 25
	for n := range records {
		b.must(b.update(string(home), func(tx store.Tx) error {
			_, err := edit(tx, home, id(n), func(r *store.Row) { r.State = []byte("0") })
			return err
		}))
	}
	b.together(editors+movers, func(i int) error {
		rng := rand.New(rand.NewPCG(uint64(i), 15)) //nolint:gosec // choices, not secrets
		if i >= editors {
			for range times {
				from, to := scopes[rng.IntN(len(scopes))], scopes[rng.IntN(len(scopes))]
				if from == to {
					continue
				}
				err := b.s.Update(b.Context(), store.Step{Scopes: []string{string(from), string(to)}, Do: func(tx store.Tx) ([]store.Step, error) {
					return nil, move(tx, from, to, id(rng.IntN(records)))
				}})
				if err != nil {
					return err
				}
			}
			return nil
		}
		for range edits {
			// The editor knows an old home, and follows.
			at, record := home, id(rng.IntN(records))
			for hops := 0; at != ""; hops++ {
				if hops == 200 {
					return fmt.Errorf("record %s is never at home", record)
				}
				err := b.update(string(at), func(tx store.Tx) (err error) {
					at, err = edit(tx, at, record, increment)
					return err
				})
				if err != nil {
					return err
				}
			}
		}
		return nil
	})
	total, live := 0, map[syncproto.RecordID]int{}
	for _, scope := range scopes {
		sequences := map[uint64]bool{}
		for _, r := range b.feed(scope, 0, math.MaxUint64) {
			if r.MovedTo == "" {
				live[r.ID]++
				total += counter(&r)
			}
		}
		b.view(func(r store.Reader) error {
			for n := range records {
				for c, err := range r.Changes(id(n)) {
					if err != nil {
						return err
					}
					if c.Scope == scope {
						sequences[c.Seq] = true
					}
				}
			}
			return nil
		})
		if head := b.head(scope); uint64(len(sequences)) != head {
			b.Errorf("scope %s has %d journal entries and head %d", scope, len(sequences), head)
		}
	}
	if total != editors*edits {
		b.Errorf("%d of %d edits are left", total, editors*edits)
	}
	for n := range records {
		if live[id(n)] != 1 {
			b.Errorf("record %d has %d live rows", n, live[id(n)])
		}
	}
}

// companions: headquarters shows a record with the fields that phones may not
// hold; a companion that has left by a move is not shown twice.
func companions(b *bench) {
	main := row(home, id(1), 0)
	t, h := row(task, id(2), 0), row(secret, id(3), 0)
	t.Of, h.Of = id(1), id(1)
	b.add(main, row(home, id(4), 0))
	b.add(t)
	b.add(h)
	b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{string(task), "35.24.02/T"}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, move(tx, task, "35.24.02/T", id(2))
	}}))
	b.view(func(r store.Reader) error {
		rows, err := r.Companions(id(1))
		got := map[syncproto.RecordID]syncproto.Scope{}
		for _, r := range rows {
			got[r.ID] = r.Scope
		}
		want := map[syncproto.RecordID]syncproto.Scope{id(2): "35.24.02/T", id(3): secret}
		if diff := cmp.Diff(want, got); diff != "" || len(rows) != 2 {
			b.Errorf("companions (-want +got):\n%s", diff)
		}
		if none, err := r.Companions(id(4)); err != nil || len(none) != 0 {
			b.Errorf("companions of a record without: %v, %v", none, err)
		}
		return err
	})
}
