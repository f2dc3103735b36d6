package syncproto_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

// event is what the oracle knows of one write, from outside the code under
// test.
type event struct {
	path  string
	dot   syncproto.Dot
	hlc   syncproto.HLC
	value string
	// kills are the dots that the writer saw at the path.
	kills []syncproto.Dot
	// seen is what the writer knew of the record before his transaction.
	seen map[syncproto.Dot]bool
}

// history is one record on several replicas with a common oracle. A replica's
// known set holds the events that reached it, by whatever way.
type history struct {
	t       *testing.T
	rng     *rand.Rand
	id      syncproto.RecordID
	events  map[syncproto.Dot]event
	minters []syncproto.Minter
	records []syncproto.Record
	known   []map[syncproto.Dot]bool
	purged  []map[syncproto.Dot]bool // per replica: dots that purges it knows of had seen
	past    []syncproto.Record       // states that existed, of any replica
	pastOf  []map[syncproto.Dot]bool
	clock   int64
}

var historyPaths = []string{syncproto.PathScope, syncproto.PathKind, syncproto.PathDel, "a", "b", "foreigners/9c1f/name", "foreigners/9c1f/$del", "z"}

func newHistory(t *testing.T, rng *rand.Rand, replicas int) *history {
	h := &history{t: t, rng: rng, events: map[syncproto.Dot]event{}, clock: 1_773_110_530_000}
	for i := range h.id {
		h.id[i] = byte(rng.Uint32())
	}
	for range replicas {
		h.minters = append(h.minters, syncproto.NewMinter(syncproto.ReplicaID(rng.Uint64()|1), 0))
		h.records = append(h.records, syncproto.NewRecord(h.id))
		h.known = append(h.known, map[syncproto.Dot]bool{})
		h.purged = append(h.purged, map[syncproto.Dot]bool{})
	}
	return h
}

// step does one thing that honest replicas do.
func (h *history) step() {
	h.clock += h.rng.Int64N(1000)
	r := h.rng.IntN(len(h.records))
	switch p := h.rng.IntN(100); {
	case p < 40:
		h.write(r)
	case p < 97 || h.records[0].IsZero():
		h.exchange(r, h.rng.IntN(len(h.records)))
	default:
		h.purge(0) // the server's right alone
	}
	h.check(r)
}

func (h *history) value(path string, r int) syncproto.Value {
	switch {
	case strings.HasSuffix(path, syncproto.PathDel):
		return syncproto.Deletion{Deleted: h.rng.IntN(3) > 0, Seen: h.records[r].Context()}.Value()
	case h.rng.IntN(8) == 0:
		return syncproto.Null
	}
	return syncproto.MustValue(h.rng.IntN(5))
}

func (h *history) write(r int) {
	var writes []syncproto.Write
	for range 1 + h.rng.IntN(3) {
		p := historyPaths[h.rng.IntN(len(historyPaths))]
		writes = append(writes, syncproto.Write{Path: p, Value: h.value(p, r)})
	}
	before := h.records[r]
	own := before.Context().Get(h.minters[r].Replica())
	rec, m, mints, over, err := h.minters[r].Write(before, own, h.clock+h.rng.Int64N(5_000_000)-2_500_000, writes...)
	if err != nil {
		h.t.Fatalf("write: %v", err)
	}
	h.records[r], h.minters[r] = rec, m
	h.minted(r, before, mints)
	// Whatever a write replaced is told, so that it can be kept as history.
	replaced := map[syncproto.Dot]bool{}
	for _, o := range over {
		replaced[o.Sibling.Dot] = true
	}
	for _, m := range mints {
		for _, k := range h.events[m.Dot].kills {
			if !replaced[k] {
				h.t.Fatalf("write replaced %s at %s without telling", k, m.Path)
			}
		}
	}
}

// minted enters mints of a transaction that began at before.
func (h *history) minted(r int, before syncproto.Record, mints []syncproto.Mint) {
	shown := map[string][]syncproto.Dot{}
	for f := range before.Fields() {
		for _, s := range f.Siblings {
			shown[f.Path] = append(shown[f.Path], s.Dot)
		}
	}
	seen := maps.Clone(h.known[r])
	for _, m := range mints {
		if _, twice := h.events[m.Dot]; twice {
			h.t.Fatalf("dot %s minted twice", m.Dot)
		}
		h.events[m.Dot] = event{m.Path, m.Dot, m.HLC, m.Value.JSON(), shown[m.Path], seen}
		shown[m.Path] = []syncproto.Dot{m.Dot}
		h.known[r][m.Dot] = true
	}
	h.remember(r)
}

