package pack

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
)

// Diff returns the writes that turn what a projection shows into after, and
// nothing else: what the user did not touch is not written, so it can't
// overwrite what others do at the same time. after is an edited copy of
// [Projection.Doc], or anything that encoding/json makes an object of; a
// member that is missing in it is removed by writing null.
//
// Fields of policy derived are left alone: they are computed or the server's.
// A field whose value lies in the record of another class than the pack's
// moves to the right one when it is written. A field that the pack does not
// know stays in the record where it was found, and a new one goes to the
// strictest class of the kind. No part is returned without writes.
//
// To choose among the values of a conflict, including the one that is shown,
// use [Projection.Resolve].
func (p *Pack) Diff(before Projection, after any, opts ...Option) ([]Part, error) {
	fields, err := fieldsOf(after)
	if err != nil {
		return nil, err
	}
	d := differ{p.writer(before.Kind, before.home(p), append([]Option{ForRecord(before.ID)}, opts...)), before}
	names := slices.Collect(maps.Keys(fields))
	for _, e := range before.entries {
		if _, ok := fields[e.name]; !ok {
			names = append(names, e.name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := d.member(name, fields[name]); err != nil {
			return nil, err
		}
	}
	if err := d.groups(fields); err != nil {
		return nil, err
	}
	return d.w.parts(), nil
}

// Resolve returns the writes that settle the conflict at a path with a value:
// one of the conflict's, or another. The value is that of the register, as
// [Candidate] has it. Error: [syncproto.CodeBadPath] if there is no conflict
// of one register at the path.
func (p Projection) Resolve(path string, v syncproto.Value) ([]Part, error) {
	c, ok := p.Conflict(path)
	if !ok || path == "" {
		return nil, syncproto.Errorf(syncproto.CodeBadPath, "no conflict of one register at that path")
	}
	w := p.pack.writer(p.Kind, p.home(p.pack), nil)
	d := differ{w, p}
	if f := w.kind.field(path); f != nil && f.Group != "" {
		fields := p.members()
		fields[path] = v
		return w.parts0(d.groups(fields))
	}
	if e := p.entry(path); e != nil {
		// A field that lies in two records is settled in both.
		return w.parts0(d.put(e, w.settledAt(path, e, place{}), path, v))
	}
	at := place{class: w.main}
	if c.Record != p.ID {
		at = place{c.Class, true}
	}
	return w.parts0(w.write(at, path, v))
}

// members returns the document as its members' texts.
func (p Projection) members() map[string]any {
	out := make(map[string]any, len(p.entries))
	for _, e := range p.entries {
		if e.json != "" {
			out[e.name] = json.RawMessage(e.json)
		}
	}
	return out
}

// parts0 returns what was collected, or the error.
func (w *writer) parts0(err error) ([]Part, error) {
	if err != nil {
		return nil, err
	}
	return w.parts(), nil
}

// settledAt returns where the register of a field or group is to be written.
func (w *writer) settledAt(name string, e *entry, found place) place {
	switch f, g := w.kind.field(name), w.kind.group(name); {
	case f != nil:
		return w.at(f.Class)
	case g != nil:
		return w.at(g.Class)
	case len(e.places) > 0:
		return e.places[0]
	}
	return found
}

type differ struct {
	w      *writer
	before Projection
}

// member writes what changed of one member of the document.
func (d differ) member(name string, x any) error {
	f, g := d.w.kind.field(name), d.w.kind.group(name)
	switch {
	case g != nil, f != nil && f.Group != "":
		return nil // groups
	case f != nil && f.Policy == PolicyDerived:
		return nil
	case f != nil && f.items():
		return d.list(f, x)
	}
	v, err := valueOf(x)
	if err != nil {
		return err
	}
	e := d.before.entry(name)
	if e == nil {
		e = &entry{name: name}
	}
	// An observation of the value that is shown is news only if it is another
	// observation.
	shown := syncproto.Null
	if e.json != "" {
		shown = plainOf(f, e.value)
	}
	if v == shown || v == e.value {
		return nil
	}
	return d.put(e, d.w.settledAt(name, e, d.w.at(d.w.other)), name, v)
}

func plainOf(f *Field, v syncproto.Value) syncproto.Value {
	if f == nil {
		return v
	}
	return plain(f.Policy, v)
}

// put writes a register to its right place, and null to every other place
// where it is.
func (d differ) put(e *entry, at place, path string, v syncproto.Value) error {
	for _, other := range e.places {
		if other != at {
			if err := d.w.write(other, path, syncproto.Null); err != nil {
				return err
			}
		}
	}
	for _, r := range e.strays {
		if err := d.w.write(r.place, r.path, syncproto.Null); err != nil {
			return err
		}
	}
	return d.w.write(at, path, v)
}

// list writes what changed of a set or list.
func (d differ) list(f *Field, x any) error {
	elements, err := elementsOf(x)
	if err != nil {
		return err
	}
	e := d.before.entry(f.Name)
	if e == nil {
		e = &entry{name: f.Name}
	}
	at := d.w.at(f.Class)
	old := make(map[string]item, len(e.items))
	taken := make(map[string]bool, len(e.items))
	for _, it := range e.items {
		old[it.key] = it
		taken[it.key] = true
	}
	kept := map[string]bool{}
	moved := len(e.whole) > 0
	if moved {
		moved = d.listChanged(e, elements)
	}
	for _, v := range elements {
		key, known := d.find(f, e, v, kept)
		if !known {
			if key, err = d.w.itemKey(f, v, taken); err != nil {
				return err
			}
			_, known = old[key]
		}
		if kept[key] {
			if f.Shape == ShapeList {
				return syncproto.Errorf(syncproto.CodeBadValue, "two items of %s have the same key", f.Name)
			}
			continue
		}
		kept[key] = true
		switch {
		case !known || moved:
			err = d.w.writeItem(at, f, key, v, map[string]bool{})
		case f.Shape == ShapeList:
			err = d.item(f, old[key], v)
		case old[key].value != v:
			err = d.w.write(old[key].place, f.Name+"/"+key, v)
		}
		if err != nil {
			return err
		}
		taken[key] = true
	}
	if moved {
		for _, at := range e.whole {
			if err := d.w.write(at, f.Name, syncproto.Null); err != nil {
				return err
			}
		}
	}
	for _, it := range e.items {
		if kept[it.key] {
			continue
		}
		if f.Shape == ShapeList {
			t := d.w.part(it.place)
			t.Removed = append(t.Removed, f.Name+"/"+it.key)
		} else if err := d.w.write(it.place, f.Name+"/"+it.key, syncproto.Null); err != nil {
			return err
		}
	}
	return nil
}

// listChanged reports whether a list that lies in one register was touched.
// Then it becomes registers of its own.
func (d differ) listChanged(e *entry, elements []syncproto.Value) bool {
	if len(elements) != len(e.items) {
		return true
	}
	for _, v := range elements {
		if !slices.ContainsFunc(e.items, func(it item) bool { return it.value == v }) {
			return true
		}
	}
	return false
}

// find returns the key of the item that an element of the edited list is.
func (d differ) find(f *Field, e *entry, v syncproto.Value, kept map[string]bool) (string, bool) {
	if f.Shape == ShapeList {
		members, _ := membersOf(v)
		s, ok := members[f.Key].Text()
		return s, ok && slices.ContainsFunc(e.items, func(it item) bool { return it.key == s })
	}
	for _, it := range e.items {
		if it.value == v && !kept[it.key] {
			return it.key, true
		}
	}
	return "", false
}

// item writes the fields of a list's item that changed.
func (d differ) item(f *Field, old item, v syncproto.Value) error {
	before, _ := membersOf(old.value)
	after, ok := membersOf(v)
	if !ok {
		return syncproto.Errorf(syncproto.CodeBadValue, "an item of %s is not an object", f.Name)
	}
	names := slices.Collect(maps.Keys(after))
	for n := range before {
		if _, ok := after[n]; !ok {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	for _, n := range names {
		x, ok := after[n]
		if !ok {
			x = syncproto.Null
		}
		y, ok := before[n]
		if !ok {
			y = syncproto.Null
		}
		if n == f.Key || x == y {
			continue
		}
		if err := d.w.writeMember(old.place, f.Name+"/"+old.key, n, x); err != nil {
			return err
		}
	}
	return nil
}

// groups writes the registers of groups that changed.
func (d differ) groups(fields map[string]any) error {
	if d.w.kind == nil {
		return nil
	}
	for i := range d.w.kind.Groups {
		g := &d.w.kind.Groups[i]
		v, err := groupValue(g, fields)
		if err != nil {
			return err
		}
		e := d.before.entry(g.Name)
		if e == nil {
			e = &entry{name: g.Name, value: syncproto.Null}
		}
		if v == e.value {
			continue
		}
		if err := d.put(e, d.w.at(g.Class), g.Name, v); err != nil {
			return err
		}
	}
	return nil
}
