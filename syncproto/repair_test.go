package syncproto_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

const day = 86_400_000

// phone is one replica's view of one record, for told stories.
type phone struct {
	t *testing.T
	m syncproto.Minter
	r syncproto.Record
}

func newPhone(t *testing.T, id syncproto.ReplicaID) *phone {
	return &phone{t, syncproto.NewMinter(id, 0), syncproto.NewRecord(syncproto.RecordID{15: 1})}
}

func (p *phone) write(at int64, path string, value any) {
	p.t.Helper()
	r, m, _, _, err := p.m.Write(p.r, 0, at, syncproto.Write{Path: path, Value: syncproto.MustValue(value)})
	if err != nil {
		p.t.Fatal(err)
	}
	p.r, p.m = r, m
}

func (p *phone) pull(from *phone) {
	p.t.Helper()
	c, err := syncproto.Apply(p.r, from.r.Full())
	if err != nil {
		p.t.Fatal(err)
	}
	p.r = c.Record
}

func (p *phone) shows(path string) []string {
	f, _ := p.r.Field(path)
	var out []string
	for _, s := range f.Siblings {
		out = append(out, s.Value.JSON())
	}
	slices.Sort(out)
	return out
}

func TestNothingRevivesWhatWasPurged(t *testing.T) {
	server, a, stale := newPhone(t, 9), newPhone(t, 1), newPhone(t, 2)
	a.write(day, syncproto.PathKind, "inspection")
	a.write(day, "findings", "satu")
	server.pull(a)
	stale.pull(server)
	old := stale.r
	a.write(2*day, "findings", "dua") // the server never sees this one before the purge

	r, m, mints, err := syncproto.Purge(server.r, server.m, 3*day, syncproto.MustValue("retensi"))
	if err != nil || len(mints) != 2 {
		t.Fatalf("%d mints, %v", len(mints), err)
	}
	server.r, server.m = r, m
	if !server.r.IsPurged() || len(server.shows("findings")) > 0 || server.r.Kind() != "inspection" || !server.r.Life().Deleted {
		t.Fatalf("after the purge: %v", server.r)
	}
	// The oldest state, in full, changes nothing; the purge erases it there.
	if c, err := syncproto.Apply(server.r, old.Full()); err != nil || c.Changed {
		t.Errorf("a stale state changed the purged record: %v %v", c.Record, err)
	}
	stale.pull(server)
	if !stale.r.Equal(server.r) {
		t.Errorf("the stale replica keeps %v", stale.r)
	}
	// What was written without knowing of the purge survives the algebra. (The
	// engine refuses it: plan of custody, not of merging.)
	server.pull(a)
	if got := server.shows("findings"); !slices.Equal(got, []string{`"dua"`}) {
		t.Errorf("unseen edit: %v", got)
	}
	if life := server.r.Life(); life.Deleted || !slices.Equal(life.Survivors, []string{"findings"}) {
		t.Errorf("life: %+v", life)
	}
}

