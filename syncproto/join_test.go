package syncproto_test

import (
	"cmp"
	"maps"
	"slices"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

// textbookJoin joins two full states as the papers on multi-value registers
// do (Almeida et al., "Scalable and accurate causality tracking for eventually
// consistent stores", 2014), with sets and without any shortcut: keep what both
// have and what the other has not seen; then drop what the floors cover.
func textbookJoin(a, b syncproto.Record) map[string][]syncproto.Sibling {
	type key struct {
		path string
		dot  syncproto.Dot
	}
	set := func(r syncproto.Record) map[key]syncproto.Sibling {
		out := map[key]syncproto.Sibling{}
		for f := range r.Fields() {
			for _, s := range f.Siblings {
				out[key{f.Path, s.Dot}] = s
			}
		}
		return out
	}
	seen := func(v syncproto.VV, d syncproto.Dot) bool {
		for e := range v.All() {
			if e.Replica == d.Replica && d.N <= e.N {
				return true
			}
		}
		return false
	}
	as, bs := set(a), set(b)
	out := map[string][]syncproto.Sibling{}
	add := func(k key, s syncproto.Sibling) {
		if k.path[0] != '$' && (seen(a.Floor(), k.dot) || seen(b.Floor(), k.dot)) {
			return
		}
		out[k.path] = append(out[k.path], s)
	}
	for k, s := range as {
		if _, both := bs[k]; both || !seen(b.Context(), k.dot) {
			add(k, s)
		}
	}
	for k, s := range bs {
		if _, both := as[k]; !both && !seen(a.Context(), k.dot) {
			add(k, s)
		}
	}
	for _, ss := range out {
		slices.SortFunc(ss, func(x, y syncproto.Sibling) int {
			return cmp.Or(cmp.Compare(x.Dot.Replica, y.Dot.Replica), cmp.Compare(x.Dot.N, y.Dot.N))
		})
	}
	return out
}

func fieldsOf(r syncproto.Record) map[string][]syncproto.Sibling {
	out := map[string][]syncproto.Sibling{}
	for f := range r.Fields() {
		out[f.Path] = f.Siblings
	}
	return out
}

func join(t *testing.T, a, b syncproto.Record) syncproto.Record {
	t.Helper()
	if b.IsZero() {
		return a
	}
	c, err := syncproto.Apply(a, b.Full())
	if err != nil {
		t.Fatalf("join of honest states: %v", err)
	}
	if c.Changed == c.Record.Equal(a) {
		t.Fatalf("Changed is %t, but equal is %t", c.Changed, c.Record.Equal(a))
	}
	if !c.Changed && len(c.Paths) > 0 {
		t.Fatalf("unchanged, with paths %v", c.Paths)
	}
	return c.Record
}

// TestJoinIsASemilattice: every pair and triple of states that existed.
func TestJoinIsASemilattice(t *testing.T) {
	eachHistory(t, 60, 60, func(t *testing.T, h *history) {
		states := append(slices.Clone(h.past), h.records...)
		pick := func() syncproto.Record { return states[h.rng.IntN(len(states))] }
		for range 60 {
			a, b, c := pick(), pick(), pick()
			ab := join(t, a, b)
			if !ab.Equal(join(t, b, a)) {
				t.Fatalf("not commutative:\n%v\n%v", a, b)
			}
			if !join(t, ab, c).Equal(join(t, a, join(t, b, c))) {
				t.Fatalf("not associative:\n%v\n%v\n%v", a, b, c)
			}
			if !join(t, a, a).Equal(a) || !join(t, ab, b).Equal(ab) {
				t.Fatalf("not idempotent:\n%v\n%v", a, b)
			}
			want := textbookJoin(a, b)
			if got := fieldsOf(ab); !maps.EqualFunc(got, want, slices.Equal) {
				t.Fatalf("not the textbook's join of\n%v\n%v\ngot  %v\nwant %v", a, b, got, want)
			}
			if !ab.Context().Equal(a.Context().Join(b.Context())) || !ab.Floor().Equal(a.Floor().Join(b.Floor())) {
				t.Fatal("context or floor is not the join of both")
			}
		}
	})
}

// TestAChangeNamesExactlyThePathsThatDiffer: stamps and notifications rely on it.
func TestAChangeNamesExactlyThePathsThatDiffer(t *testing.T) {
	eachHistory(t, 60, 60, func(t *testing.T, h *history) {
		for _, a := range h.past {
			for _, b := range h.records {
				if b.IsZero() {
					continue
				}
				c, err := syncproto.Apply(a, b.Full())
				if err != nil {
					t.Fatal(err)
				}
				var want []string
				before, after := fieldsOf(a), fieldsOf(c.Record)
				for _, p := range historyPaths {
					if !slices.Equal(before[p], after[p]) {
						want = append(want, p)
					}
				}
				if before, after := before[syncproto.PathPurge], after[syncproto.PathPurge]; !slices.Equal(before, after) {
					want = append(want, syncproto.PathPurge)
				}
				slices.Sort(want)
				if !slices.Equal(c.Paths, want) {
					t.Fatalf("paths %v, want %v", c.Paths, want)
				}
			}
		}
	})
}

// TestADeltaIsTheFullJoinOrAsksForIt: theorem 3.1, for hints and choices of
// paths that have nothing to do with what the receiver knows.
func TestADeltaIsTheFullJoinOrAsksForIt(t *testing.T) {
	var applied, needFull, omitted, elided int
	eachHistory(t, 60, 60, func(t *testing.T, h *history) {
		states := append(slices.Clone(h.past), h.records...)
		for range 150 {
			from, to := states[h.rng.IntN(len(states))], states[h.rng.IntN(len(states))]
			if from.IsZero() {
				continue
			}
			d := h.delta(from)
			// What is left out, and only that, is in the base.
			for f := range from.Fields() {
				for _, s := range f.Siblings {
					if named := names(d, f.Path, s.Dot); !named && !d.Base().Covers(s.Dot) {
						t.Fatalf("dot %s is left out and not in the base", s.Dot)
					}
				}
			}
			if !d.Base().LessEq(from.Context()) || !d.Context().Equal(from.Context()) || !d.Floor().Equal(from.Floor()) {
				t.Fatal("base, context or floor is wrong")
			}
			c, err := syncproto.Apply(to, d)
			switch {
			case syncproto.CodeOf(err) == syncproto.CodeNeedFull:
				needFull++
				if d.IsFull() {
					t.Fatal("a full state asks for the full state")
				}
				continue
			case err != nil:
				t.Fatalf("honest delta: %v", err)
			}
			applied++
			omitted += from.Len() - d.Len()
			for f := range d.Fields() {
				for _, s := range f.Siblings {
					if s.Elided() {
						elided++
					}
				}
			}
			if want := join(t, to, from); !c.Record.Equal(want) {
				t.Fatalf("delta of\n%v\nbase %v to\n%v\ngives\n%v\nwant\n%v", from, d.Base(), to, c.Record, want)
			}
		}
	})
	t.Logf("%d deltas applied, %d need_full, %d paths left out, %d values elided", applied, needFull, omitted, elided)
	if applied == 0 || needFull == 0 || omitted == 0 || elided == 0 {
		t.Error("a case was never reached")
	}
}

func names(d syncproto.Delta, path string, dot syncproto.Dot) bool {
	for f := range d.Fields() {
		if f.Path == path {
			return slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return s.Dot == dot && !s.Elided() })
		}
	}
	return false
}

