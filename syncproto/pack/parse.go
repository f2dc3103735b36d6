package pack

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
)

const (
	// maxPackBytes bounds a pack: forty times the Timpora pack.
	maxPackBytes = 2 << 20
	// maxPackDepth bounds its nesting.
	maxPackDepth = 64
	format       = 1
	dialect      = "https://json-schema.org/draft/2020-12/schema"
)

// Parse reads a pack. What is wrong is named in the error, which has
// [syncproto.CodeBadPack]; a pack is taken whole or not at all.
func Parse(text []byte) (*Pack, error) {
	p, err := parse(text)
	if err != nil {
		return nil, err
	}
	for i := range p.kinds {
		if err := p.schema.compile(p.kinds[i].Name); err != nil {
			return nil, err
		}
	}
	for i := range p.kinds {
		for j := range p.kinds[i].Fields {
			if d := p.kinds[i].Fields[j].Derive; d != nil && d.When != "" {
				if err := p.schema.compile(d.When); err != nil {
					return nil, err
				}
			}
		}
	}
	return p, nil
}

func bad(format string, args ...any) error {
	return syncproto.Errorf(syncproto.CodeBadPack, format, args...)
}

// parse reads a pack without compiling its schemas.
func parse(text []byte) (*Pack, error) {
	if len(text) > maxPackBytes {
		return nil, bad("pack of %d bytes, at most %d", len(text), maxPackBytes)
	}
	if err := checkJSON(text); err != nil {
		return nil, err
	}
	var file packFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, bad("pack: %s", shorten(err))
	}
	switch h := file.Head; {
	case h == nil:
		return nil, bad("x-sambang-pack is missing in the root")
	case file.Schema != dialect:
		return nil, bad("$schema is not %s", dialect)
	case h.Format != format:
		return nil, bad("format %d of the pack is not %d, the one this version reads", h.Format, format)
	case !isName(h.Name) || h.Version == "" || len(h.Version) > 32:
		return nil, bad("x-sambang-pack has no name or version")
	}
	p := &Pack{
		name: file.Head.Name, version: file.Head.Version, defaultClass: syncproto.ClassTask,
		classes: file.Head.Classes, sensitivities: file.Head.Sensitivities, tables: file.Head.Tables,
		byName: map[string]*Kind{},
	}
	if c := file.Head.DefaultClass; c != "" {
		class, err := syncproto.ParseClass(c)
		if err != nil {
			return nil, bad("default_class %q is not D, T or H", c)
		}
		p.defaultClass = class
	}
	for _, name := range keysAt(text, "$defs") {
		var k kindFile
		if err := json.Unmarshal(file.Defs[name], &k); err != nil || k.Sambang == nil || !k.Sambang.Kind {
			if err != nil && bytes.Contains(file.Defs[name], []byte(`"kind"`)) {
				return nil, bad("$defs/%s: %s", name, shorten(err))
			}
			continue
		}
		kind, err := parseKind(name, k, file.Defs)
		if err != nil {
			return nil, err
		}
		p.kinds = append(p.kinds, kind)
	}
	if len(p.kinds) == 0 {
		return nil, bad("no entry of $defs is a kind")
	}
	for i := range p.kinds {
		p.byName[p.kinds[i].Name] = &p.kinds[i]
	}
	var err error
	p.schema, err = newSchema(text)
	return p, err
}

func parseKind(name string, k kindFile, defs map[string]json.RawMessage) (Kind, error) {
	note := k.Sambang
	kind := Kind{
		Name: name, Label: note.Label, Note: note.Note, NaturalKey: note.NaturalKey, Rules: note.Rules,
		fields: map[string]*Field{}, groups: map[string]*Group{},
	}
	switch {
	case !isName(name) || len(name) > syncproto.MaxKindBytes:
		return kind, bad("kind %q: not a name of a-z, 0-9 and _", name)
	case k.Type != "object":
		return kind, bad("kind %s: type is not object", name)
	case len(k.Properties) == 0:
		return kind, bad("kind %s: no properties", name)
	case note.Label.Indonesian == "":
		return kind, bad("kind %s: no label", name)
	}
	for _, f := range keysAt(defs[name], "properties") {
		field, err := parseField(name+"."+f, f, k.Properties[f], defs, false)
		if err != nil {
			return kind, err
		}
		field.Required = slices.Contains(k.Required, f)
		kind.Fields = append(kind.Fields, field)
	}
	kind.Class, kind.Strictest = kind.Fields[0].Class, kind.Fields[0].Class
	for i := range kind.Fields {
		f := &kind.Fields[i]
		kind.fields[f.Name] = f
		if kind.Class.Stricter(f.Class) {
			kind.Class = f.Class
		}
		if f.Class.Stricter(kind.Strictest) {
			kind.Strictest = f.Class
		}
	}
	for _, r := range k.Required {
		if kind.fields[r] == nil {
			return kind, bad("kind %s: required field %q has no property", name, r)
		}
	}
	if err := parseGroups(&kind, note.Groups); err != nil {
		return kind, err
	}
	for i := range kind.Fields {
		if err := checkDerivation(&kind, &kind.Fields[i]); err != nil {
			return kind, err
		}
	}
	for i, n := range note.Evidence {
		v, err := syncproto.Canonicalize(n.Value)
		f := kind.fields[n.Field]
		if err != nil || f == nil || f.items() || f.Group != "" || evidenceRank(n.Is) < 0 {
			return kind, bad("kind %s: evidence %d: needs a plain field, a value, and mrz, original, copy or spoken", name, i)
		}
		kind.Evidence = append(kind.Evidence, EvidenceRule{n.Field, v, n.Is})
	}
	for i, r := range kind.Rules {
		if err := r.check(&kind); err != nil {
			return kind, bad("kind %s: rule %d: %s", name, i, err.Error())
		}
	}
	return kind, nil
}

func parseGroups(kind *Kind, notes map[string]groupNote) error {
	for i := range kind.Fields {
		f := &kind.Fields[i]
		if f.Group == "" {
			continue
		}
		note, declared := notes[f.Group]
		switch {
		case !declared:
			return bad("kind %s: field %s is in group %q, which the kind does not declare", kind.Name, f.Name, f.Group)
		case kind.fields[f.Group] != nil || !isName(f.Group):
			return bad("kind %s: group %q has the name of a field or no name", kind.Name, f.Group)
		case f.items():
			return bad("kind %s: field %s of shape %s can't be in a group", kind.Name, f.Name, f.Shape)
		case !slices.Contains(policies, note.Policy) || note.Policy == PolicyUnion || note.Policy == PolicyAppend || note.Policy == PolicyDerived:
			return bad("kind %s: group %q: policy %q is unknown or not one of a group", kind.Name, f.Group, note.Policy)
		}
		g := kind.groups[f.Group]
		if g == nil {
			g = &Group{Name: f.Group, Label: note.Label, Policy: note.Policy, Class: f.Class}
			kind.groups[f.Group] = g
		}
		if g.Class != f.Class {
			return bad("kind %s: group %q has fields of class %s and %s", kind.Name, f.Group, g.Class, f.Class)
		}
		f.Policy = note.Policy
		g.Fields = append(g.Fields, f.Name)
	}
	for i := range kind.Fields {
		if g := kind.groups[kind.Fields[i].Group]; g != nil && g.Fields[0] == kind.Fields[i].Name {
			kind.Groups = append(kind.Groups, *g)
		}
	}
	for name := range notes {
		if kind.groups[name] == nil {
			return bad("kind %s: group %q has no field", kind.Name, name)
		}
	}
	return nil
}
