package pack

import (
	"cmp"
	"slices"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// Derivation says how a derived field comes from the rest of the document. It
// is computed anew by every projection and never written, so it can't be stale
// and makes no writes of its own. Exactly one of From and When is given.
type Derivation struct {
	// From is an append list of observations: the field shows the member Value
	// of the one that is latest by the member At, whenever it arrived. If
	// another observation of the WithinDays before it has a different Value
	// (and, with By, a different member By), a person must choose.
	From       string `json:"from,omitempty"`
	Value      string `json:"value,omitempty"`
	At         string `json:"at,omitempty"`
	By         string `json:"by,omitempty"`
	WithinDays int    `json:"within_days,omitempty"`
	// When names an entry of $defs: the field is true if the document fits
	// that schema, and shows nothing otherwise.
	When string `json:"when,omitempty"`
}

func checkDerivation(kind *Kind, f *Field) error {
	d := f.Derive
	if d == nil {
		return nil
	}
	where := kind.Name + "." + f.Name
	if f.Policy != PolicyDerived || f.Shape != ShapeRegister {
		return bad("field %s: derive needs policy derived and shape register", where)
	}
	if (d.From == "") == (d.When == "") {
		return bad("field %s: derive needs either from or when", where)
	}
	if d.From == "" {
		return nil
	}
	from := kind.fields[d.From]
	switch {
	case from == nil || from.Shape != ShapeAppend:
		return bad("field %s: derive.from %q is not an append list of the kind", where, d.From)
	case from.Class.Stricter(f.Class):
		return bad("field %s of class %s would show what is in %s of class %s", where, f.Class, d.From, from.Class)
	case d.Value == "" || d.At == "" || d.WithinDays < 0 || d.WithinDays > 36_500:
		return bad("field %s: derive needs value and at, and 0 to 36500 within_days", where)
	}
	return nil
}

// derive computes the derived fields.
func (j *projector) derive() {
	if j.kind == nil {
		return
	}
	for i := range j.kind.Fields {
		f := &j.kind.Fields[i]
		switch d := f.Derive; {
		case d == nil:
		case d.From != "":
			j.fromObservations(f)
		default:
			if j.pack.schema.fits(d.When, j.docNow()) {
				j.show(f, syncproto.MustValue(true))
			}
		}
	}
}

// docNow returns the document as far as it is projected.
func (j *projector) docNow() map[string]any {
	p := Projection{entries: j.out.entries}
	return p.Doc()
}

// show puts a computed value into the document, in place of a stored one.
func (j *projector) show(f *Field, v syncproto.Value) {
	i := slices.IndexFunc(j.out.entries, func(e entry) bool { return e.name == f.Name })
	if i < 0 {
		j.out.entries = append(j.out.entries, entry{name: f.Name, json: v.JSON(), value: v})
		return
	}
	j.out.entries[i].json, j.out.entries[i].value = v.JSON(), v
}

// sighting is one observation as a derivation sees it.
type sighting struct {
	value, by syncproto.Value
	at        int64 // Unix milliseconds
	item      item
}

func (j *projector) fromObservations(f *Field) {
	d := f.Derive
	i := slices.IndexFunc(j.out.entries, func(e entry) bool { return e.name == d.From })
	if i < 0 {
		return
	}
	var all []sighting
	for _, it := range j.out.entries[i].items {
		m, _ := membersOf(it.value)
		v, ok := m[d.Value]
		if !ok {
			continue
		}
		// Without a readable time, the time of writing is the time seen.
		s := sighting{value: v, by: m[d.By], at: it.first.HLC.Millis(), item: it}
		if t, err := time.Parse(time.RFC3339, unquote(m[d.At])); err == nil {
			s.at = t.UnixMilli()
		}
		all = append(all, s)
	}
	if len(all) == 0 {
		return
	}
	slices.SortFunc(all, func(a, b sighting) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.item.first.HLC, b.item.first.HLC), byDot(a.item.first, b.item.first))
	})
	latest := all[len(all)-1]
	j.show(f, latest.value)
	const dayMillis = 24 * 3_600_000
	c := Conflict{Field: f.Name, Class: f.Class, Policy: PolicyDerived, Review: true, Why: "observations_differ"}
	for _, s := range all {
		old := latest.at-s.at > int64(d.WithinDays)*dayMillis
		same := s.value == latest.value || d.By != "" && s.by == latest.by
		if (old || same) && s.item.key != latest.item.key {
			continue
		}
		c.Values = append(c.Values, Candidate{
			Value: s.value, Dot: s.item.first.Dot, HLC: s.item.first.HLC, Suspect: s.item.first.Suspect, Shown: s.value == latest.value,
		})
	}
	if len(c.Values) > 1 {
		c.Record = j.out.ID
		slices.SortFunc(c.Values, func(a, b Candidate) int {
			return cmp.Or(cmp.Compare(a.Dot.Replica, b.Dot.Replica), cmp.Compare(a.Dot.N, b.Dot.N))
		})
		j.out.Conflicts = append(j.out.Conflicts, c)
	}
}
