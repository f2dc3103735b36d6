package pack

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// Projection is what a record and its companions show: one document, the
// conflicts behind it, and what else a person should know. It is a pure
// function of the records' states, and its JSON is the same bytes everywhere.
type Projection struct {
	ID   syncproto.RecordID
	Kind string
	// Life says whether the record is deleted. With survivors somebody edited
	// it without knowing of the deletion; it is shown, and the deletion is one
	// of the conflicts.
	Life syncproto.Life
	// Purged says that headquarters erased content of the record.
	Purged bool
	// Conflicts are the registers whose values differ, in order of their
	// paths. They stay until a write dominates them (SPEC 4.12).
	Conflicts []Conflict
	Flags     []Flag

	pack    *Pack
	class   syncproto.Class // of the main record
	entries []entry         // sorted by name
}

// Conflict is a register, or a computed field, with different values.
type Conflict struct {
	// Record and Path name the register: a choice is a write there. Path is
	// "" if Field is computed from several registers.
	Record syncproto.RecordID `json:"record"`
	Path   string             `json:"path"`
	Field  string             `json:"field"` // the member of the document
	Class  syncproto.Class    `json:"class"`
	Policy Policy             `json:"policy"`
	// Review says that a person must choose; otherwise the policy has chosen
	// and the values are only listed as parallel.
	Review bool `json:"review"`
	// Why names the rule that chose the shown value: latest, latest_seen,
	// greatest, smallest, any_true, best_accuracy, add_wins, earliest,
	// strongest_evidence, edited_while_deleted, observations_differ.
	Why string `json:"why"`
	// Values are the siblings, in order of their dots.
	Values []Candidate `json:"values"`
}

// Candidate is one of the values of a conflict.
type Candidate struct {
	Value   syncproto.Value
	Dot     syncproto.Dot
	HLC     syncproto.HLC
	Suspect bool // the server found the writer's clock ahead
	Shown   bool // the document shows it; siblings of equal value are all shown
}

// MarshalJSON returns {"value","replica","n","at_millis","suspect","shown"}.
func (c Candidate) MarshalJSON() ([]byte, error) {
	return marshal(struct {
		Value   json.RawMessage `json:"value"`
		Replica string          `json:"replica"`
		N       uint64          `json:"n"`
		Millis  int64           `json:"at_millis"`
		Suspect bool            `json:"suspect,omitempty"`
		Shown   bool            `json:"shown,omitempty"`
	}{json.RawMessage(c.Value.JSON()), c.Dot.Replica.String(), c.Dot.N, c.HLC.Millis(), c.Suspect, c.Shown})
}

// FlagCode is the stable name of a flag.
type FlagCode string

// The flags.
const (
	FlagKindUnknown  FlagCode = "kind_unknown"      // the pack does not know the kind
	FlagFieldUnknown FlagCode = "field_unknown"     // the pack does not know the field; shown as it is
	FlagSuspect      FlagCode = "clock_suspect"     // the shown value was written with a clock ahead
	FlagDerived      FlagCode = "derived_by_device" // a device wrote a field that only the server may
	FlagNoAccuracy   FlagCode = "accuracy_unknown"  // the shown point has accuracy 0 or none: perhaps a fake location
	FlagRemoved      FlagCode = "item_removed"      // an item of an append list was taken out
	FlagState        FlagCode = "state_unknown"     // the shown state is not one of the pack's
	FlagMisplaced    FlagCode = "misplaced"         // the value lies in a record of another class than the pack's
	FlagForeign      FlagCode = "foreign_companion" // a record was given that is no companion of this one
)

// Flag points out something about a register; never a refusal.
type Flag struct {
	Path string   `json:"path"`
	Code FlagCode `json:"code"`
}

// entry is a member of the document and where it comes from.
type entry struct {
	name   string
	json   string // canonical; "" for a member that shows nothing
	value  syncproto.Value
	places []place // where a register of it is, the right place first
	items  []item  // of a set or list
	// whole are the places of a register that holds the set or list as one
	// value, as a writer without this pack makes it.
	whole []place
	// strays are registers of a group's single fields, as a writer makes them
	// whose pack does not group them. The group's next write clears them.
	strays []stray
}

