package pack

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// list shows a set, an append list or a list.
func (j *projector) list(f *Field, regs []register) {
	e := entry{name: f.Name, items: make([]item, 0, len(regs))}
	n := 0
	for n < len(regs) && regs[n].rest == "" {
		n++
	}
	whole, regs := regs[:n:n], regs[n:]
	runs(regs, keyOf, func(key string, regs []register) {
		if f.Shape == ShapeList {
			j.listItem(f, key, regs, &e)
			return
		}
		n := 0
		for n < len(regs) && regs[n].rest == key {
			n++
		}
		if n > 0 {
			j.element(f, regs[:n:n], &e)
		}
		j.raw(regs[n:])
	})
	if len(whole) > 0 {
		j.whole(f, whole, &e)
	}
	for _, it := range e.items {
		if !slices.Contains(e.places, it.place) {
			e.places = append(e.places, it.place)
		}
	}
	slices.SortStableFunc(e.items, func(a, b item) int { return f.compare(a, b) })
	if len(e.items) > 0 {
		var b []byte
		for i, it := range e.items {
			b = append(b, "[,"[min(i, 1)])
			b = append(b, it.value.JSON()...)
		}
		e.json = string(append(b, ']'))
	}
	j.out.entries = append(j.out.entries, e)
}

// keyOf returns the second segment of a register's path.
func keyOf(r register) string {
	key, _, _ := strings.Cut(r.rest, "/")
	return key
}

// compare orders the items of a list.
func (f *Field) compare(a, b item) int {
	byOrder := 0
	if f.Order != "" {
		x, _ := membersOf(a.value)
		y, _ := membersOf(b.value)
		byOrder = compareTyped(x[f.Order], y[f.Order])
	}
	switch f.Shape {
	case ShapeSet:
		return cmp.Or(byOrder, strings.Compare(a.value.JSON(), b.value.JSON()))
	case ShapeAppend:
		return cmp.Or(byOrder, cmp.Compare(a.first.HLC, b.first.HLC), byDot(a.first, b.first), strings.Compare(a.key, b.key))
	}
	return cmp.Or(byOrder, strings.Compare(a.key, b.key))
}

// element shows an element of a set or an item of an append list.
func (j *projector) element(f *Field, regs []register, e *entry) {
	var at entry
	shown, _ := j.resolve(f.Name, f.Policy, nil, placeOf(f.Class, j.home), regs, &at)
	if shown.IsNull() {
		if f.Shape == ShapeAppend {
			j.flag(regs[0].path, FlagRemoved)
		}
		return
	}
	e.items = append(e.items, item{regs[0].rest, shown, at.places[0], earliest(regs)})
}

// listItem puts an item of a list together from its registers.
func (j *projector) listItem(f *Field, key string, regs []register, e *entry) {
	prefix := f.Name + "/" + key
	dels := slices.DeleteFunc(slices.Clone(regs), func(r register) bool { return r.rest != key+"/"+syncproto.PathDel })
	if len(dels) > 0 && j.itemDeleted(f, prefix, dels) {
		return
	}
	members := map[string]syncproto.Value{}
	var at place
	runs(regs, pathOf, func(_ string, regs []register) {
		_, name, deep := strings.Cut(regs[0].rest, "/")
		switch {
		case !deep || strings.Contains(name, "/"):
			j.raw(regs)
		case name != syncproto.PathDel:
			var x entry
			_, v := j.resolve(f.Name, f.itemPolicy(name), nil, placeOf(f.Class, j.home), regs, &x)
			members[name], at = v, x.places[0]
		}
	})
	members[f.Key] = syncproto.MustValue(key)
	v, err := object(members)
	if err != nil || len(members) == 1 {
		return
	}
	e.items = append(e.items, item{key, v, at, earliest(regs)})
}

// itemDeleted reports whether an item is deleted, and lists edits that the
// deletion did not know of.
func (j *projector) itemDeleted(f *Field, prefix string, dels []register) bool {
	deleted := false
	for _, d := range dels {
		life := j.recs[d.in].record.ItemLife(prefix)
		deleted = deleted || life.Deleted
		if len(life.Survivors) > 0 {
			j.conflict(j.recs[d.in], d.field, f.Name, "", true, "edited_while_deleted", func(syncproto.Sibling) bool { return false })
		}
	}
	return deleted
}

// whole takes in a register that holds the set or list as one value.
func (j *projector) whole(f *Field, regs []register, e *entry) {
	var at entry
	shown, _ := j.resolve(f.Name, PolicyLWW, nil, placeOf(f.Class, j.home), regs, &at)
	if shown.IsNull() {
		return
	}
	e.whole = at.places
	elements, err := elementsOf(shown)
	if err != nil {
		return
	}
	w := writer{}
	for _, v := range elements {
		key, err := w.itemKey(f, v, nil)
		if err != nil || slices.ContainsFunc(e.items, func(it item) bool { return it.key == key }) {
			continue
		}
		if members, ok := membersOf(v); ok && f.Shape == ShapeList {
			members[f.Key] = syncproto.MustValue(key)
			if v, err = object(members); err != nil {
				continue
			}
		}
		e.items = append(e.items, item{key, v, at.places[0], earliest(regs)})
	}
}

// earliest returns the first write that is still to be seen in the registers.
func earliest(regs []register) syncproto.Sibling {
	first := regs[0].field.Siblings[0]
	for _, r := range regs {
		for _, s := range r.field.Siblings {
			if cmp.Or(cmp.Compare(s.HLC, first.HLC), byDot(s, first)) < 0 {
				first = s
			}
		}
	}
	return first
}
