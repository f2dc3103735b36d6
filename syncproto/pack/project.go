package pack

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// ProjectOptions are what a projection may know beyond the records.
type ProjectOptions struct {
	// IsServer reports whether a replica is the server's own. Then a derived
	// field shows what the server wrote, and what a device wrote is flagged.
	// Default: nobody knows, and the latest is shown.
	IsServer func(syncproto.ReplicaID) bool
}

// Project shows a record together with those of its companions that the
// caller has: a phone shows what its classes let it hold. The order of the
// companions does not matter. main may be unknown (zero) if companions are
// given.
//
// The record is deleted if its main record is, and nobody edited it, or a
// companion that was deleted too, without knowing of that.
func (p *Pack) Project(main syncproto.Record, companions ...syncproto.Record) Projection {
	return p.ProjectWith(ProjectOptions{}, main, companions...)
}

// ProjectWith is [Pack.Project] with options.
func (p *Pack) ProjectWith(o ProjectOptions, main syncproto.Record, companions ...syncproto.Record) Projection {
	j := projector{pack: p, o: o}
	j.out = Projection{ID: main.ID(), Kind: main.Kind(), Life: main.Life(), Purged: main.IsPurged(), pack: p}
	for _, c := range companions {
		if j.out.Kind == "" {
			j.out.Kind = c.Kind()
		}
	}
	j.kind = p.kind(j.out.Kind)
	if j.kind == nil && p != nil && j.out.Kind != "" {
		j.flag(syncproto.PathKind, FlagKindUnknown)
	}
	if main.ID().IsZero() && len(companions) > 0 {
		j.out.ID, _ = companions[0].Of()
	}
	// The record's own class, whatever this version of the pack would choose.
	j.home = p.Class(j.out.Kind)
	if home := main.Home(); home != "" {
		j.home, j.out.class = home.Class(), home.Class()
	}
	j.place(main, companions)
	j.life()
	regs := j.registers()
	j.out.entries = make([]entry, 0, len(regs))
	runs(regs, nameOf, j.top)
	j.groups()
	j.derive()
	slices.SortFunc(j.out.entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	slices.SortFunc(j.out.Conflicts, func(a, b Conflict) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Field, b.Field), slices.Compare(a.Record[:], b.Record[:]))
	})
	slices.SortFunc(j.out.Flags, func(a, b Flag) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(string(a.Code), string(b.Code)))
	})
	j.out.Flags = slices.Compact(j.out.Flags)
	return j.out
}

type projector struct {
	pack *Pack
	kind *Kind
	home syncproto.Class
	o    ProjectOptions
	recs []placed
	out  Projection
	// grouped holds the registers of groups and of their single fields.
	grouped map[string][]register
}

// placed is a record and what it is to the projection.
type placed struct {
	record syncproto.Record
	place  place
	places []place // place alone, shared by the entries
}

func newPlaced(r syncproto.Record, p place) placed { return placed{r, p, []place{p}} }

// register is a register of one of the records.
type register struct {
	in         int    // index of its record
	name, rest string // its path's first segment, and what is behind it
	path       string
	field      syncproto.Field
}

func (j *projector) flag(path string, code FlagCode) {
	j.out.Flags = append(j.out.Flags, Flag{path, code})
}

// place finds out which class each companion has.
func (j *projector) place(main syncproto.Record, companions []syncproto.Record) {
	if !main.IsZero() {
		j.recs = append(j.recs, newPlaced(main, place{class: j.home}))
	}
	for _, class := range []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ} {
		if len(companions) == 0 {
			return
		}
		id := syncproto.CompanionID(j.out.ID, class)
		i := slices.IndexFunc(companions, func(r syncproto.Record) bool { return r.ID() == id && !r.IsZero() })
		if i >= 0 {
			j.recs = append(j.recs, newPlaced(companions[i], place{class, true}))
			j.out.Purged = j.out.Purged || companions[i].IsPurged()
		}
	}
	for _, c := range companions {
		if !slices.ContainsFunc(j.recs, func(r placed) bool { return r.record.ID() == c.ID() }) && !c.IsZero() {
			j.flag("", FlagForeign)
		}
	}
}

