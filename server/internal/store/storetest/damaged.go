package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// RunDamaged runs the cases of an engine whose rows can be damaged below it.
// open returns a fresh, empty store, which the suite closes, and a function
// that changes the content of one row past the store: the state and document
// of a record, the payload of a change, past write, message or receipt.
func RunDamaged(t *testing.T, open func(t *testing.T) (s store.Store, spoil func(store.Damage))) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*damaged)
	}{
		{"a damaged record is listed without content among the sound ones", damagedRecord},
		{"a damaged record is found where it lies unless a sound one is elsewhere", damagedLocation},
		{"a damaged record is whole again when it is written again", damagedRewritten},
		{"a damaged entry of a journal does not hide the others", damagedJournal},
		{"a damaged message is in the inbox and can't be decided", damagedMessage},
		{"a damaged receipt is no receipt", damagedReceipt},
		{"check names every damaged row and nothing that it holds", damagedCheck},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, spoil := open(t)
			d := &damaged{bench: &bench{T: t, s: s}, spoil: spoil}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			c.run(d)
		})
	}
}

// damaged is a bench whose store is not checked at the end.
type damaged struct {
	*bench
	spoil func(store.Damage)
}

// some adds n records to a scope and returns their rows.
func (d *damaged) some(scope syncproto.Scope, n int) []store.Row {
	d.Helper()
	for i := range n {
		d.add(row(scope, id(i), 0))
	}
	return d.feed(scope, 0, uint64(n)) //nolint:gosec // small
}

// like is what a damaged row shows of itself.
func like(r store.Row) store.Row {
	return store.Row{Scope: r.Scope, ID: r.ID, Seq: r.Seq, UpdatedAt: r.UpdatedAt, Damaged: true}
}

