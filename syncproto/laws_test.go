package syncproto_test

import (
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

func randomVV(t *testing.T, rng *rand.Rand) (syncproto.VV, map[syncproto.ReplicaID]uint64) {
	want := map[syncproto.ReplicaID]uint64{}
	for range rng.IntN(6) {
		want[syncproto.ReplicaID(1+rng.IntN(7))] = 1 + rng.Uint64N(4)
	}
	var dots []syncproto.Dot
	for r, n := range want { // in any order
		dots = append(dots, syncproto.Dot{Replica: r, N: n})
	}
	v, err := syncproto.NewVV(dots...)
	if err != nil {
		t.Fatal(err)
	}
	return v, want
}

// TestVersionVectorsAreALattice compares them with plain maps.
func TestVersionVectorsAreALattice(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 20_000 {
		a, am := randomVV(t, rng)
		b, bm := randomVV(t, rng)
		c, _ := randomVV(t, rng)
		lessEq := true
		for r, n := range am {
			lessEq = lessEq && n <= bm[r]
		}
		if a.LessEq(b) != lessEq {
			t.Fatalf("seed %d: %v <= %v is %t", seed, a, b, !lessEq)
		}
		if a.Equal(b) != maps.Equal(am, bm) || a.Equal(b) != (a.LessEq(b) && b.LessEq(a)) {
			t.Fatalf("seed %d: %v == %v", seed, a, b)
		}
		j := a.Join(b)
		want := maps.Clone(am)
		for r, n := range bm {
			want[r] = max(want[r], n)
		}
		for r := range syncproto.ReplicaID(9) {
			if j.Get(r) != want[r] {
				t.Fatalf("seed %d: %v v %v = %v", seed, a, b, j)
			}
			d := syncproto.Dot{Replica: r, N: 1 + rng.Uint64N(5)}
			if a.Covers(d) != (am[r] >= d.N) {
				t.Fatalf("seed %d: %v covers %v", seed, a, d)
			}
			w := a.With(d)
			if r > 0 && (w.Get(r) != max(am[r], d.N) || !a.LessEq(w)) {
				t.Fatalf("seed %d: %v with %v = %v", seed, a, d, w)
			}
		}
		if j.Len() != len(want) || !slices.IsSortedFunc(slices.Collect(j.All()), func(x, y syncproto.Dot) int {
			if x.Replica < y.Replica {
				return -1
			}
			return 1
		}) {
			t.Fatalf("seed %d: join %v is not in order", seed, j)
		}
		if !j.Equal(b.Join(a)) || !j.Join(c).Equal(a.Join(b.Join(c))) || !a.Join(a).Equal(a) || !a.LessEq(j) || !b.LessEq(j) {
			t.Fatalf("seed %d: laws of join, %v %v %v", seed, a, b, c)
		}
		if a.LessEq(c) && b.LessEq(c) && !j.LessEq(c) {
			t.Fatalf("seed %d: join is not the least upper bound", seed)
		}
		// No function changed its arguments.
		if again, _ := syncproto.NewVV(slices.Collect(a.All())...); !again.Equal(a) || a.Len() != len(am) {
			t.Fatalf("seed %d: a vector changed", seed)
		}
	}
}

func TestVectorsRefuseWhatIsNone(t *testing.T) {
	d := func(r syncproto.ReplicaID, n uint64) syncproto.Dot { return syncproto.Dot{Replica: r, N: n} }
	many := make([]syncproto.Dot, syncproto.MaxVectorEntries+1)
	for i := range many {
		many[i] = d(syncproto.ReplicaID(i+1), 1)
	}
	if _, err := syncproto.NewVV(many[1:]...); err != nil {
		t.Errorf("a vector at the limit: %v", err)
	}
	for name, c := range map[string]struct {
		dots []syncproto.Dot
		code syncproto.Code
	}{
		"zero replica":         {[]syncproto.Dot{d(0, 1)}, syncproto.CodeBadVector},
		"zero counter":         {[]syncproto.Dot{d(1, 0)}, syncproto.CodeBadVector},
		"counter above 2^53":   {[]syncproto.Dot{d(1, syncproto.MaxCounter+1)}, syncproto.CodeBadVector},
		"replica twice":        {[]syncproto.Dot{d(1, 1), d(2, 1), d(1, 2)}, syncproto.CodeBadVector},
		"more than its length": {many, syncproto.CodeTooMany},
	} {
		if _, err := syncproto.NewVV(c.dots...); syncproto.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestClocksNeverGoBack(t *testing.T) {
	const seed = 11
	rng := rand.New(rand.NewPCG(seed, 0))
	var h syncproto.HLC
	now := int64(1_773_110_530_000)
	for range 100_000 {
		now += rng.Int64N(2000) - 1000 // wall clocks do
		next := h.Next(now)
		if next <= h || next < syncproto.HLCFromMillis(now) {
			t.Fatalf("seed %d: %d after %d at %d", seed, next, h, now)
		}
		h = next
		remote := syncproto.HLCFromMillis(now + rng.Int64N(4_000_000) - 2_000_000)
		seen := h.Observe(remote, now, syncproto.ServerClockTolerance)
		if seen < h || seen != h && seen != remote {
			t.Fatalf("seed %d: observing %d after %d gives %d", seed, remote, h, seen)
		}
		if remote.Millis()-now > syncproto.ServerClockTolerance && seen != h {
			t.Fatalf("seed %d: a time %d ms ahead was adopted", seed, remote.Millis()-now)
		}
		if remote.Millis()-now <= syncproto.ServerClockTolerance && seen < remote {
			t.Fatalf("seed %d: a time within the tolerance was not adopted", seed)
		}
		h = seen
	}
	if got := syncproto.HLCFromMillis(-5); got != 0 {
		t.Errorf("before 1970: %d", got)
	}
	if got := syncproto.HLCFromMillis(math.MaxInt64).Millis(); got != 1<<48-1 {
		t.Errorf("the end of time: %d", got)
	}
	// When the counter of a millisecond is used up, the next one is borrowed.
	full := syncproto.HLCFromMillis(1000) + 0xffff
	if next := full.Next(1000); next.Millis() != 1001 {
		t.Errorf("after the last of a millisecond: %d", next.Millis())
	}
}

// TestOfConcurrentValuesTheLatestShows: ties go to the dot, and a suspect
// clock loses to any other.
func TestOfConcurrentValuesTheLatestShows(t *testing.T) {
	s := func(r syncproto.ReplicaID, hlc syncproto.HLC, suspect bool) syncproto.Sibling {
		return syncproto.Sibling{Dot: syncproto.Dot{Replica: r, N: 1}, HLC: hlc, Value: syncproto.MustValue(int(r)), Suspect: suspect}
	}
	for name, c := range map[string]struct {
		siblings []syncproto.Sibling
		want     syncproto.ReplicaID
	}{
		"the later one":                  {[]syncproto.Sibling{s(1, 9, false), s(2, 8, false)}, 1},
		"at a tie the greater dot":       {[]syncproto.Sibling{s(1, 9, false), s(2, 9, false)}, 2},
		"not the one from next year":     {[]syncproto.Sibling{s(1, 99, true), s(2, 8, false)}, 2},
		"unless all are from next year":  {[]syncproto.Sibling{s(1, 99, true), s(2, 98, true)}, 1},
		"suspicion does not depend on r": {[]syncproto.Sibling{s(1, 8, false), s(2, 99, true)}, 1},
	} {
		if got := (syncproto.Field{Path: "a", Siblings: c.siblings}).Latest().Dot.Replica; got != c.want {
			t.Errorf("%s: shows %d, want %d", name, got, c.want)
		}
	}
}
