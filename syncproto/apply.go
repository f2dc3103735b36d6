package syncproto

import (
	"slices"

	"github.com/sambang-id/sambang/internal/ablate"
)

// Change says what a join did.
type Change struct {
	Record Record
	// Paths are the registers whose siblings are not the ones they were, in
	// order. A register that a floor emptied is among them.
	Paths []string
	// Changed reports whether anything changed at all. If not, Record is the
	// receiver as it was, and nothing may be stored or numbered (I14).
	Changed bool
}

// Apply joins a delta into a record and is the only way that two histories
// meet (4.1). It is pure; commit the result in one transaction.
//
// Errors: [CodeNeedFull] when the record has not seen what the delta leaves
// out: ask for the full state. [CodeTripwire] or [CodeEquivocation] when no
// honest history explains the two states (3.2): dot reuse, a hole, an inflated
// context, or damage; nothing was changed, and [Absorb] is the repair.
func Apply(r Record, d Delta) (Change, error) {
	if r.id != d.id {
		return Change{}, Errorf(CodeBadRecord, "delta of record %s applied to %s", d.id, r.id)
	}
	if !ablate.Off(ablate.A01BaseCheck) && !d.base.LessEq(r.ctx) {
		return Change{}, Errorf(CodeNeedFull, "context does not cover the base of the delta")
	}
	if r.IsZero() {
		return first(r, d)
	}
	floor := r.floor.Join(d.floor)
	m := merge{r: r, d: d, floor: floor, out: make([]Field, 0, max(len(r.fields), len(d.fields)))}
	i, j := 0, 0
	for i < len(r.fields) || j < len(d.fields) {
		var err error
		switch {
		case j == len(d.fields) || i < len(r.fields) && r.fields[i].Path < d.fields[j].Path:
			err = m.unnamed(r.fields[i])
			i++
		case i == len(r.fields) || d.fields[j].Path < r.fields[i].Path:
			err = m.named(d.fields[j].Path, nil, d.fields[j].Siblings)
			j++
		default:
			err = m.named(d.fields[j].Path, r.fields[i].Siblings, d.fields[j].Siblings)
			i, j = i+1, j+1
		}
		if err != nil {
			return Change{}, err
		}
	}
	ctx := r.ctx.Join(d.ctx)
	if ablate.Off(ablate.A19NoPruning) {
		ctx = ctx.pruned(m.out)
	}
	if len(m.paths) == 0 && ctx.Equal(r.ctx) && floor.Equal(r.floor) {
		return Change{Record: r}, nil
	}
	if len(m.out) > MaxFields {
		return Change{}, Errorf(CodeTooMany, "record of %d fields, at most %d", len(m.out), MaxFields)
	}
	if ctx.Len() > MaxVectorEntries {
		return Change{}, Errorf(CodeTooMany, "context of %d entries, at most %d", ctx.Len(), MaxVectorEntries)
	}
	return Change{Record: Record{r.id, ctx, floor, m.out}, Paths: m.paths, Changed: true}, nil
}

// first applies a full state to a record of which nothing is known.
func first(r Record, d Delta) (Change, error) {
	out := d.fields
	if !d.floor.IsEmpty() {
		out = make([]Field, 0, len(d.fields))
		for _, f := range d.fields {
			if s := aboveFloor(f.Path, f.Siblings, d.floor); len(s) > 0 {
				out = append(out, Field{f.Path, s})
			}
		}
	}
	paths := make([]string, len(out))
	for i, f := range out {
		paths[i] = f.Path
	}
	return Change{Record: Record{r.id, d.ctx, d.floor, out}, Paths: paths, Changed: true}, nil
}

type merge struct {
	r     Record
	d     Delta
	floor VV
	out   []Field
	paths []string
}

// unnamed keeps a register that the delta leaves out, if that is honest.
func (m *merge) unnamed(f Field) error {
	l := aboveFloor(f.Path, f.Siblings, m.floor)
	for _, s := range l {
		if !ablate.Off(ablate.A00Net) && m.d.ctx.Covers(s.Dot) && !m.d.base.Covers(s.Dot) {
			return Errorf(CodeTripwire, "delta has seen dot %s, but neither names nor bases its path", s.Dot)
		}
	}
	m.keep(f.Path, f.Siblings, l)
	return nil
}

