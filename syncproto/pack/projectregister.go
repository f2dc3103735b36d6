package pack

import (
	"cmp"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
)

// resolve joins the registers of one path, lists a conflict, and returns the
// register's value that is shown and what the document shows of it.
func (j *projector) resolve(member string, policy Policy, f *Field, want place, regs []register, e *entry) (syncproto.Value, syncproto.Value) {
	best := 0
	for i, r := range regs {
		if j.recs[r.in].place == want {
			best = i
		}
	}
	right := regs[best]
	siblings := right.field.Siblings
	e.places = slices.Clip(j.recs[right.in].places)
	for i, r := range regs {
		if i == best {
			continue
		}
		// A null elsewhere is how an edit clears the wrong place.
		if v, ok := r.field.Value(); ok && v.IsNull() {
			continue
		}
		e.places = append(e.places, j.recs[r.in].place)
		siblings = append(slices.Clone(siblings), r.field.Siblings...)
	}
	if v, ok := right.field.Value(); ok && v.IsNull() && len(e.places) > 1 {
		siblings = siblings[len(right.field.Siblings):]
	}
	if len(siblings) > len(right.field.Siblings) {
		slices.SortStableFunc(siblings, byDot)
	}
	s := j.settle(policy, right.path, siblings)
	if s.differ {
		shown := plain(policy, s.value)
		joined := syncproto.Field{Path: right.path, Siblings: siblings}
		j.conflict(j.recs[right.in], joined, member, policy, s.review, s.why, func(x syncproto.Sibling) bool { return plain(policy, x.Value) == shown })
	}
	if s.value.IsNull() {
		return s.value, s.value
	}
	if want != (place{}) && (j.recs[right.in].place != want || len(e.places) > 1) {
		j.flag(right.path, FlagMisplaced)
	}
	if s.suspect {
		j.flag(right.path, FlagSuspect)
	}
	o, _ := observe(policy, s.value)
	j.check(f, right.path, o.value)
	return s.value, o.value
}

// settle applies the policy, and flags what devices may not write.
func (j *projector) settle(policy Policy, path string, siblings []syncproto.Sibling) choice {
	if policy == PolicyDerived && j.o.IsServer != nil {
		own := slices.DeleteFunc(slices.Clone(siblings), func(s syncproto.Sibling) bool { return !j.o.IsServer(s.Dot.Replica) })
		if len(own) < len(siblings) {
			j.flag(path, FlagDerived)
		}
		if len(own) == 0 {
			c := settle(policy, siblings, j.evidence)
			c.value = syncproto.Null
			return c
		}
		c := settle(policy, own, j.evidence)
		_, agree := syncproto.Field{Siblings: siblings}.Value()
		c.differ = !agree
		return c
	}
	return settle(policy, siblings, j.evidence)
}

// evidence returns how strong a sibling's evidence is: what its observation
// says, or what its writer said of the record in the fields that the kind
// names.
func (j *projector) evidence(s syncproto.Sibling) int {
	if o, ok := observe(PolicyReview, s.Value); ok && o.evidence != "" {
		return evidenceRank(o.evidence)
	}
	best := -1
	if j.kind == nil {
		return best
	}
	for _, e := range j.kind.Evidence {
		for _, r := range j.recs {
			f, _ := r.record.Field(e.Field)
			if slices.ContainsFunc(f.Siblings, func(x syncproto.Sibling) bool {
				return x.Dot.Replica == s.Dot.Replica && x.Value == e.Value
			}) {
				best = max(best, evidenceRank(e.Is))
			}
		}
	}
	return best
}

// check flags a shown value that is not what the field's policy expects.
func (j *projector) check(f *Field, path string, v syncproto.Value) {
	if f == nil {
		return
	}
	switch f.Policy {
	case PolicyBest:
		if _, ok := accuracy(v); !ok {
			j.flag(path, FlagNoAccuracy)
		}
	case PolicyFSM:
		s, ok := v.Text()
		if !ok || !slices.ContainsFunc(f.Choices, func(c Choice) bool { return c.Value == s }) {
			j.flag(path, FlagState)
		}
	}
}

func byDot(a, b syncproto.Sibling) int {
	return cmp.Or(cmp.Compare(a.Dot.Replica, b.Dot.Replica), cmp.Compare(a.Dot.N, b.Dot.N))
}
