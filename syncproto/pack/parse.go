package pack

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

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

type packFile struct {
	Schema string                     `json:"$schema"`
	ID     string                     `json:"$id"`
	Head   *head                      `json:"x-sambang-pack"`
	Defs   map[string]json.RawMessage `json:"$defs"`
}

type head struct {
	Format        int              `json:"format"`
	Name          string           `json:"name"`
	Version       string           `json:"version"`
	DefaultClass  string           `json:"default_class"`
	Classes       map[string]Label `json:"classes"`
	Sensitivities map[string]Label `json:"sensitivities"`
	Tables        map[string][]Row `json:"tables"`
}

type kindFile struct {
	Type       string                     `json:"type"`
	Properties map[string]json.RawMessage `json:"properties"`
	Required   []string                   `json:"required"`
	Sambang    *kindNote                  `json:"x-sambang"`
}

type kindNote struct {
	Kind       bool                 `json:"kind"`
	Label      Label                `json:"label"`
	Note       string               `json:"note"`
	NaturalKey string               `json:"natural_key"`
	Groups     map[string]groupNote `json:"groups"`
	Rules      []Rule               `json:"rules"`
	Evidence   []evidenceNote       `json:"evidence"`
}

type evidenceNote struct {
	Field string          `json:"field"`
	Value json.RawMessage `json:"value"`
	Is    string          `json:"is"`
}

type groupNote struct {
	Label  Label  `json:"label"`
	Policy Policy `json:"policy"`
}

type fieldFile struct {
	Enum    []any           `json:"enum"`
	Items   json.RawMessage `json:"items"`
	Ref     string          `json:"$ref"`
	Sambang *fieldNote      `json:"x-sambang"`
}

