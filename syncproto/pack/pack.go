package pack

import (
	_ "embed"
	"slices"
	"sync"

	"github.com/sambang-id/sambang/syncproto"
)

// Policy says how the concurrent values of one register are shown. It never
// decides what is kept: all values stay until a write dominates them.
type Policy string

// The policies. Those that need a person put the register on the projection's
// list of reviews as soon as its values differ; the others settle it and say
// so.
const (
	PolicyLWW     Policy = "lww"     // the latest write; no choice needed
	PolicyLWWObs  Policy = "lww_obs" // the latest seen, see [Observation]; no choice needed
	PolicyMax     Policy = "max"     // the greatest; no choice needed
	PolicyMin     Policy = "min"     // the smallest; no choice needed
	PolicyOr      Policy = "or"      // true sticks; no choice needed
	PolicyBest    Policy = "best"    // the point of the smallest accuracy_m above 0; no choice needed
	PolicyUnion   Policy = "union"   // of sets: all elements, adding wins; no choice needed
	PolicyAppend  Policy = "append"  // of append lists: all items; a changed item needs a person
	PolicyFirst   Policy = "first"   // written once; the earliest is shown, different values need a person
	PolicyFrozen  Policy = "frozen"  // like first, and closed when the record is final
	PolicyFSM     Policy = "fsm"     // moves between states; two different moves need a person
	PolicyDerived Policy = "derived" // computed, or written by the server alone
	PolicyReview  Policy = "review"  // the strongest evidence is shown; a person decides
	PolicyManual  Policy = "manual"  // the latest is shown; a person decides
)

var policies = []Policy{ //nolint:gochecknoglobals // constant
	PolicyLWW, PolicyLWWObs, PolicyMax, PolicyMin, PolicyOr, PolicyBest, PolicyUnion, PolicyAppend,
	PolicyFirst, PolicyFrozen, PolicyFSM, PolicyDerived, PolicyReview, PolicyManual,
}

// Shape says which registers a field has; see the package comment.
type Shape string

// The shapes of a field.
const (
	ShapeRegister Shape = "register"
	ShapeSet      Shape = "set"
	ShapeAppend   Shape = "append"
	ShapeList     Shape = "list"
)

// Label is a text for people in Indonesian and English.
type Label struct {
	Indonesian string `json:"id"`
	English    string `json:"en,omitempty"`
}

// Choice is one value of an enumeration or one state, with its label.
type Choice struct {
	Value string
	Label Label
}

// Row is one line of a pack's table, such as the table of findings.
type Row struct {
	Code  string            `json:"code"`
	Label Label             `json:"label"`
	Notes map[string]string `json:"notes,omitempty"`
}

// Field is a field of a kind, or of an item of a list.
type Field struct {
	Name        string
	Type        string // what the value is to a form: text, enum, date, region, geopoint, …
	Label       Label
	Rule        string // the rule in words, for people
	Policy      Policy
	Shape       Shape
	Class       syncproto.Class
	Sensitivity string // S0 to S3
	Required    bool
	Group       string   // the group whose register holds the field, or ""
	Ref         string   // the kind whose id the value is, or ""
	Key         string   // of a list: the member of an item that holds its key
	Natural     []string // of a list: the members that make an item's natural key
	Order       string   // of a list: the member by which items are ordered
	Choices     []Choice
	Moves       map[string][]string // of fsm: the states that each state may move to
	Final       []string            // of fsm: the states in which frozen fields are closed
	Derive      *Derivation
	Fields      []Field // of a list: the fields of an item
}

// items reports whether the field has one register per item.
func (f *Field) items() bool { return f.Shape != ShapeRegister }

// itemPolicy returns the policy of one field of an item of a list.
func (f *Field) itemPolicy(name string) Policy {
	for i := range f.Fields {
		if f.Fields[i].Name == name {
			return f.Fields[i].Policy
		}
	}
	return f.Policy
}

// EvidenceRule says what a writer's evidence was: if the writer's value of a
// field is Value, the other values that he wrote into the record rest on Is
// (mrz, original, copy or spoken). The strongest that fits holds. It orders the
// values of fields of policy review that are no [Observation].
type EvidenceRule struct {
	Field string          `json:"field"`
	Value syncproto.Value `json:"-"`
	Is    string          `json:"is"`
}

