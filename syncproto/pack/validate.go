package pack

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/sambang-id/sambang/syncproto"
)

// Problem is a finding about a document. It goes beside the field or on a
// list; it never stops anybody from saving or sending.
type Problem struct {
	// Path is the member of the document, with the index of an element behind
	// a slash, or "" for the whole.
	Path string `json:"path"`
	// Rule is the keyword of JSON Schema that found it, the code of a rule of
	// the pack, or kind_unknown.
	Rule    string `json:"rule"`
	Message Label  `json:"message"`
}

// Validate returns what the pack finds wrong with a document, in order of
// paths; nil if nothing is. doc is as for [Pack.Split]. A kind that the pack
// does not know is one finding; fields that it does not know are none.
//
// held are the classes that the caller has: what is missing because it lies in
// another is no finding. Default: all.
//
// Messages name fields and limits, never the contents.
func (p *Pack) Validate(kindName string, doc any, held ...syncproto.Class) []Problem {
	if p == nil {
		return nil
	}
	k := p.kind(kindName)
	if k == nil {
		return []Problem{{"", "kind_unknown", Label{"Jenis rekaman tidak dikenal paket ini.", "The pack does not know this kind of record."}}}
	}
	plain, err := k.plainDoc(doc)
	if err != nil {
		return []Problem{{"", "document", Label{"Isi rekaman tidak dapat dibaca.", "The document can't be read."}}}
	}
	c, err := p.schema.get(k.Name)
	if err != nil {
		return []Problem{{"", "pack", Label{"Paket formulir tidak sah.", "The pack is not valid."}}}
	}
	v := validation{p: p, k: k, held: held}
	decoded := make(map[string]any, len(plain))
	for name, x := range plain {
		var e any
		d := json.NewDecoder(strings.NewReader(x))
		d.UseNumber()
		if d.Decode(&e) == nil {
			decoded[name] = e
		}
	}
	var failed *jsonschema.ValidationError
	if errors.As(c.Validate(decoded), &failed) {
		v.walk(failed)
	}
	v.rules(plain)
	slices.SortFunc(v.out, func(a, b Problem) int {
		return cmp.Or(strings.Compare(a.Path, b.Path), strings.Compare(a.Rule, b.Rule), strings.Compare(a.Message.Indonesian, b.Message.Indonesian))
	})
	return slices.Compact(v.out)
}

// plainDoc returns the members of a document as canonical JSON, as a
// projection would show them: lists as lists, observations as their values.
func (k *Kind) plainDoc(doc any) (map[string]string, error) {
	fields, err := fieldsOf(doc)
	if err != nil {
		return nil, err
	}
	out := make(map[string]string, len(fields))
	for name, x := range fields {
		f := k.field(name)
		if f != nil && f.items() {
			elements, err := elementsOf(x)
			if err != nil {
				return nil, err
			}
			texts := make([]string, len(elements))
			for i, e := range elements {
				texts[i] = e.JSON()
			}
			out[name] = "[" + strings.Join(texts, ",") + "]"
			continue
		}
		v, err := valueOf(x)
		if err != nil {
			return nil, err
		}
		if v = plainOf(f, v); !v.IsNull() {
			out[name] = v.JSON()
		}
	}
	return out, nil
}

type validation struct {
	p    *Pack
	k    *Kind
	held []syncproto.Class
	out  []Problem
}

// sees reports whether the caller has the class of a field.
func (v *validation) sees(name string) bool {
	f := v.k.field(name)
	return f == nil || len(v.held) == 0 || slices.Contains(v.held, f.Class)
}

func (v *validation) add(path []string, rule string, message Label) {
	if len(path) > 0 {
		if f := v.k.field(path[0]); f != nil {
			message.Indonesian = f.Label.Indonesian + ": " + message.Indonesian
			message.English = cmp.Or(f.Label.English, f.Name) + ": " + message.English
		}
	}
	v.out = append(v.out, Problem{strings.Join(path, "/"), rule, message})
}

