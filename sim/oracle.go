package sim

import (
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
)

// event is one write of a person, or of the server. Its identity is what it
// says, not its dot: a repair may give the same write another dot.
type event struct {
	n      int // number, in order of observation
	uid    uid
	by     string
	dots   []syncproto.Dot
	kills  []*event // what was shown at the path when it was written
	killed []*event // the reverse
	// at is the state in which a write of the server was first seen: nobody
	// watched when it was made.
	at *syncproto.Record
	// lost says why nobody has to have the write any more; "" if it is required.
	lost string
}

type uid struct {
	record syncproto.RecordID
	path   string
	value  string
	hlc    syncproto.HLC
}

func (e *event) String() string {
	return fmt.Sprintf("e%d %s=%.40s by %s dots %v", e.n, e.uid.path, e.uid.value, e.by, e.dots)
}

// tainted says that the write may stand beside what replaced it: it was made
// again under another dot, by an absorbing repair or after a proven fork, or a
// device has forgotten that it saw it, because its replica was proven forked
// (4.8: costs possible false conflicts, loses nothing).
func (o *oracle) tainted(e *event) bool {
	return len(e.dots) > 1 || slices.ContainsFunc(e.dots, func(d syncproto.Dot) bool { return o.forked[d.Replica] })
}

// touched says that the record has writes of a replica that was proven forked.
// A device that forgets them, because its store is new to the server, has writes
// of others without what those replaced (4.8: false conflicts, nothing lost);
// who still has both then contradicts it, and a repair puts all side by side.
func (o *oracle) touched(id syncproto.RecordID) bool {
	return slices.ContainsFunc(o.records[id], func(e *event) bool {
		return slices.ContainsFunc(e.dots, func(d syncproto.Dot) bool { return o.forked[d.Replica] })
	})
}

// oracle knows every write and what it replaced.
type oracle struct {
	events  []*event
	byUID   map[uid]*event
	byDot   map[syncproto.Dot]*event
	records map[syncproto.RecordID][]*event
	purged  map[syncproto.RecordID]bool
	forked  map[syncproto.ReplicaID]bool // proven, by what devices say
}

func newOracle() *oracle {
	return &oracle{byUID: map[uid]*event{}, byDot: map[syncproto.Dot]*event{}, records: map[syncproto.RecordID][]*event{}, purged: map[syncproto.RecordID]bool{}, forked: map[syncproto.ReplicaID]bool{}}
}

func uidOf(id syncproto.RecordID, path string, s syncproto.Sibling) uid {
	return uid{id, path, s.Value.JSON(), s.HLC}
}

// written takes in a write under a new dot. An error says that the dot names
// another write already (I1).
func (o *oracle) written(by string, id syncproto.RecordID, path string, s syncproto.Sibling, kills []*event) (*event, error) {
	if old := o.byDot[s.Dot]; old != nil {
		return old, fmt.Errorf("I1: dot %s names two writes: %s and %s=%s", s.Dot, old, path, s.Value.JSON())
	}
	u := uidOf(id, path, s)
	e := o.byUID[u]
	if e == nil {
		e = &event{n: len(o.events), uid: u, by: by}
		o.events, o.byUID[u] = append(o.events, e), e
		o.records[id] = append(o.records[id], e)
	}
	e.dots, o.byDot[s.Dot] = append(e.dots, s.Dot), e
	for _, k := range kills {
		e.replaced(k)
	}
	return e, nil
}

// replaced notes that the write replaced another.
func (e *event) replaced(k *event) {
	if k != e && !slices.Contains(e.kills, k) {
		e.kills, k.killed = append(e.kills, k), append(k.killed, e)
	}
}

// hides reports whether the state covers the write under one of its dots and
// does not show that one.
func hides(r syncproto.Record, e *event) bool {
	f, _ := r.Field(e.uid.path)
	return slices.ContainsFunc(e.dots, func(d syncproto.Dot) bool {
		return r.Context().Covers(d) && !slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return s.Dot == d })
	})
}

// explain finds what replaced a write that was seen late, or late under a new
// dot: writes of the server whose states cover it, and show nothing else that
// did.
func (o *oracle) explain(e *event) {
	for _, f := range o.records[e.uid.record] {
		if f == e || f.at == nil || f.uid.path != e.uid.path || !hides(*f.at, e) {
			continue
		}
		have := map[*event]bool{}
		closure(have, o.visible(*f.at))
		if !have[e] || len(e.dots) > 1 {
			f.replaced(e)
		}
	}
}

// visible returns the writes that a state shows, per path in order.
func (o *oracle) visible(r syncproto.Record) []*event {
	var out []*event
	for f := range r.Fields() {
		for _, s := range f.Siblings {
			if e := o.byDot[s.Dot]; e != nil {
				out = append(out, e)
			}
		}
	}
	return out
}

// closure adds to have what the shown writes are and what they replaced,
// directly or through others.
func closure(have map[*event]bool, shown []*event) {
	todo := slices.Clone(shown)
	for len(todo) > 0 {
		e := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if have[e] {
			continue
		}
		have[e] = true
		todo = append(todo, e.kills...)
	}
}

// judge checks one state against what its context claims (V1, I3): it shows
// exactly the writes in its context that no other write in it replaced. Writes
// that the oracle does not know are given to adopt first.
func (o *oracle) judge(r syncproto.Record, adopt func(path string, s syncproto.Sibling) error) error {
	var late []func() error
	for f := range r.Fields() {
		for _, s := range f.Siblings {
			e := o.byDot[s.Dot]
			if e == nil {
				late = append(late, func() error { return adopt(f.Path, s) })
				continue
			}
			if e.uid != uidOf(r.ID(), f.Path, s) {
				return fmt.Errorf("I1: dot %s is %s here and %s=%s there", s.Dot, e, f.Path, s.Value.JSON())
			}
		}
	}
	for _, fn := range late {
		if err := fn(); err != nil {
			return err
		}
	}
	shown := o.visible(r)
	have := make(map[*event]bool, 2*len(shown))
	closure(have, shown)
	for _, e := range o.records[r.ID()] {
		covered, floored := false, false
		for _, d := range e.dots {
			covered = covered || r.Context().Covers(d)
			floored = floored || r.Floor().Covers(d) && !syncproto.IsReserved(e.uid.path)
		}
		if covered && !floored && !have[e] {
			return fmt.Errorf("V1 LOST: the context covers %s, which is neither shown nor replaced", e)
		}
	}
	for _, e := range shown {
		if o.tainted(e) {
			continue
		}
		replaced := make(map[*event]bool)
		for _, f := range shown {
			if f != e && f.uid.path == e.uid.path {
				closure(replaced, f.kills)
			}
		}
		if replaced[e] {
			return fmt.Errorf("V1 EXTRA: %s is shown beside what replaced it", e)
		}
	}
	return nil
}