// life finds out whether the record is deleted, and lists an edit that the
// deletion did not know of as a conflict.
func (j *projector) life() {
	life := &j.out.Life
	for _, r := range j.recs {
		l := r.record.Life()
		if r.place.companion {
			life.Survivors = append(life.Survivors, l.Survivors...)
		}
		if f, ok := r.record.Field(syncproto.PathDel); ok && len(l.Survivors) > 0 {
			j.conflict(r, f, "", "", true, "edited_while_deleted", func(syncproto.Sibling) bool { return false })
		}
		if f, ok := r.record.Field(syncproto.PathScope); ok {
			if _, agree := f.Value(); !agree {
				shown := f.Latest().Value
				j.conflict(r, f, "", PolicyLWW, false, "latest", func(s syncproto.Sibling) bool { return s.Value == shown })
			}
		}
	}
	// Survivors exist only where a tombstone is, so the record was deleted.
	if len(life.Survivors) > 0 {
		life.Deleted = false
		slices.Sort(life.Survivors)
	}
}

func (j *projector) conflict(r placed, f syncproto.Field, member string, policy Policy, review bool, why string, shown func(syncproto.Sibling) bool) {
	c := Conflict{Record: r.record.ID(), Path: f.Path, Field: member, Class: r.place.class, Policy: policy, Review: review, Why: why}
	for _, s := range f.Siblings {
		c.Values = append(c.Values, Candidate{s.Value, s.Dot, s.HLC, s.Suspect, shown(s)})
	}
	j.out.Conflicts = append(j.out.Conflicts, c)
}

// registers returns the ordinary registers of all records, in order of their
// first segment, then of their path: what belongs together is adjacent.
func (j *projector) registers() []register {
	n := 0
	for _, r := range j.recs {
		n += r.record.Len()
	}
	out := make([]register, 0, n)
	for in, r := range j.recs {
		for f := range r.record.Fields() {
			if syncproto.IsReserved(f.Path) {
				continue
			}
			name, rest, _ := strings.Cut(f.Path, "/")
			out = append(out, register{in, name, rest, f.Path, f})
		}
	}
	slices.SortStableFunc(out, func(a, b register) int {
		return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.path, b.path))
	})
	return out
}

// runs calls f with each run of registers that have the same key.
func runs(regs []register, key func(register) string, f func(key string, regs []register)) {
	for i := 0; i < len(regs); {
		k := key(regs[i])
		n := i + 1
		for n < len(regs) && key(regs[n]) == k {
			n++
		}
		f(k, regs[i:n:n])
		i = n
	}
}

func nameOf(r register) string { return r.name }
func pathOf(r register) string { return r.path }

// top shows what lies at and below one first segment.
func (j *projector) top(name string, regs []register) {
	f, g := j.kind.field(name), j.kind.group(name)
	if f != nil && f.items() {
		j.list(f, regs)
		return
	}
	// The registers of the name itself come before those below it.
	n := 0
	for n < len(regs) && regs[n].rest == "" {
		n++
	}
	if own := regs[:n:n]; n > 0 {
		switch {
		case g != nil, f != nil && f.Group != "":
			if j.grouped == nil {
				j.grouped = map[string][]register{}
			}
			j.grouped[name] = own
		case f != nil:
			j.plain(name, f.Policy, f, placeOf(f.Class, j.home), own)
		default:
			j.unknown(name, own)
		}
	}
	j.raw(regs[n:])
}

// raw shows registers that have no place in the pack's form under their paths.
func (j *projector) raw(regs []register) {
	runs(regs, pathOf, func(path string, regs []register) {
		if !strings.HasSuffix(path, "/"+syncproto.PathDel) && !j.inDeleted(regs[0]) {
			j.unknown(path, regs)
		}
	})
}

// inDeleted reports whether a register that the pack does not know lies in a
// list item that is deleted.
func (j *projector) inDeleted(r register) bool {
	record := j.recs[r.in].record
	for i := range len(r.path) {
		if r.path[i] != '/' {
			continue
		}
		prefix := r.path[:i]
		if _, ok := record.Field(prefix + "/" + syncproto.PathDel); ok && record.ItemLife(prefix).Deleted {
			return true
		}
	}
	return false
}

// unknown shows a register that the pack does not know. It stays where it is.
func (j *projector) unknown(name string, regs []register) {
	if j.kind != nil {
		j.flag(name, FlagFieldUnknown)
	}
	j.plain(name, PolicyLWW, nil, place{}, regs)
}

// plain shows one register. The same path may lie in two records when a field
// has changed its class; want is the right place, zero if that is unknown.
func (j *projector) plain(name string, policy Policy, f *Field, want place, regs []register) {
	e := entry{name: name}
	shown, rest := j.resolve(name, policy, f, want, regs, &e)
	if !shown.IsNull() {
		e.json = rest.JSON()
		e.value = shown
	}
	j.out.entries = append(j.out.entries, e)
}
