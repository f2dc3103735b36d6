package pack

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// Split turns a document into the writes that make it, first those of the main
// record, which may be none, then those of each companion that gets any. doc
// is a map with string keys or anything that encoding/json makes an object of;
// null and empty lists make no register.
//
// Errors: [syncproto.CodeBadValue] and [syncproto.CodeBadPath] for what no
// register can hold. Bad values are no error: see [Pack.Validate].
func (p *Pack) Split(kind string, doc any, opts ...Option) ([]Part, error) {
	fields, err := fieldsOf(doc)
	if err != nil {
		return nil, err
	}
	w := p.writer(kind, p.Class(kind), opts)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if err := w.split(name, fields[name]); err != nil {
			return nil, err
		}
	}
	if err := w.splitGroups(fields); err != nil {
		return nil, err
	}
	parts := w.parts()
	if len(parts) == 0 || parts[0].Companion {
		parts = slices.Insert(parts, 0, Part{Class: w.main})
	}
	return parts, nil
}

// writer collects writes by the record that they belong to.
type writer struct {
	kind  *Kind
	main  syncproto.Class // class of the main record
	other syncproto.Class // class of fields that the pack does not know
	keys  keys
	out   map[place]*Part
}

// place is a record: the main one, or the companion of a class.
type place struct {
	class     syncproto.Class
	companion bool
}

func (p *Pack) writer(kind string, main syncproto.Class, opts []Option) *writer {
	w := &writer{kind: p.kind(kind), main: main, keys: options(opts), out: map[place]*Part{}}
	w.other = w.main
	if w.kind != nil {
		w.other = w.kind.Strictest
	}
	return w
}

// at returns the place of class c: the main record, unless c is stricter.
func (w *writer) at(c syncproto.Class) place { return placeOf(c, w.main) }

func placeOf(c, main syncproto.Class) place {
	if c.Stricter(main) {
		return place{c, true}
	}
	return place{class: main}
}

func (w *writer) part(at place) *Part {
	if w.out[at] == nil {
		w.out[at] = &Part{Class: at.class, Companion: at.companion}
	}
	return w.out[at]
}

func (w *writer) write(at place, path string, v syncproto.Value) error {
	if err := syncproto.CheckPath(path); err != nil {
		return err
	}
	t := w.part(at)
	t.Writes = append(t.Writes, syncproto.Write{Path: path, Value: v})
	return nil
}

// parts returns what was collected, the main record first, then by class.
func (w *writer) parts() []Part {
	var out []Part
	for _, t := range w.out {
		// Stable and by register: the items of one field keep their order.
		slices.SortStableFunc(t.Writes, func(a, b syncproto.Write) int {
			x, _, _ := strings.Cut(a.Path, "/")
			y, _, _ := strings.Cut(b.Path, "/")
			return cmp.Compare(x, y)
		})
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Part) int {
		if a.Companion != b.Companion {
			if b.Companion {
				return -1
			}
			return 1
		}
		return cmp.Compare(rank(a.Class), rank(b.Class))
	})
	return out
}

func rank(c syncproto.Class) int { return strings.Index("DTH", string(c)) }

// split writes one member of a document.
func (w *writer) split(name string, x any) error {
	f := w.kind.field(name)
	switch {
	case f == nil && w.kind.group(name) != nil, f != nil && f.Group != "":
		return nil // splitGroups
	case f == nil:
		v, err := valueOf(x)
		if err != nil || v.IsNull() {
			return err
		}
		return w.write(w.at(w.other), name, v)
	case !f.items():
		v, err := valueOf(x)
		if err != nil || v.IsNull() {
			return err
		}
		return w.write(w.at(f.Class), name, v)
	}
	elements, err := elementsOf(x)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, e := range elements {
		key, err := w.itemKey(f, e, taken)
		if err != nil {
			return err
		}
		if err := w.writeItem(w.at(f.Class), f, key, e, taken); err != nil {
			return err
		}
	}
	return nil
}