type fieldNote struct {
	Type        string              `json:"type"`
	Label       Label               `json:"label"`
	Rule        string              `json:"rule"`
	Policy      Policy              `json:"policy"`
	Shape       Shape               `json:"shape"`
	Class       string              `json:"class"`
	Sensitivity string              `json:"sensitivity"`
	Group       string              `json:"group"`
	Ref         string              `json:"ref"`
	Key         string              `json:"key"`
	Natural     []string            `json:"natural"`
	Order       string              `json:"order"`
	Choices     map[string]Label    `json:"choices"`
	Moves       map[string][]string `json:"moves"`
	Final       []string            `json:"final"`
	Derive      *Derivation         `json:"derive"`
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

// parseField reads a property. where is for errors; inItem says that the
// property belongs to an item of a list, which has no class of its own.
func parseField(where, name string, text json.RawMessage, defs map[string]json.RawMessage, inItem bool) (Field, error) {
	var file fieldFile
	if err := json.Unmarshal(text, &file); err != nil {
		return Field{}, bad("field %s: %s", where, shorten(err))
	}
	note := file.Sambang
	if note == nil {
		if !inItem {
			return Field{}, bad("field %s: x-sambang is missing", where)
		}
		note = &fieldNote{}
	}
	f := Field{
		Name: name, Type: note.Type, Label: note.Label, Rule: note.Rule, Policy: note.Policy, Shape: note.Shape,
		Sensitivity: note.Sensitivity, Group: note.Group, Ref: note.Ref, Key: note.Key, Natural: note.Natural,
		Order: note.Order, Moves: note.Moves, Final: note.Final, Derive: note.Derive,
	}
	if f.Shape == "" {
		f.Shape = ShapeRegister
	}
	if f.Policy == "" && (f.Group != "" || inItem) {
		f.Policy = PolicyLWW
	}
	if !isName(name) {
		return f, bad("field %s: not a name of a-z, 0-9 and _", where)
	}
	if !slices.Contains(policies, f.Policy) {
		return f, bad("field %s: policy %q is unknown", where, f.Policy)
	}
	if f.Sensitivity != "" && !slices.Contains([]string{"S0", "S1", "S2", "S3"}, f.Sensitivity) {
		return f, bad("field %s: sensitivity %q is not S0 to S3", where, f.Sensitivity)
	}
	if inItem {
		if f.items() || note.Class != "" || f.Policy == PolicyUnion || f.Policy == PolicyAppend || f.Policy == PolicyDerived {
			return f, bad("field %s: a field of an item is a plain register of its list's class", where)
		}
		return f, nil
	}
	if f.Label.Indonesian == "" {
		return f, bad("field %s: no label", where)
	}
	class, err := syncproto.ParseClass(note.Class)
	if err != nil {
		return f, bad("field %s: class %q is not D, T or H", where, note.Class)
	}
	f.Class = class
	switch f.Shape {
	case ShapeRegister:
		if f.Policy == PolicyUnion || f.Policy == PolicyAppend {
			return f, bad("field %s: policy %s needs the shape set or append", where, f.Policy)
		}
	case ShapeSet, ShapeAppend:
		if want := map[Shape]Policy{ShapeSet: PolicyUnion, ShapeAppend: PolicyAppend}[f.Shape]; f.Policy != want {
			return f, bad("field %s: shape %s has policy %s, not %s", where, f.Shape, want, f.Policy)
		}
	case ShapeList:
		if f.Policy == PolicyUnion || f.Policy == PolicyAppend || f.Policy == PolicyDerived {
			return f, bad("field %s: a list can't have policy %s", where, f.Policy)
		}
		if f.Fields, err = parseItem(where, file.Items, defs); err != nil {
			return f, err
		}
		if f.Key == "" {
			f.Key = "id"
		}
	default:
		return f, bad("field %s: shape %q is unknown", where, f.Shape)
	}
	f.Choices = choices(file, note, defs)
	if f.Policy == PolicyFSM {
		if err := checkMoves(where, f); err != nil {
			return f, err
		}
	}
	return f, nil
}

func parseItem(where string, items json.RawMessage, defs map[string]json.RawMessage) ([]Field, error) {
	items = deref(items, defs)
	var file struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(items, &file); err != nil || len(file.Properties) == 0 {
		return nil, bad("field %s: the items of a list need properties", where)
	}
	var out []Field
	for _, name := range keysAt(items, "properties") {
		f, err := parseField(where+"."+name, name, file.Properties[name], defs, true)
		if err != nil {
			return nil, err
		}
		out = append(out, f)
	}
	return out, nil
}

// choices returns the values of an enumeration in the order of the schema.
func choices(file fieldFile, note *fieldNote, defs map[string]json.RawMessage) []Choice {
	labels, enum := note.Choices, file.Enum
	for _, text := range []json.RawMessage{refText(file.Ref), file.Items} {
		if enum != nil || text == nil {
			continue
		}
		var inner fieldFile
		if json.Unmarshal(deref(text, defs), &inner) == nil && inner.Enum != nil {
			enum = inner.Enum
			if labels == nil && inner.Sambang != nil {
				labels = inner.Sambang.Choices
			}
		}
	}
	var out []Choice
	for _, e := range enum {
		if s, ok := e.(string); ok {
			out = append(out, Choice{s, labels[s]})
		}
	}
	return out
}

func checkMoves(where string, f Field) error {
	if len(f.Moves) == 0 || len(f.Choices) == 0 {
		return bad("field %s: policy fsm needs moves and an enum of states", where)
	}
	known := func(s string) bool {
		return slices.ContainsFunc(f.Choices, func(c Choice) bool { return c.Value == s })
	}
	for _, s := range f.Final {
		if !known(s) {
			return bad("field %s: state %q of final is not in the enum", where, s)
		}
	}
	for from, tos := range f.Moves {
		for _, s := range append([]string{from}, tos...) {
			if !known(s) {
				return bad("field %s: state %q of moves is not in the enum", where, s)
			}
		}
	}
	return nil
}

func refText(ref string) json.RawMessage {
	if ref == "" {
		return nil
	}
	text, err := json.Marshal(map[string]string{"$ref": ref})
	if err != nil {
		return nil
	}
	return text
}

// deref follows one local reference.
func deref(text json.RawMessage, defs map[string]json.RawMessage) json.RawMessage {
	var ref struct {
		Ref string `json:"$ref"`
	}
	if json.Unmarshal(text, &ref) == nil {
		if name, ok := strings.CutPrefix(ref.Ref, "#/$defs/"); ok && defs[name] != nil {
			return defs[name]
		}
	}
	return text
}

// isName reports whether s can be a segment of a path everywhere.
func isName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func shorten(err error) string {
	s := err.Error()
	return s[:min(len(s), 200)]
}

// keysAt returns the keys of an object's member that is an object, in the
// order of the text: a form shows its fields in the order of the pack.
func keysAt(text []byte, member string) []string {
	var outer map[string]json.RawMessage
	if json.Unmarshal(text, &outer) != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(outer[member]))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil
	}
	var out []string
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		var skip json.RawMessage
		if err != nil || !ok || d.Decode(&skip) != nil {
			return nil
		}
		out = append(out, key)
	}
	return out
}

// checkJSON refuses what no pack needs and a reader could trip over: a key
// twice, deep nesting, numbers of absurd size.
func checkJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := checkNext(d, 0); err != nil {
		return err
	}
	if d.More() {
		return bad("pack has more than one JSON document")
	}
	return nil
}

func checkNext(d *json.Decoder, depth int) error {
	t, err := d.Token()
	if err != nil {
		return bad("pack is not JSON: %s", shorten(err))
	}
	if n, ok := t.(json.Number); ok {
		if len(n) > syncproto.MaxNumberDigits || strings.ContainsAny(string(n), "eE") {
			return bad("pack has a number of more than %d digits or with an exponent", syncproto.MaxNumberDigits)
		}
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxPackDepth {
		return bad("pack is nested deeper than %d", maxPackDepth)
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			k, err := d.Token()
			if err != nil {
				return bad("pack is not JSON: %s", shorten(err))
			}
			key, _ := k.(string)
			if seen[key] {
				return bad("pack has the key %q twice in one object", key[:min(len(key), 64)])
			}
			seen[key] = true
		}
		if err := checkNext(d, depth+1); err != nil {
			return err
		}
	}
	if _, err = d.Token(); err != nil {
		return bad("pack is not JSON: %s", shorten(err))
	}
	return nil
}
