package pack

import (
	"encoding/json"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
)

// groups shows the groups' registers as their fields.
func (j *projector) groups() {
	if j.kind == nil || j.grouped == nil {
		return
	}
	for i := range j.kind.Groups {
		j.group(&j.kind.Groups[i])
	}
}

func (j *projector) group(g *Group) {
	e := entry{name: g.Name, value: syncproto.Null}
	members := map[string]syncproto.Value{}
	var from syncproto.Field // the group's register, if there is one
	if regs := j.grouped[g.Name]; regs != nil {
		shown, _ := j.resolve(g.Name, g.Policy, nil, placeOf(g.Class, j.home), regs, &e)
		from = regs[0].field
		m, ok := membersOf(shown)
		if ok {
			members = m
		} else if !shown.IsNull() {
			e.json = shown.JSON() // no object: some other writer's idea
		}
	}
	for _, name := range g.Fields {
		if regs := j.grouped[name]; regs != nil {
			j.stray(g, name, regs, from, members, &e)
		}
	}
	if v, err := object(members); err == nil && v.JSON() != "{}" {
		e.value = v
	} else if e.json != "" {
		e.value = syncproto.MustValue(json.RawMessage(e.json))
	}
	for _, name := range g.Fields {
		if v, ok := members[name]; ok && !v.IsNull() {
			j.out.entries = append(j.out.entries, entry{name: name, json: v.JSON(), value: v})
		}
		delete(members, name)
	}
	if len(members) > 0 {
		if v, err := object(members); err == nil {
			e.json = v.JSON()
		}
	}
	j.out.entries = append(j.out.entries, e)
}

// stray takes in a register of a single field of a group. It is beside the
// group's register, not before or after it: the later is shown, and if they
// differ a person must choose.
func (j *projector) stray(g *Group, name string, regs []register, from syncproto.Field, members map[string]syncproto.Value, e *entry) {
	var x entry
	shown, _ := j.resolve(name, g.Policy, nil, placeOf(g.Class, j.home), regs, &x)
	for _, at := range x.places {
		e.strays = append(e.strays, stray{at, name})
	}
	if shown.IsNull() {
		return
	}
	inGroup, ok := members[name]
	if !ok {
		inGroup = syncproto.Null
	}
	own := syncproto.Field{Path: name, Siblings: regs[0].field.Siblings}
	if len(from.Siblings) == 0 || inGroup == shown {
		members[name] = shown
		return
	}
	other := from.Latest()
	if compareTime(own.Latest(), other) > 0 {
		members[name] = shown
	}
	other.Value = inGroup
	own.Siblings = append(slices.Clone(own.Siblings), other)
	slices.SortStableFunc(own.Siblings, byDot)
	j.conflict(j.recs[regs[0].in], own, name, PolicyManual, true, "latest", func(s syncproto.Sibling) bool { return s.Value == members[name] })
}