// walk turns the library's tree of errors into findings.
func (v *validation) walk(e *jsonschema.ValidationError) {
	_, pointer, _ := strings.Cut(e.SchemaURL, "#")
	if n := v.p.schema.note(pointer); n != nil {
		if slices.ContainsFunc(n.Needs, func(f string) bool { return !v.sees(f) }) {
			return
		}
		v.out = append(v.out, Problem{n.Path, n.Code, *n.Message})
		return
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not:
		v.add(e.InstanceLocation, "shape", Label{"isi tidak cocok dengan salah satu bentuk yang diharapkan.", "the value has none of the expected forms."})
		return
	case *kind.Required:
		for _, name := range k.Missing {
			if len(e.InstanceLocation) > 0 || v.sees(name) {
				v.add(append(slices.Clone(e.InstanceLocation), name), "required", Label{"wajib diisi.", "is required."})
			}
		}
		return
	}
	if len(e.Causes) == 0 {
		rule, message := describe(e.ErrorKind)
		v.add(e.InstanceLocation, rule, message)
	}
	for _, c := range e.Causes {
		v.walk(c)
	}
}

func (v *validation) rules(doc map[string]string) {
	if len(v.k.Rules) == 0 {
		return
	}
	values := make(map[string]syncproto.Value, len(doc))
	for name, text := range doc {
		if x, err := syncproto.ParseValue([]byte(text)); err == nil {
			values[name] = x
		}
	}
	for _, r := range v.k.Rules {
		if !r.holds(values) {
			v.out = append(v.out, Problem{r.Left, r.Code, r.Message})
		}
	}
}

// describe says in words what a keyword wants.
func describe(k jsonschema.ErrorKind) (string, Label) {
	both := func(id, en string, args ...any) Label {
		return Label{fmt.Sprintf(id, args...), fmt.Sprintf(en, args...)}
	}
	switch k := k.(type) {
	case *kind.Type:
		return "type", both("jenis isi harus %s.", "the value must be of type %s.", strings.Join(k.Want, "/"))
	case *kind.Enum:
		return "enum", Label{"bukan salah satu pilihan.", "is not one of the choices."}
	case *kind.Const:
		return "const", Label{"isi tidak sesuai.", "is not the expected value."}
	case *kind.MinLength:
		return "minLength", both("terlalu pendek, paling sedikit %d huruf.", "is too short, at least %d characters.", k.Want)
	case *kind.MaxLength:
		return "maxLength", both("terlalu panjang, paling banyak %d huruf.", "is too long, at most %d characters.", k.Want)
	case *kind.Pattern:
		return "pattern", Label{"bentuk isi tidak sesuai.", "does not have the expected form."}
	case *kind.Format:
		if k.Want == "sambang-mrz" {
			return "mrz", Label{"angka pemeriksa MRZ tidak cocok; periksa lagi salinannya.", "the MRZ's check digits do not fit; check the copy."}
		}
		return "format", both("bentuk isi harus %s.", "must have the form %s.", k.Want)
	case *kind.Minimum:
		return "minimum", both("paling kecil %s.", "must be at least %s.", decimal(k.Want))
	case *kind.Maximum:
		return "maximum", both("paling besar %s.", "must be at most %s.", decimal(k.Want))
	case *kind.ExclusiveMinimum:
		return "exclusiveMinimum", both("harus lebih dari %s.", "must be more than %s.", decimal(k.Want))
	case *kind.ExclusiveMaximum:
		return "exclusiveMaximum", both("harus kurang dari %s.", "must be less than %s.", decimal(k.Want))
	case *kind.MinItems:
		return "minItems", both("paling sedikit %d butir.", "needs at least %d entries.", k.Want)
	case *kind.MaxItems:
		return "maxItems", both("paling banyak %d butir.", "has room for %d entries.", k.Want)
	case *kind.UniqueItems:
		return "uniqueItems", Label{"ada butir yang sama.", "has the same entry twice."}
	}
	path := k.KeywordPath()
	if len(path) == 0 {
		path = []string{"schema"}
	}
	return path[0], Label{"isi tidak sesuai aturan.", "does not follow the rule."}
}

func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	return strings.TrimRight(r.FloatString(6), "0")
}