// itemKey returns the key of a new item. taken holds the keys of the list's
// other items.
func (w *writer) itemKey(f *Field, e syncproto.Value, taken map[string]bool) (string, error) {
	if f.Shape == ShapeSet {
		return elementKey(e), nil
	}
	members, _ := membersOf(e)
	if own, ok := members[f.Key]; ok && f.Key != "" && !own.IsNull() {
		s, _ := own.Text()
		if !isKey(s) {
			return "", syncproto.Errorf(syncproto.CodeBadValue, "an item of %s has a key that is not 1 to 64 of A-Z a-z 0-9 . _ -", f.Name)
		}
		return s, nil
	}
	if parts := naturalParts(f, members); parts != nil && !w.keys.record.IsZero() {
		return syncproto.ItemKey(w.keys.record, parts...), nil
	}
	if f.Shape == ShapeAppend {
		return elementKey(e), nil
	}
	if w.keys.make != nil {
		if s := w.keys.make(f.Name, e); isKey(s) {
			return s, nil
		}
		return "", syncproto.Errorf(syncproto.CodeBadValue, "NewKeys made no valid key for an item of %s", f.Name)
	}
	key := elementKey(e)
	for i := 2; taken[key]; i++ {
		key = elementKey(e) + "-" + strconv.Itoa(i)
	}
	return key, nil
}

// naturalParts returns the values of an item's natural key, nil if one is
// missing.
func naturalParts(f *Field, members map[string]syncproto.Value) []string {
	var parts []string
	for _, n := range f.Natural {
		v, ok := members[n]
		if !ok || v.IsNull() {
			return nil
		}
		s, isText := v.Text()
		if !isText {
			s = v.JSON()
		}
		parts = append(parts, s)
	}
	return parts
}

// writeItem writes a new item, unless its key is taken already: equal elements
// of a set and equal items of an append list are one.
func (w *writer) writeItem(at place, f *Field, key string, e syncproto.Value, taken map[string]bool) error {
	prefix := f.Name + "/" + key
	if taken[key] {
		if f.Shape == ShapeList {
			return syncproto.Errorf(syncproto.CodeBadValue, "two items of %s have the same key", f.Name)
		}
		return nil
	}
	taken[key] = true
	if f.Shape != ShapeList {
		return w.write(at, prefix, e)
	}
	members, ok := membersOf(e)
	if !ok {
		return syncproto.Errorf(syncproto.CodeBadValue, "an item of %s is not an object", f.Name)
	}
	for _, m := range slices.Sorted(maps.Keys(members)) {
		if m == f.Key || members[m].IsNull() {
			continue
		}
		if err := w.writeMember(at, prefix, m, members[m]); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) writeMember(at place, prefix, member string, v syncproto.Value) error {
	if member == "" || member[0] == '$' || strings.Contains(member, "/") {
		return syncproto.Errorf(syncproto.CodeBadPath, "an item has a field with a reserved name or a slash")
	}
	return w.write(at, prefix+"/"+member, v)
}

// splitGroups writes the registers of groups. A member that the pack does not
// know stands in the document under the group's name.
func (w *writer) splitGroups(fields map[string]any) error {
	if w.kind == nil {
		return nil
	}
	for i := range w.kind.Groups {
		g := &w.kind.Groups[i]
		v, err := groupValue(g, fields)
		if err != nil {
			return err
		}
		if !v.IsNull() {
			if err := w.write(w.at(g.Class), g.Name, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// groupValue returns the value of a group's register, null if no member has
// one.
func groupValue(g *Group, fields map[string]any) (syncproto.Value, error) {
	members := map[string]syncproto.Value{}
	if x, ok := fields[g.Name]; ok {
		v, err := valueOf(x)
		if err != nil {
			return v, err
		}
		m, isObject := membersOf(v)
		if !isObject && !v.IsNull() {
			return v, syncproto.Errorf(syncproto.CodeBadValue, "%s is a group of fields, not a field", g.Name)
		}
		maps.Copy(members, m)
	}
	for _, name := range g.Fields {
		delete(members, name)
		if x, ok := fields[name]; ok {
			v, err := valueOf(x)
			if err != nil {
				return v, err
			}
			members[name] = v
		}
	}
	maps.DeleteFunc(members, func(_ string, v syncproto.Value) bool { return v.IsNull() })
	if len(members) == 0 {
		return syncproto.Null, nil
	}
	return object(members)
}
