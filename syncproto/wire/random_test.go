package wire_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// randomDelta makes a well-formed delta of any shape: several siblings,
// elided ones, suspects, floors, wide times, more for later versions.
func randomDelta(t *testing.T, rng *rand.Rand) syncproto.Delta {
	t.Helper()
	replicas := []syncproto.ReplicaID{1, 0x80, 1 << 40, 1<<64 - 1, 77, 78}[:1+rng.IntN(6)]
	var dots []syncproto.Dot
	for _, r := range replicas {
		dots = append(dots, syncproto.Dot{Replica: r, N: 1 + rng.Uint64N(1<<rng.IntN(53))})
	}
	ctx := vector(t, dots)
	below := func() syncproto.VV {
		var out []syncproto.Dot
		for _, d := range dots {
			if rng.IntN(2) == 0 {
				out = append(out, syncproto.Dot{Replica: d.Replica, N: 1 + rng.Uint64N(d.N)})
			}
		}
		return vector(t, out)
	}
	base, floor := below(), syncproto.VV{}
	if rng.IntN(4) == 0 {
		floor = below()
	}
	var fields []syncproto.Field
	for i := range rng.IntN(8) {
		f := syncproto.Field{Path: fmt.Sprintf("%c/%d", 'a'+i, rng.IntN(3))}
		for range 1 + rng.IntN(3) {
			d := dots[rng.IntN(len(dots))]
			s := syncproto.Sibling{Dot: syncproto.Dot{Replica: d.Replica, N: 1 + rng.Uint64N(d.N)}, HLC: syncproto.HLC(rng.Uint64() >> rng.IntN(64)), Suspect: rng.IntN(5) == 0}
			if !base.Covers(s.Dot) || rng.IntN(2) == 0 {
				s.Value = syncproto.MustValue([]any{nil, 1.5, "é\n", map[string]any{"a": []int{1}}}[rng.IntN(4)])
			}
			if rng.IntN(8) == 0 {
				s.Extra = string(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), rng.Uint64()))
			}
			f.Siblings = append(f.Siblings, s)
		}
		slices.SortFunc(f.Siblings, func(a, b syncproto.Sibling) int {
			return cmp.Or(cmp.Compare(a.Dot.Replica, b.Dot.Replica), cmp.Compare(a.Dot.N, b.Dot.N))
		})
		f.Siblings = slices.CompactFunc(f.Siblings, func(a, b syncproto.Sibling) bool { return a.Dot == b.Dot })
		fields = append(fields, f)
	}
	id := syncproto.RecordID{1}
	for i := range id {
		id[i] |= byte(rng.Uint32())
	}
	d, err := syncproto.NewDelta(id, base, ctx, floor, fields)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func vector(t *testing.T, dots []syncproto.Dot) syncproto.VV {
	t.Helper()
	v, err := syncproto.NewVV(dots...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestDeltasOfAnyShapeComeBack: in a frame among others, kept alone, in the
// journal, and as a state.
func TestDeltasOfAnyShapeComeBack(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 9))
		e := wire.NewEncoder(syncproto.HLC(rng.Uint64()))
		var deltas []syncproto.Delta
		b := &wire.Batch{}
		for range 5 {
			d := randomDelta(t, rng)
			deltas = append(deltas, d)
			b.Items = append(b.Items, &wire.Item{Scope: e.Scope([]syncproto.Scope{"35.24.14", "35.24.15/T"}[rng.IntN(2)]), Delta: e.Delta(d)})
		}
		b.Tables = e.Tables()
		dec, err := wire.NewDecoder(b.Tables)
		if err != nil {
			t.Fatal(err)
		}
		if n := proto.Size(b); n > e.Size()+8*len(b.Items) {
			t.Errorf("seed %d: %d bytes, Size says %d", seed, n, e.Size())
		}
		for i, want := range deltas {
			got, err := dec.Delta(b.Items[i].Delta)
			if err != nil || !equalDeltas(got, want) {
				t.Fatalf("seed %d: item %d differs: %v", seed, i, err)
			}
			raw, err := wire.EncodeQuarantined(b.Tables, b.Items[i])
			if err != nil {
				t.Fatal(err)
			}
			tables, item, err := wire.DecodeQuarantined(raw)
			if err != nil {
				t.Fatal(err)
			}
			alone, err := wire.NewDecoder(tables)
			if err != nil {
				t.Fatal(err)
			}
			if kept, err := alone.Delta(item.Delta); err != nil || !equalDeltas(kept, want) {
				t.Fatalf("seed %d: kept item %d differs: %v", seed, i, err)
			}
			row, err := wire.EncodeChange(want)
			if err != nil {
				t.Fatal(err)
			}
			if accepted, _, err := wire.DecodeChange(row); err != nil || !equalDeltas(accepted, want) {
				t.Fatalf("seed %d: journal row %d differs: %v", seed, i, err)
			}
			if n := len(row); n > wire.DeltaSize(want) {
				t.Errorf("seed %d: %d bytes, DeltaSize says %d", seed, n, wire.DeltaSize(want))
			}
			checkState(t, seed, want)
		}
	}
}

// checkState stores the delta as a state, if it can be one.
func checkState(t *testing.T, seed uint64, d syncproto.Delta) {
	t.Helper()
	full, err := syncproto.NewDelta(d.ID(), syncproto.VV{}, d.Context(), d.Floor(), slices.Collect(d.Fields()))
	if err != nil {
		return // something is elided
	}
	c, err := syncproto.Apply(syncproto.NewRecord(d.ID()), full)
	if err != nil {
		t.Fatal(err)
	}
	stamps := make([]uint64, c.Record.Len())
	for i := range stamps {
		stamps[i] = uint64(i) << 30
	}
	state, err := wire.EncodeState(c.Record, stamps, seed)
	if err != nil {
		t.Fatal(err)
	}
	back, got, entered, err := wire.DecodeState(state)
	if err != nil || !back.Equal(c.Record) || !slices.Equal(got, stamps) || entered != seed {
		t.Fatalf("seed %d: state differs: %v", seed, err)
	}
	if general := generalState(t, c.Record, stamps, seed); !bytes.Equal(general, state) {
		t.Fatalf("seed %d: by hand\n%x\nin general\n%x", seed, state, general)
	}
}