type stray struct {
	place place
	path  string
}

// item is an element of a set or an item of a list.
type item struct {
	key   string
	value syncproto.Value
	place place
	first syncproto.Sibling // the earliest write of it
}

// home returns the class of the main record; of one that is yet to be made,
// what the pack says.
func (p Projection) home(k *Pack) syncproto.Class {
	if p.class != "" {
		return p.class
	}
	return k.Class(p.Kind)
}

// Review returns the conflicts that need a person.
func (p Projection) Review() []Conflict {
	return slices.DeleteFunc(slices.Clone(p.Conflicts), func(c Conflict) bool { return !c.Review })
}

// Conflict returns the conflict at a path.
func (p Projection) Conflict(path string) (Conflict, bool) {
	i := slices.IndexFunc(p.Conflicts, func(c Conflict) bool { return c.Path == path })
	if i < 0 {
		return Conflict{}, false
	}
	return p.Conflicts[i], true
}

// DocJSON returns the document as canonical JSON. It may be larger than a
// single [syncproto.Value].
func (p Projection) DocJSON() []byte {
	n := 2
	for _, e := range p.entries {
		n += len(e.name) + len(e.json) + 4
	}
	out := append(make([]byte, 0, n), '{')
	for _, e := range p.entries {
		if e.json == "" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendKey(out, e.name), ':'), e.json...)
	}
	return append(out, '}')
}

// Doc returns the document as a map of its own: values are string, bool,
// json.Number, []any and map[string]any. Sets are ordered by their elements,
// append lists by time, lists by their keys, unless the pack says otherwise.
func (p Projection) Doc() map[string]any {
	out := make(map[string]any, len(p.entries))
	for _, e := range p.entries {
		if e.json == "" {
			continue
		}
		if e.json[0] == '"' && strings.IndexByte(e.json, '\\') < 0 {
			out[e.name] = e.json[1 : len(e.json)-1]
			continue
		}
		var x any
		d := json.NewDecoder(strings.NewReader(e.json))
		d.UseNumber()
		if err := d.Decode(&x); err == nil {
			out[e.name] = x
		}
	}
	return out
}

// Get returns one member of the document; false if it shows nothing or is
// too large for one value.
func (p Projection) Get(name string) (syncproto.Value, bool) {
	e := p.entry(name)
	if e == nil || e.json == "" {
		return syncproto.Value{}, false
	}
	v, err := syncproto.ParseValue([]byte(e.json))
	return v, err == nil
}

func (p Projection) entry(name string) *entry {
	i, ok := slices.BinarySearchFunc(p.entries, name, func(e entry, n string) int { return strings.Compare(e.name, n) })
	if !ok {
		return nil
	}
	return &p.entries[i]
}

// MarshalJSON returns {"id","kind","doc","deleted","survivors","purged",
// "conflicts","flags"}.
func (p Projection) MarshalJSON() ([]byte, error) {
	return marshal(struct {
		ID        string          `json:"id"`
		Kind      string          `json:"kind"`
		Doc       json.RawMessage `json:"doc"`
		Deleted   bool            `json:"deleted,omitempty"`
		Survivors []string        `json:"survivors,omitempty"`
		Purged    bool            `json:"purged,omitempty"`
		Conflicts []Conflict      `json:"conflicts,omitempty"`
		Flags     []Flag          `json:"flags,omitempty"`
	}{p.ID.String(), p.Kind, p.DocJSON(), p.Life.Deleted, p.Life.Survivors, p.Purged, p.Conflicts, p.Flags})
}

// MarshalJSON returns the conflict with its record's id as text.
func (c Conflict) MarshalJSON() ([]byte, error) {
	type plain Conflict
	return marshal(struct {
		Record string `json:"record"`
		plain
	}{c.Record.String(), plain(c)})
}

// marshal is json.Marshal without escapes that only HTML needs: an MRZ is full
// of "<".
func marshal(x any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(x)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// appendKey appends a key of an object as canonical JSON.
func appendKey(b []byte, key string) []byte {
	if isName(key) {
		return append(append(append(b, '"'), key...), '"')
	}
	return append(b, syncproto.MustValue(key).JSON()...)
}