// TestHonestDeltasAreWellFormed: what NewDelta checks, honest deltas pass.
func TestHonestDeltasAreWellFormed(t *testing.T) {
	eachHistory(t, 60, 60, func(t *testing.T, h *history) {
		for _, r := range h.past {
			if r.IsZero() {
				continue
			}
			d := h.delta(r)
			if _, err := syncproto.NewDelta(d.ID(), d.Base(), d.Context(), d.Floor(), slices.Collect(d.Fields())); err != nil {
				t.Fatalf("%v: %v", d, err)
			}
		}
	})
}

// TestEverythingArrivesInAnyOrder: replaying all states that existed, in any
// order and doubled, gives everybody the same record, and that of the oracle.
func TestEverythingArrivesInAnyOrder(t *testing.T) {
	eachHistory(t, 50, 80, func(t *testing.T, h *history) {
		var first syncproto.Record
		for i := range h.records {
			states := append(slices.Clone(h.past), h.records...)
			states = append(states, states...)
			h.rng.Shuffle(len(states), func(i, j int) { states[i], states[j] = states[j], states[i] })
			r := h.records[i]
			for _, s := range states {
				r = join(t, r, s)
			}
			if i == 0 {
				first = r
			} else if !r.Equal(first) {
				t.Fatalf("replicas differ:\n%v\n%v", first, r)
			}
		}
		for i := range h.records {
			h.records[i] = first
			for j := range h.records {
				maps.Copy(h.known[i], h.known[j])
				maps.Copy(h.purged[i], h.purged[j])
			}
			h.check(i)
		}
	})
}