// Group is a set of fields that are one register.
type Group struct {
	Name   string
	Label  Label
	Policy Policy
	Class  syncproto.Class
	Fields []string
}

// Kind is what a pack knows about a kind of records.
type Kind struct {
	Name       string
	Label      Label
	Note       string
	NaturalKey string
	// Class is the class of the main record: the widest among the fields.
	Class syncproto.Class
	// Strictest is the class to which fields go that the pack does not know.
	Strictest syncproto.Class
	Fields    []Field // in the order of the form
	Groups    []Group
	Rules     []Rule
	Evidence  []EvidenceRule

	fields map[string]*Field
	groups map[string]*Group
}

// Field returns the field of that name.
func (k Kind) Field(name string) (Field, bool) {
	if f := k.field(name); f != nil {
		return *f, true
	}
	return Field{}, false
}

func (k *Kind) field(name string) *Field {
	if k == nil {
		return nil
	}
	return k.fields[name]
}

func (k *Kind) group(name string) *Group {
	if k == nil {
		return nil
	}
	return k.groups[name]
}

// Classes returns the classes that fields of the kind have, the main record's
// first.
func (k Kind) Classes() []syncproto.Class {
	var out []syncproto.Class
	for _, c := range []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ} {
		if slices.ContainsFunc(k.Fields, func(f Field) bool { return f.Class == c }) {
			out = append(out, c)
		}
	}
	return out
}

// Pack is a schema of kinds. The nil pack knows nothing: every field is one
// register of class D that shows its latest value.
type Pack struct {
	name          string
	version       string
	defaultClass  syncproto.Class
	classes       map[string]Label
	sensitivities map[string]Label
	kinds         []Kind
	byName        map[string]*Kind
	tables        map[string][]Row
	schema        *schema
}

// None returns the pack that knows nothing, which is nil.
func None() *Pack { return nil }

//go:embed timpora.json
var timporaJSON []byte

var timpora = sync.OnceValue(func() *Pack { //nolint:gochecknoglobals // made once, immutable
	p, err := parse(timporaJSON)
	if err != nil {
		panic(err) // a test parses the embedded pack
	}
	return p
})

// Timpora returns the embedded pack of the foreigner surveillance teams.
func Timpora() *Pack { return timpora() }

// TimporaJSON returns the document of the embedded pack.
func TimporaJSON() []byte { return slices.Clone(timporaJSON) }

// Name returns the pack's name, "" of the nil pack.
func (p *Pack) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// Version returns the pack's version, "" of the nil pack. It is what a writer
// puts into the register $schema, as [Pack.Schema] gives it.
func (p *Pack) Version() string {
	if p == nil {
		return ""
	}
	return p.version
}

// Schema returns "name@version", "" of the nil pack.
func (p *Pack) Schema() string {
	if p == nil {
		return ""
	}
	return p.name + "@" + p.version
}

// Kinds returns the kinds in the order of the pack.
func (p *Pack) Kinds() []Kind {
	if p == nil {
		return nil
	}
	return slices.Clone(p.kinds)
}

// Kind returns what the pack knows about a kind; false if nothing.
func (p *Pack) Kind(name string) (Kind, bool) {
	if k := p.kind(name); k != nil {
		return *k, true
	}
	return Kind{}, false
}

func (p *Pack) kind(name string) *Kind {
	if p == nil {
		return nil
	}
	return p.byName[name]
}

// Class returns the class in which a new record of the kind is made: the
// widest of its fields, or the pack's default class if the kind is unknown.
func (p *Pack) Class(kind string) syncproto.Class {
	switch k := p.kind(kind); {
	case k != nil:
		return k.Class
	case p == nil:
		return syncproto.ClassDevice
	}
	return p.defaultClass
}

// Table returns a table of the pack, such as "findings"; nil if there is none.
func (p *Pack) Table(name string) []Row {
	if p == nil {
		return nil
	}
	return slices.Clone(p.tables[name])
}

// ClassLabel returns what a class is called.
func (p *Pack) ClassLabel(c syncproto.Class) Label {
	if p == nil {
		return Label{}
	}
	return p.classes[string(c)]
}

// SensitivityLabel returns what a sensitivity is called.
func (p *Pack) SensitivityLabel(s string) Label {
	if p == nil {
		return Label{}
	}
	return p.sensitivities[s]
}