func (h *history) purge(r int) {
	before := h.records[r]
	rec, m, mints, err := syncproto.Purge(before, h.minters[r], h.clock, syncproto.MustValue("retensi"))
	if err != nil {
		h.t.Fatalf("purge: %v", err)
	}
	for d := range h.known[r] {
		h.purged[r][d] = true
	}
	h.records[r], h.minters[r] = rec, m
	h.minted(r, before, mints)
}

// exchange sends from one replica to another what some hint says, good or
// bad, and the full state if that was too little.
func (h *history) exchange(from, to int) {
	d := h.delta(h.records[from])
	change, err := syncproto.Apply(h.records[to], d)
	if syncproto.CodeOf(err) == syncproto.CodeNeedFull {
		d = h.records[from].Full()
		if h.records[from].IsZero() {
			return
		}
		change, err = syncproto.Apply(h.records[to], d)
	}
	if err != nil {
		h.t.Fatalf("apply %v to %v: %v", d, h.records[to], err)
	}
	h.records[to] = change.Record
	maps.Copy(h.known[to], h.known[from])
	maps.Copy(h.purged[to], h.purged[from])
	h.remember(to)
}

func (h *history) remember(r int) {
	if h.rng.IntN(4) == 0 && len(h.past) < 60 {
		h.past = append(h.past, h.records[r])
		h.pastOf = append(h.pastOf, maps.Clone(h.known[r]))
	}
}

// delta makes a delta by an arbitrary hint or an arbitrary choice of paths.
func (h *history) delta(r syncproto.Record) syncproto.Delta {
	switch h.rng.IntN(4) {
	case 0:
		return r.Full()
	case 1:
		return r.DeltaOf(func(string) bool { return h.rng.IntN(2) == 0 })
	case 2:
		return r.Delta(h.vector())
	}
	return r.Delta(h.vector(), historyPaths[h.rng.IntN(len(historyPaths))])
}

// vector returns somebody's context, or nonsense.
func (h *history) vector() syncproto.VV {
	if h.rng.IntN(2) == 0 {
		return h.records[h.rng.IntN(len(h.records))].Context()
	}
	var dots []syncproto.Dot
	for _, m := range h.minters {
		if n := h.rng.Uint64N(m.N() + 2); n > 0 {
			dots = append(dots, syncproto.Dot{Replica: m.Replica(), N: n})
		}
	}
	v, err := syncproto.NewVV(dots...)
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

// check compares a replica's state with what the oracle says it must be.
func (h *history) check(r int) {
	h.t.Helper()
	killed := map[syncproto.Dot]bool{}
	for d := range h.known[r] {
		for _, k := range h.events[d].kills {
			killed[k] = true
		}
	}
	want := map[string]bool{}
	for d := range h.known[r] {
		e := h.events[d]
		if killed[d] || h.purged[r][d] && e.path[0] != '$' {
			continue
		}
		want[fmt.Sprint(e.path, " ", d, " ", e.hlc, " ", e.value)] = true
		if !h.records[r].Context().Covers(d) {
			h.t.Fatalf("context of replica %d lacks %s", r, d)
		}
	}
	got := map[string]bool{}
	for f := range h.records[r].Fields() {
		for _, s := range f.Siblings {
			got[fmt.Sprint(f.Path, " ", s.Dot, " ", s.HLC, " ", s.Value.JSON())] = true
		}
	}
	if !maps.Equal(got, want) {
		h.t.Fatalf("replica %d shows\n%v\nwant\n%v", r, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

// eachHistory runs fn on random histories; a failure names the seed.
func eachHistory(t *testing.T, seeds, steps int, fn func(t *testing.T, h *history)) {
	for seed := range uint64(seeds) {
		if ok := t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			h := newHistory(t, rng, 2+rng.IntN(4))
			for range steps {
				h.step()
			}
			fn(t, h)
		}); !ok {
			return
		}
	}
}
