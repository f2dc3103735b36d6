package syncproto

import (
	"iter"
	"slices"
)

// Delta is what one replica tells another about a record. Paths that it does
// not name are unchanged for a receiver whose context covers the base; a
// delta with an empty base is the full state (theorem 3.1).
//
// It is immutable, and well formed: paths sorted and unique, registers not
// empty, every dot covered by the context, every elided dot and the floor
// too.
type Delta struct {
	id     RecordID
	base   VV
	ctx    VV
	floor  VV
	fields []Field
}

// NewDelta checks the parts of a delta that came over the wire and returns
// it. It takes over the slices. Errors carry the code of what is wrong.
func NewDelta(id RecordID, base, ctx, floor VV, fields []Field) (Delta, error) {
	switch {
	case id.IsZero():
		return Delta{}, Errorf(CodeBadID, "record id is zero")
	case ctx.IsEmpty():
		return Delta{}, Errorf(CodeBadVector, "context is empty")
	case !base.LessEq(ctx):
		return Delta{}, Errorf(CodeBadVector, "base is not covered by the context")
	case !floor.LessEq(ctx):
		return Delta{}, Errorf(CodeBadVector, "floor is not covered by the context")
	case len(fields) > MaxFields:
		return Delta{}, Errorf(CodeTooMany, "record of %d fields, at most %d", len(fields), MaxFields)
	}
	for i, f := range fields {
		if err := CheckPath(f.Path); err != nil {
			return Delta{}, err
		}
		switch {
		case i > 0 && fields[i-1].Path >= f.Path:
			return Delta{}, Errorf(CodeBadRecord, "paths not sorted or not unique at field %d", i)
		case len(f.Siblings) == 0:
			return Delta{}, Errorf(CodeBadRecord, "field %d has no sibling", i)
		case len(f.Siblings) > MaxSiblings:
			return Delta{}, Errorf(CodeTooMany, "field of %d siblings, at most %d", len(f.Siblings), MaxSiblings)
		}
		for j, s := range f.Siblings {
			switch {
			case s.Dot.Replica == 0 || s.Dot.N == 0:
				return Delta{}, Errorf(CodeBadVector, "dot %s has a zero", s.Dot)
			case j > 0 && !f.Siblings[j-1].Dot.Less(s.Dot):
				return Delta{}, Errorf(CodeBadRecord, "dots not sorted or not unique in field %d", i)
			case !ctx.Covers(s.Dot):
				return Delta{}, Errorf(CodeBadVector, "dot %s is not covered by the context", s.Dot)
			case s.Elided() && !base.Covers(s.Dot):
				return Delta{}, Errorf(CodeBadVector, "elided dot %s is not covered by the base", s.Dot)
			}
		}
	}
	return Delta{id, base, ctx, floor, fields}, nil
}

// ID returns the name of the record.
func (d Delta) ID() RecordID { return d.id }

// Base returns what a receiver must have seen to apply the delta.
func (d Delta) Base() VV { return d.base }

// Context returns what the sender had seen.
func (d Delta) Context() VV { return d.ctx }

// Floor returns the sender's floor.
func (d Delta) Floor() VV { return d.floor }

// Fields yields the named registers in order of their paths.
func (d Delta) Fields() iter.Seq[Field] { return slices.Values(d.fields) }

// Len returns the number of named registers.
func (d Delta) Len() int { return len(d.fields) }

// IsFull reports whether the delta is a full state.
func (d Delta) IsFull() bool { return d.base.IsEmpty() }

// Delta returns what a receiver whose context is about hint needs: a path is
// left out iff all its dots are covered by hint, and within a named path a
// sibling so covered is elided; both go into the base, which is thereby
// computed from what was left out (C1). So hint need not be true: it decides
// about bytes, never about safety. An empty hint gives the full state.
//
// Paths in force are named with their values whatever the hint.
func (r Record) Delta(hint VV, force ...string) Delta {
	if hint.IsEmpty() {
		return r.Full()
	}
	d := Delta{id: r.id, ctx: r.ctx, floor: r.floor}
	for _, f := range r.fields {
		forced := slices.Contains(force, f.Path)
		covered := 0
		for _, s := range f.Siblings {
			if hint.Covers(s.Dot) {
				covered++
			}
		}
		switch {
		case covered == 0 || forced:
			d.fields = append(d.fields, f)
		case covered == len(f.Siblings):
			d.base = coverAll(d.base, f.Siblings)
		default:
			out := slices.Clone(f.Siblings)
			for i, s := range out {
				if hint.Covers(s.Dot) {
					out[i] = Sibling{Dot: s.Dot, HLC: s.HLC}
					d.base = d.base.With(s.Dot)
				}
			}
			d.fields = append(d.fields, Field{f.Path, out})
		}
	}
	return d
}

// DeltaOf names exactly the paths that want selects; the base covers the
// rest.
func (r Record) DeltaOf(want func(path string) bool) Delta {
	d := Delta{id: r.id, ctx: r.ctx, floor: r.floor}
	for _, f := range r.fields {
		if want(f.Path) {
			d.fields = append(d.fields, f)
		} else {
			d.base = coverAll(d.base, f.Siblings)
		}
	}
	return d
}

// Full returns the full state: all paths, empty base.
func (r Record) Full() Delta {
	return Delta{id: r.id, ctx: r.ctx, floor: r.floor, fields: r.fields}
}

func coverAll(base VV, siblings []Sibling) VV {
	for _, s := range siblings {
		base = base.With(s.Dot)
	}
	return base
}
