package pack

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

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