// named joins the two registers at one path.
func (m *merge) named(path string, left, right []Sibling) error {
	l := aboveFloor(path, left, m.floor)
	s := aboveFloor(path, right, m.floor)
	out := make([]Sibling, 0, len(l)+len(s))
	var lostL, newL, lostS, newS, raised bool
	i, j := 0, 0
	for i < len(l) || j < len(s) {
		switch {
		case j == len(s) || i < len(l) && l[i].Dot.Less(s[j].Dot):
			if m.d.ctx.Covers(l[i].Dot) {
				lostL = true
			} else {
				newL, out = true, append(out, l[i])
			}
			i++
		case i == len(l) || s[j].Dot.Less(l[i].Dot):
			switch {
			case m.r.ctx.Covers(s[j].Dot):
				lostS = true
			case s[j].Elided():
				return Errorf(CodeNeedFull, "value of dot %s was left out", s[j].Dot)
			default:
				newS, out = true, append(out, s[j])
			}
			j++
		default:
			keep := l[i]
			if !s[j].Elided() {
				if !ablate.Off(ablate.A00Net) && (s[j].Value != keep.Value || s[j].HLC != keep.HLC) {
					return Errorf(CodeEquivocation, "dot %s names two writes", keep.Dot)
				}
				if s[j].Suspect && !keep.Suspect {
					keep.Suspect, raised = true, true
				}
			}
			out = append(out, keep)
			i, j = i+1, j+1
		}
	}
	if !ablate.Off(ablate.A00Net) && (lostL && !newS || lostS && !newL) {
		return Errorf(CodeTripwire, "a sibling vanishes without a write that replaces it")
	}
	if len(out) > MaxSiblings {
		return Errorf(CodeTooMany, "field of %d siblings, at most %d", len(out), MaxSiblings)
	}
	if !lostL && !newS && !raised {
		out = l // the same siblings: share memory
	}
	m.keepMerged(path, left, out, lostL || newS || raised)
	return nil
}

func (m *merge) keep(path string, before, after []Sibling) {
	m.keepMerged(path, before, after, false)
}

func (m *merge) keepMerged(path string, before, after []Sibling, changed bool) {
	if changed || len(before) != len(after) {
		m.paths = append(m.paths, path)
	}
	if len(after) > 0 && (!ablate.Off(ablate.A18NoGC) || !allNull(after)) {
		m.out = append(m.out, Field{path, after})
	}
}

// Absorb is the universal repair of a state that can't be joined (4.9): it
// puts each value of d that r does not show yet beside r's siblings, under a
// dot of the absorbing replica, and removes nothing. absorbed is called with
// each sibling of d and reports whether it was taken over before, so that the
// repair is idempotent.
func Absorb(r Record, d Delta, m Minter, nowMillis int64, absorbed func(path string, s Sibling) bool) (Record, Minter, []Mint) {
	var mints []Mint
	for _, f := range d.fields {
		for _, s := range f.Siblings {
			if s.Elided() || r.floor.Covers(s.Dot) || absorbed(f.Path, s) {
				continue
			}
			have, ok := r.Field(f.Path)
			if ok && slices.ContainsFunc(have.Siblings, func(h Sibling) bool { return h.Value == s.Value }) {
				continue
			}
			var mint Mint
			m, mint = m.mintAt(r.id, f.Path, s.Value, s.HLC, nowMillis)
			beside := Sibling{Dot: mint.Dot, HLC: mint.HLC, Value: s.Value, Suspect: s.Suspect, Extra: s.Extra}
			r = r.with(f.Path, insertSibling(have.Siblings, beside))
			mints = append(mints, mint)
		}
	}
	return r, m, mints
}

func insertSibling(siblings []Sibling, s Sibling) []Sibling {
	i, _ := slices.BinarySearchFunc(siblings, s, func(a, b Sibling) int {
		if a.Dot.Less(b.Dot) {
			return -1
		}
		if b.Dot.Less(a.Dot) {
			return 1
		}
		return 0
	})
	return slices.Insert(slices.Clone(siblings), i, s)
}