// TestAFloorAloneIsAChange: what must be stored is never called unchanged.
func TestAFloorAloneIsAChange(t *testing.T) {
	a := newPhone(t, 1)
	a.write(day, syncproto.PathKind, "inspection")
	d, err := syncproto.NewDelta(a.r.ID(), syncproto.VV{}, a.r.Context(), a.r.Context(), slices.Collect(a.r.Fields()))
	if err != nil {
		t.Fatal(err)
	}
	c, err := syncproto.Apply(a.r, d)
	if err != nil || !c.Changed || !c.Record.IsPurged() || len(c.Paths) > 0 {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestDishonestStatesTrip(t *testing.T) {
	// A restored phone mints a dot that it has given to another write before.
	a := newPhone(t, 1)
	a.write(day, "a", 1)
	backup := *a
	server := newPhone(t, 9)
	a.write(2*day, "a", 2)
	server.pull(a)
	backup.write(2*day, "a", 3)
	if _, err := syncproto.Apply(server.r, backup.r.Full()); !errors.Is(err, syncproto.CodeEquivocation) {
		t.Errorf("one dot, two values: %v", err)
	}
	// And at another path: the first dot vanishes without a write in its place.
	backup = phone{t, a.m, a.r}
	backup.m = syncproto.ResumeMinter(1, 1, syncproto.Digest{}, 0)
	backup.r = syncproto.NewRecord(a.r.ID())
	backup.write(3*day, "b", 1)
	if _, err := syncproto.Apply(server.r, backup.r.Full()); !errors.Is(err, syncproto.CodeTripwire) {
		t.Errorf("a hole: %v", err)
	}
	// A state that has seen a write and neither shows nor bases it.
	empty, err := syncproto.NewDelta(server.r.ID(), syncproto.VV{}, server.r.Context(), syncproto.VV{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syncproto.Apply(server.r, empty); !errors.Is(err, syncproto.CodeTripwire) {
		t.Errorf("a register emptied without a write: %v", err)
	}
	// Two replicas that have seen the same show different siblings: whichever
	// of them joins the other would lose one.
	both, one := newPhone(t, 3), newPhone(t, 4)
	both.write(day, "a", 1)
	one.write(day, "a", 2)
	both.pull(one)
	f, _ := both.r.Field("a")
	less, err := syncproto.NewDelta(both.r.ID(), syncproto.VV{}, both.r.Context(), syncproto.VV{}, []syncproto.Field{{Path: "a", Siblings: f.Siblings[:1]}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syncproto.Apply(both.r, less); !errors.Is(err, syncproto.CodeTripwire) {
		t.Errorf("a sibling that vanishes here: %v", err)
	}
	c, err := syncproto.Apply(syncproto.NewRecord(both.r.ID()), less)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syncproto.Apply(c.Record, both.r.Full()); !errors.Is(err, syncproto.CodeTripwire) {
		t.Errorf("a sibling that vanished there: %v", err)
	}
}

func TestAHoleIsNotWrittenOn(t *testing.T) {
	a := newPhone(t, 1)
	a.write(day, "a", 1)
	// Evicted, and made again under its natural key: own write 1 is missing.
	_, _, _, _, err := a.m.Write(syncproto.NewRecord(a.r.ID()), 1, day, syncproto.Write{Path: "a", Value: syncproto.Null})
	if !errors.Is(err, syncproto.CodeHole) {
		t.Errorf("own writes missing: %v", err)
	}
	// The record knows more of this replica than it wrote: restored.
	_, _, _, _, err = syncproto.NewMinter(1, 0).Write(a.r, 0, day, syncproto.Write{Path: "a", Value: syncproto.Null})
	if !errors.Is(err, syncproto.CodeHole) {
		t.Errorf("a restored minter: %v", err)
	}
}

func TestAbsorbTakesOverEachValueOnce(t *testing.T) {
	server, a := newPhone(t, 9), newPhone(t, 1)
	server.write(day, "a", "pusat")
	server.write(day, "same", "sama")
	a.write(day, "a", "lapangan")
	a.write(day, "same", "sama")
	a.write(day, "b", 1)
	taken := map[syncproto.Dot]bool{}
	absorbed := func(_ string, s syncproto.Sibling) bool { return taken[s.Dot] }
	before := server.r
	r, m, mints := syncproto.Absorb(server.r, a.r.Full(), server.m, 2*day, absorbed)
	server.r, server.m = r, m
	if got := server.shows("a"); !slices.Equal(got, []string{`"lapangan"`, `"pusat"`}) {
		t.Errorf("a shows %v", got)
	}
	if got := server.shows("same"); len(got) != 1 {
		t.Errorf("an equal value was doubled: %v", got)
	}
	if len(mints) != 2 || !before.Context().LessEq(server.r.Context()) || server.r.Context().Get(9) != server.m.N() {
		t.Errorf("%d mints, context %v", len(mints), server.r.Context())
	}
	for f := range before.Fields() {
		after, _ := server.r.Field(f.Path)
		for _, s := range f.Siblings {
			if !slices.Contains(after.Siblings, s) {
				t.Errorf("absorb removed %v", s)
			}
		}
	}
	for f := range a.r.Fields() {
		for _, s := range f.Siblings {
			taken[s.Dot] = true
		}
	}
	again, _, mints := syncproto.Absorb(server.r, a.r.Full(), server.m, 3*day, absorbed)
	if len(mints) > 0 || !again.Equal(server.r) {
		t.Errorf("absorbing twice mints %d", len(mints))
	}
	// What it gives still joins, and everybody gets it.
	other := newPhone(t, 2)
	other.pull(server)
	if !other.r.Equal(server.r) {
		t.Error("the repaired record does not travel")
	}
}

func TestAFreshIdWritesTheForkedWritesAgain(t *testing.T) {
	server, a := newPhone(t, 9), newPhone(t, 1)
	a.write(day, "a", 1)
	server.pull(a)
	b := *a // a copy of the phone, which writes under the same id
	a.write(2*day, "a", 2)
	b.write(2*day, "a", 3)
	server.pull(a)
	r, m, mints := syncproto.Remint(b.r, 1, 1, syncproto.NewMinter(2, 0), 3*day)
	if len(mints) != 1 || mints[0].HLC != syncproto.HLCFromMillis(2*day) || mints[0].Dot.Replica != 2 {
		t.Fatalf("mints %v", mints)
	}
	b.r, b.m = r, m
	server.pull(&b)
	if got := server.shows("a"); !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("after the repair the server shows %v", got)
	}
	if again, _, mints := syncproto.Remint(b.r, 1, 1, m, 4*day); len(mints) > 0 || !again.Equal(b.r) {
		t.Error("a second repair changes something")
	}
}

func TestASkewedClockIsFlaggedAndNeverLosesAValue(t *testing.T) {
	server, a := newPhone(t, 9), newPhone(t, 1)
	a.write(400*day, "a", "tahun depan")
	a.write(0, "b", 1)
	before := a.r
	c, err := syncproto.Apply(server.r, a.r.Full())
	if err != nil {
		t.Fatal(err)
	}
	flagged, paths := syncproto.Flag(c.Record, syncproto.VV{}, 10*day)
	if !slices.Equal(paths, []string{"a", "b"}) { // b's clock follows a's
		t.Errorf("flagged %v", paths)
	}
	if !a.r.Equal(before) || !c.Record.Equal(before) {
		t.Error("flagging changed its argument")
	}
	if again, paths := syncproto.Flag(flagged, flagged.Context(), 10*day); len(paths) > 0 || !again.Equal(flagged) {
		t.Error("what was seen is not flagged again")
	}
	// The flag travels with the full state and never goes away.
	server.r = flagged
	a.pull(server)
	if f, _ := a.r.Field("a"); !f.Siblings[0].Suspect {
		t.Error("the phone does not learn of the flag")
	}
	if c, err := syncproto.Apply(flagged, before.Full()); err != nil || c.Changed {
		t.Errorf("an unflagged copy takes the flag away: %v", err)
	}
}

// TestTheChainIsWhatSpecSays recomputes the digests from their definition.
func TestTheChainIsWhatSpecSays(t *testing.T) {
	var b []byte
	id := syncproto.RecordID{0: 0xab, 15: 0xcd}
	dot := syncproto.Dot{Replica: 0x0102030405060708, N: 7}
	v := syncproto.MustValue("é")
	b = append(b, "sambang-mint"...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint16(b, 5)
	b = append(b, "a/b/c"...)
	b = binary.BigEndian.AppendUint64(b, 0x0102030405060708)
	b = binary.BigEndian.AppendUint64(b, 7)
	b = binary.BigEndian.AppendUint64(b, 99)
	h := sha256.Sum256([]byte(`"é"`))
	b = append(b, h[:]...)
	step := syncproto.Step(id, "a/b/c", dot, 99, v)
	if step != sha256.Sum256(b) || step != syncproto.StepOf(id, "a/b/c", dot, 99, h) {
		t.Errorf("step %x", step)
	}
	start := sha256.Sum256(append([]byte("sambang-chain"), 1, 2, 3, 4, 5, 6, 7, 8))
	if syncproto.ChainStart(dot.Replica) != start {
		t.Error("start of the chain")
	}
	if syncproto.Chain(start, step) != sha256.Sum256(append(start[:], step[:]...)) {
		t.Error("link of the chain")
	}
	// A minter's head is the chain over its mints.
	m := syncproto.NewMinter(dot.Replica, 0)
	_, m2, mints, _, err := m.Write(syncproto.NewRecord(id), 0, day,
		syncproto.Write{Path: "a", Value: v}, syncproto.Write{Path: "a", Value: syncproto.Null}, syncproto.Write{Path: "b", Value: v})
	if err != nil {
		t.Fatal(err)
	}
	head := syncproto.ChainStart(dot.Replica)
	for i, mint := range mints {
		head = syncproto.Chain(head, syncproto.Step(mint.Record, mint.Path, mint.Dot, mint.HLC, mint.Value))
		if mint.Head != head || mint.Dot.N != uint64(i+1) {
			t.Errorf("mint %d: head or counter", i)
		}
	}
	if m2.Head() != head || m2.N() != 3 || m.N() != 0 {
		t.Error("head of the minter, or the old one changed")
	}
}

func TestARefusedTransactionLeavesTheMinter(t *testing.T) {
	m := syncproto.NewMinter(1, 0)
	good := syncproto.Write{Path: "a", Value: syncproto.Null}
	for _, bad := range []syncproto.Write{{Path: "a//b", Value: syncproto.Null}, {Path: "b"}} {
		r, after, mints, _, err := m.Write(syncproto.NewRecord(syncproto.RecordID{15: 1}), 0, day, good, bad)
		if err == nil || after != m || len(mints) > 0 || !r.IsZero() {
			t.Errorf("%v: minter at %d, %d mints, %v", bad, after.N(), len(mints), err)
		}
	}
}

func TestARecordHasItsLimits(t *testing.T) {
	id := syncproto.RecordID{15: 1}
	m := syncproto.NewMinter(1, 0)
	var writes []syncproto.Write
	for i := range syncproto.MaxFields {
		writes = append(writes, syncproto.Write{Path: "f/" + string(rune('a'+i%26)) + "/" + syncproto.ReplicaID(i+1).String(), Value: syncproto.Null})
	}
	r, m, _, _, err := m.Write(syncproto.NewRecord(id), 0, day, writes...)
	if err != nil || r.Len() != syncproto.MaxFields {
		t.Fatalf("a record at the limit: %v", err)
	}
	if _, _, _, _, err := m.Write(r, 0, day, syncproto.Write{Path: "one too many", Value: syncproto.Null}); !errors.Is(err, syncproto.CodeTooMany) {
		t.Errorf("one field too many: %v", err)
	}
	other, _, _, _, err := syncproto.NewMinter(2, 0).Write(syncproto.NewRecord(id), 0, day, syncproto.Write{Path: "one too many", Value: syncproto.Null})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syncproto.Apply(r, other.Full()); !errors.Is(err, syncproto.CodeTooMany) {
		t.Errorf("one field too many by merging: %v", err)
	}
	// Siblings: one from each of as many replicas.
	all := syncproto.NewRecord(id)
	for i := range syncproto.MaxSiblings + 1 {
		one, _, _, _, err := syncproto.NewMinter(syncproto.ReplicaID(i+1), 0).Write(syncproto.NewRecord(id), 0, day, syncproto.Write{Path: "a", Value: syncproto.MustValue(i)})
		if err != nil {
			t.Fatal(err)
		}
		c, err := syncproto.Apply(all, one.Full())
		if i < syncproto.MaxSiblings && err != nil || i == syncproto.MaxSiblings && !errors.Is(err, syncproto.CodeTooMany) {
			t.Fatalf("sibling %d: %v", i+1, err)
		}
		if err == nil {
			all = c.Record
		}
	}
	// Replicas: a context that nobody could read again is not made.
	dots := make([]syncproto.Dot, syncproto.MaxVectorEntries)
	for i := range dots {
		dots[i] = syncproto.Dot{Replica: syncproto.ReplicaID(i + 1), N: 1}
	}
	full, err := syncproto.NewDelta(id, syncproto.VV{}, vv(t, dots...), syncproto.VV{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := syncproto.Apply(syncproto.NewRecord(id), full)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, _, err := syncproto.NewMinter(1<<40, 0).Write(c.Record, 0, day, writes[0]); !errors.Is(err, syncproto.CodeTooMany) {
		t.Errorf("one writer too many: %v", err)
	}
	one, _, _, _, err := syncproto.NewMinter(1<<40, 0).Write(syncproto.NewRecord(id), 0, day, writes[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syncproto.Apply(c.Record, one.Full()); !errors.Is(err, syncproto.CodeTooMany) {
		t.Errorf("one writer too many by merging: %v", err)
	}
	if _, _, _, _, err := syncproto.ResumeMinter(1, syncproto.MaxCounter, syncproto.Digest{}, 0).Write(syncproto.NewRecord(id), 0, day, writes[0]); !errors.Is(err, syncproto.CodeBadVector) {
		t.Errorf("counter beyond 2^53: %v", err)
	}
}