// sameButDamaged compares rows with those that went in, of which the one with
// the sequence seq was spoilt. Where a list does not need a key, it may be
// missing from a damaged row.
func (d *damaged) sameButDamaged(what string, in []store.Row, seq uint64, got []store.Row) {
	d.Helper()
	want := slices.Clone(in)
	for i := range want {
		if want[i].Seq == seq {
			want[i] = like(want[i])
		}
	}
	got = slices.Clone(got)
	for i := range got {
		if got[i].Damaged && got[i].UpdatedAt == 0 {
			got[i].UpdatedAt = want[i].UpdatedAt
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		d.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// damagedRecord: one bad sector must not stop an officer's day, and what it
// held must be shown to nobody.
func damagedRecord(d *damaged) {
	in := d.some(home, 5)
	d.spoil(store.Damage{Table: "records", Scope: string(home), Seq: 3})
	d.sameButDamaged("feed", in, 3, d.feed(home, 0, 5))
	d.sameButDamaged("feed that begins at it", in[2:], 3, d.feed(home, 2, 5))
	ids := make([]syncproto.RecordID, len(in))
	for i := range in {
		ids[i] = in[i].ID
	}
	bySeq := func(rows []store.Row) []store.Row {
		slices.SortFunc(rows, func(a, b store.Row) int { return int(a.Seq) - int(b.Seq) }) //nolint:gosec // small
		return rows
	}
	d.view(func(r store.Reader) error {
		live, err := r.Live(ids)
		d.sameButDamaged("live rows", in, 3, bySeq(live))
		if err != nil {
			return err
		}
		log, err := r.Log(store.Filter{Grants: everywhere(), Now: 1}, nil, 10)
		d.sameButDamaged("log", in, 3, bySeq(log))
		if err != nil {
			return err
		}
		// A page that ends at the damaged row leads on to the next.
		var paged []store.Row
		var after *store.LogKey
		for range in {
			page, err := r.Log(store.Filter{Grants: everywhere(), Now: 1}, after, 1)
			if err != nil || len(page) != 1 {
				return fmt.Errorf("page of %d rows: %w", len(page), err)
			}
			paged = append(paged, page[0])
			after = &store.LogKey{UpdatedAt: page[0].UpdatedAt, Scope: page[0].Scope, Seq: page[0].Seq}
		}
		d.sameButDamaged("log in pages", in, 3, bySeq(paged))
		st, err := r.Stats()
		if st.Damaged != 1 {
			d.Errorf("%d damaged rows are counted, want 1", st.Damaged)
		}
		return err
	})
	d.must(d.update(string(home), func(tx store.Tx) error {
		rows, err := tx.Records(home, ids)
		d.sameButDamaged("records", in, 3, bySeq(rows))
		return err
	}))
	broken := in[2]
	broken.Damaged = true
	if err := broken.Damage(); !errors.Is(err, store.ErrDamaged) || strings.Contains(err.Error(), broken.Kind) {
		d.Errorf("the error of a damaged row is %v", err)
	}
}

// damagedLocation: whether a damaged row was a marker can't be known. A sound
// row elsewhere says that it was.
func damagedLocation(d *damaged) {
	d.some(home, 2)
	d.must(d.s.Update(d.Context(), store.Step{Scopes: []string{string(home), string(next)}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, move(tx, home, next, id(0))
	}}))
	d.spoil(store.Damage{Table: "records", Scope: string(home), Seq: 2}) // the record that stayed
	d.spoil(store.Damage{Table: "records", Scope: string(home), Seq: 3}) // the marker of the one that left
	d.must(d.update(string(home), func(tx store.Tx) error {
		at, err := tx.Locate([]syncproto.RecordID{id(0), id(1), id(9)})
		if diff := cmp.Diff(map[syncproto.RecordID]syncproto.Scope{id(0): next, id(1): home}, at); diff != "" {
			d.Errorf("located (-want +got):\n%s", diff)
		}
		return err
	}))
}

// damagedRewritten: repair is a write like any other, and reaches the feeds.
func damagedRewritten(d *damaged) {
	in := d.some(home, 3)
	d.spoil(store.Damage{Table: "records", Scope: string(home), Seq: 2})
	again := in[1]
	again.Seq = 4
	d.must(d.update(string(home), func(tx store.Tx) error { return tx.Put(home, []store.Row{again}) }))
	d.sameButDamaged("feed", []store.Row{in[0], in[2], again}, 0, d.feed(home, 0, 4))
	d.check()
}

// damagedJournal: the history of a record is evidence entry by entry.
func damagedJournal(d *damaged) {
	d.fill()
	d.must(d.update(string(home), func(tx store.Tx) error {
		_, err := edit(tx, home, id(1), func(*store.Row) {})
		return errors.Join(err, tx.AppendHistory(home, []store.PastWrite{past(home, id(1), 2)}))
	}))
	d.spoil(store.Damage{Table: "changes", Scope: string(home), Seq: 1})
	d.spoil(store.Damage{Table: "past_writes", Scope: string(home), Seq: 1})
	d.view(func(r store.Reader) error {
		changes, err := all(r.Changes(id(1)))
		if len(changes) < 2 || len(slices.DeleteFunc(slices.Clone(changes), func(c store.Change) bool { return !c.Damaged })) != 1 {
			d.Errorf("changes: %+v", changes)
		}
		for i := range changes {
			if c := &changes[i]; c.Damaged && (len(c.Ops) > 0 || c.Seq != 1 || c.ID != id(1) || !errors.Is(c.Damage(), store.ErrDamaged)) {
				d.Errorf("damaged change: %+v", c)
			}
		}
		if err != nil {
			return err
		}
		writes, err := all(r.PastWrites(id(1)))
		if len(writes) != 2 || !writes[0].Damaged || len(writes[0].Value) > 0 || writes[1].Damaged {
			d.Errorf("past writes: %+v", writes)
		}
		return err
	})
	// An erasure erases what is damaged, too, and makes nothing sound by it.
	d.must(d.update(string(home), func(tx store.Tx) error { return tx.Erase(home, id(1)) }))
	d.view(func(r store.Reader) error {
		changes, err := all(r.Changes(id(1)))
		for _, c := range changes {
			if c.Damaged != (c.Seq == 1) || len(c.Ops) > 0 {
				d.Errorf("change after the erasure: %+v", c)
			}
		}
		return err
	})
}

// damagedMessage: a decision about content that nobody can read any more would
// be about nothing.
func damagedMessage(d *damaged) {
	a, b := message("a", string(home), 1), message("b", string(next), 2)
	d.must(d.update(string(home), func(tx store.Tx) error { return tx.Quarantine(string(home), []store.Quarantined{a}) }))
	d.must(d.update(string(next), func(tx store.Tx) error { return tx.Quarantine(string(next), []store.Quarantined{b}) }))
	d.spoil(store.Damage{Table: "quarantine", Scope: string(next)})
	d.view(func(r store.Reader) error {
		inbox, err := r.Inbox("", nil, 10)
		if len(inbox) != 2 || !inbox[0].Damaged || inbox[0].Key != b.Key || len(inbox[0].Raw) > 0 || inbox[1].Damaged {
			d.Errorf("inbox: %+v", inbox)
		}
		if err != nil {
			return err
		}
		page, err := r.Inbox("", &b.Key, 10)
		if len(page) != 1 || page[0].Key != a.Key {
			d.Errorf("inbox after the damaged message: %+v", page)
		}
		if err != nil {
			return err
		}
		_, err = r.Message(b.Key)
		d.wants(err, store.ErrDamaged)
		return nil
	})
	err := d.update(string(next), func(tx store.Tx) error {
		return tx.SetQuarantineState(string(next), b.Key, store.QuarantineClosed, "reason", "officer-1", 3)
	})
	d.wants(err, store.ErrDamaged)
}

// damagedReceipt: what a device got is shown as it got it, or not at all.
func damagedReceipt(d *damaged) {
	d.fill()
	d.spoil(store.Damage{Table: "receipts", Scope: store.DeviceScope("device-1"), Seq: 1})
	d.view(func(r store.Reader) error {
		got, err := r.Receipts("device-1", 10)
		if diff := cmp.Diff([]store.Receipt{{N: 1, Damaged: true}}, got); diff != "" {
			d.Errorf("receipts (-want +got):\n%s", diff)
		}
		return err
	})
}

// damagedCheck: an operator has to know what to fetch from a backup.
func damagedCheck(d *damaged) {
	d.fill()
	want := map[string]bool{}
	for _, x := range []store.Damage{
		{Table: "records", Scope: string(home), Seq: 1, Key: id(1).String()},
		{Table: "changes", Scope: string(home), Seq: 1, Key: id(1).String()},
		{Table: "past_writes", Scope: string(home), Seq: 1, Key: id(1).String()},
		{Table: "receipts", Scope: store.DeviceScope("device-1"), Seq: 1},
	} {
		d.spoil(x)
		want[x.Error()] = true
	}
	err := d.s.Check(context.WithoutCancel(d.Context()), func(problem string) { delete(want, problem) })
	if err != nil || len(want) > 0 {
		d.Errorf("check did not say %v: %v", want, err)
	}
}
