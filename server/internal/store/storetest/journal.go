package storetest

import (
	"crypto/sha256"
	"math"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func journalCases() []testCase {
	return []testCase{
		{"the journal is appended to and never changed", appendOnly},
		{"changes of a record come in order of time from all scopes", changeOrder},
		{"past writes come in order of their clock and are kept once", pastWriteOrder},
		{"erasing takes the payload and keeps every digest", erase},
	}
}

// past is an overwritten write of replica 1.
func past(scope syncproto.Scope, id syncproto.RecordID, n uint64) store.PastWrite {
	return pastAt(scope, id, syncproto.Dot{Replica: 1, N: n}, syncproto.HLC(n), `"old"`)
}

func pastAt(scope syncproto.Scope, id syncproto.RecordID, dot syncproto.Dot, hlc syncproto.HLC, value string) store.PastWrite {
	return store.PastWrite{
		Scope: scope, ID: id, Path: "a/b", Dot: dot, HLC: hlc, Value: []byte(value), Step: syncproto.StepOf(id, "a/b", dot, hlc, sha256.Sum256([]byte(value))),
		Device: "device-1", Officer: "officer-1", Agency: "imigrasi", At: 5,
	}
}

// appendOnly: the journal is evidence. A second entry at a sequence, or an
// entry for a sequence of the past, rewrites it.
func appendOnly(b *bench) {
	b.add(row(home, id(1), 0), row(home, id(2), 0))
	for name, c := range map[string]store.Change{
		"the same entry again":               change(row(home, id(1), 1)),
		"another record at a taken sequence": change(row(home, id(9), 2)),
	} {
		if err := b.update(string(home), func(tx store.Tx) error { return tx.Append(home, []store.Change{c}) }); err == nil {
			b.Errorf("%s was accepted", name)
		}
	}
	if err := b.update(string(home), func(tx store.Tx) error {
		if err := put(tx, row(home, id(3), 3)); err != nil {
			return err
		}
		return tx.Append(home, []store.Change{change(row(home, id(3), 3))})
	}); err == nil {
		b.Error("two entries at one sequence in one step were accepted")
	}
	b.view(func(r store.Reader) error {
		got, err := all(r.Changes(id(1)))
		if diff := cmp.Diff([]store.Change{change(row(home, id(1), 1))}, got); diff != "" {
			b.Errorf("changes (-want +got):\n%s", diff)
		}
		return err
	})
}

// changeOrder: headquarters reads the life of a record across its homes.
func changeOrder(b *bench) {
	var want []store.Change
	write := func(scope syncproto.Scope, seq uint64, at int64) {
		c := change(row(scope, id(1), seq))
		c.At = at
		want = append(want, c)
		b.must(b.update(string(scope), func(tx store.Tx) error {
			r := row(scope, id(1), seq)
			if scope != next {
				r.MovedTo = next
			}
			if err := tx.Put(scope, []store.Row{r}); err != nil {
				return err
			}
			return tx.Append(scope, []store.Change{c})
		}))
	}
	// Equal times, then times that run backwards: a server's clock was set.
	write(home, 1, 50)
	write(next, 1, 50)
	write(far, 1, 50)
	write(home, 2, 40)
	write(home, 3, math.MaxInt64)
	write(next, 2, 60)
	b.add(row(home, id(2), 0)) // of another record
	slices.SortStableFunc(want, func(x, y store.Change) int {
		switch {
		case x.At != y.At:
			return int(min(max(x.At-y.At, -1), 1))
		case x.Scope != y.Scope:
			return strings.Compare(string(x.Scope), string(y.Scope))
		}
		return int(x.Seq) - int(y.Seq) //nolint:gosec // small
	})
	b.view(func(r store.Reader) error {
		got, err := all(r.Changes(id(1)))
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("changes (-want +got):\n%s", diff)
		}
		return err
	})
}

// pastWriteOrder: a clock is a number of 64 bits without sign: a phone that
// lives in the year 8000 sets the highest one. What is kept once is what came
// first, or a phone could rewrite its history.
func pastWriteOrder(b *bench) {
	b.add(row(home, id(1), 0))
	dot := func(r, n uint64) syncproto.Dot { return syncproto.Dot{Replica: syncproto.ReplicaID(r), N: n} }
	want := []store.PastWrite{
		pastAt(home, id(1), dot(math.MaxUint64, 2), 0, `1`),
		pastAt(home, id(1), dot(1, 7), 9, `{"a":"b"}`),
		pastAt(next, id(1), dot(1, 8), 9, `null`),
		pastAt(home, id(1), dot(2, 7), 9, `""`),
		pastAt(home, id(1), dot(1, syncproto.MaxCounter), math.MaxInt64, `"x"`),
		pastAt(home, id(1), dot(1<<63, 1), 1<<63, `"y"`),
		pastAt(home, id(1), dot(1<<63, 2), math.MaxUint64, `"z"`),
	}
	byScope := map[syncproto.Scope][]store.PastWrite{}
	for _, w := range slices.Backward(want) {
		byScope[w.Scope] = append(byScope[w.Scope], w)
	}
	byScope[home] = append(byScope[home], pastAt(home, id(2), dot(3, 1), 1, `"of another record"`))
	for scope, writes := range byScope {
		b.must(b.update(string(scope), func(tx store.Tx) error { return tx.AppendHistory(scope, writes) }))
	}
	again := pastAt(home, id(1), dot(1, 7), 11, `"rewritten"`)
	b.must(b.update(string(home), func(tx store.Tx) error { return tx.AppendHistory(home, []store.PastWrite{again}) }))
	b.view(func(r store.Reader) error {
		got, err := all(r.PastWrites(id(1)))
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("past writes (-want +got):\n%s", diff)
		}
		return err
	})
}

// erase: the law demands that content goes, and the journal that it can be
// shown that something was there, and when.
func erase(b *bench) {
	b.add(row(home, id(1), 0), row(home, id(2), 0), row(home, id(1), 0))
	b.must(b.update(string(home), func(tx store.Tx) error {
		return tx.AppendHistory(home, []store.PastWrite{past(home, id(1), 1), past(home, id(2), 2)})
	}))
	b.must(b.update(string(next), func(tx store.Tx) error {
		return tx.AppendHistory(next, []store.PastWrite{past(next, id(1), 3)})
	}))
	type journal struct {
		changes []store.Change
		past    []store.PastWrite
	}
	read := func(n int) (j journal) {
		b.view(func(r store.Reader) (err error) {
			if j.changes, err = all(r.Changes(id(n))); err != nil {
				return err
			}
			j.past, err = all(r.PastWrites(id(n)))
			return err
		})
		return j
	}
	want, untouched := read(1), read(2)
	for i := range want.changes {
		want.changes[i].Ops = nil
	}
	want.past[0].Value = nil // the one of the scope that was named; the other waits for its own step
	for range 2 {
		b.must(b.update(string(home), func(tx store.Tx) error { return tx.Erase(home, id(1)) }))
		if diff := cmp.Diff(want, read(1), cmp.AllowUnexported(journal{}), cmpopts.EquateEmpty()); diff != "" {
			b.Errorf("journal of the erased record (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff(untouched, read(2), cmp.AllowUnexported(journal{}), cmpopts.EquateEmpty()); diff != "" {
		b.Errorf("journal of another record (-want +got):\n%s", diff)
	}
	if want.changes[0].Digest == (syncproto.Digest{}) || want.past[0].Step == (syncproto.Digest{}) {
		b.Error("the digests are empty")
	}
}
