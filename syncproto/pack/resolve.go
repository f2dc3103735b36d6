package pack

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// choice is what a policy makes of the siblings of a register.
type choice struct {
	value   syncproto.Value
	differ  bool   // the siblings hold different values
	review  bool   // and a person must choose
	why     string // the rule that chose
	suspect bool   // the shown value has no sibling with an honest clock
}

// settle chooses the value to show. It depends on the set of siblings alone,
// and on the evidence that each of their writers has.
func settle(policy Policy, siblings []syncproto.Sibling, evidence func(syncproto.Sibling) int) choice {
	field := syncproto.Field{Siblings: siblings}
	if v, agree := field.Value(); agree {
		return choice{value: v, suspect: allSuspect(siblings, v)}
	}
	c := choose(policy, field, evidence)
	// The same seen twice, at other times or on other evidence, is no conflict.
	shown := plain(policy, c.value)
	c.differ = slices.ContainsFunc(siblings, func(s syncproto.Sibling) bool { return plain(policy, s.Value) != shown })
	c.review = c.review && c.differ
	return c
}

// plain returns the value without what is said of how it was seen.
func plain(policy Policy, v syncproto.Value) syncproto.Value {
	o, _ := observe(policy, v)
	return o.value
}

func choose(policy Policy, field syncproto.Field, evidence func(syncproto.Sibling) int) choice {
	siblings := field.Siblings
	var c choice
	var s syncproto.Sibling
	switch policy {
	case PolicyLWWObs:
		s, c.why = last(siblings, compareSeen), "latest_seen"
	case PolicyMax:
		s, c.why = last(siblings, compareValues), "greatest"
	case PolicyMin:
		s, c.why = last(siblings, func(a, b syncproto.Sibling) int {
			// null is least in the order of values, but never the minimum
			if a.Value.IsNull() != b.Value.IsNull() {
				return compareValues(a, b)
			}
			return compareValues(b, a)
		}), "smallest"
	case PolicyOr:
		s, c.why = last(siblings, func(a, b syncproto.Sibling) int {
			return cmp.Or(compareBool(isTrue(a.Value), isTrue(b.Value)), compareTime(a, b))
		}), "any_true"
	case PolicyBest:
		s, c.why = last(siblings, compareAccuracy), "best_accuracy"
	case PolicyUnion:
		s, c.why = last(siblings, func(a, b syncproto.Sibling) int {
			return cmp.Or(compareBool(!a.Value.IsNull(), !b.Value.IsNull()), compareTime(a, b))
		}), "add_wins"
	case PolicyFirst, PolicyFrozen:
		s, c.why, c.review = last(siblings, func(a, b syncproto.Sibling) int {
			// The earliest with an honest clock; a deletion is never the first.
			return cmp.Or(
				compareBool(!a.Value.IsNull(), !b.Value.IsNull()),
				compareBool(b.Suspect, a.Suspect), cmp.Compare(b.HLC, a.HLC), byDot(b, a))
		}), "earliest", true
	case PolicyAppend:
		s, c.why, c.review = last(siblings, func(a, b syncproto.Sibling) int {
			return cmp.Or(compareBool(!a.Value.IsNull(), !b.Value.IsNull()), cmp.Compare(b.HLC, a.HLC), byDot(b, a))
		}), "earliest", true
	case PolicyReview:
		s, c.why, c.review = last(siblings, func(a, b syncproto.Sibling) int {
			// By evidence, then as lww; a deletion has none.
			return cmp.Or(
				compareBool(!a.Value.IsNull(), !b.Value.IsNull()),
				cmp.Compare(evidence(a), evidence(b)), compareTime(a, b))
		}), "strongest_evidence", true
	case PolicyFSM, PolicyManual:
		s, c.why, c.review = field.Latest(), "latest", true
	case PolicyLWW, PolicyDerived:
		s, c.why = field.Latest(), "latest"
	default:
		s, c.why = field.Latest(), "latest"
	}
	c.value = s.Value
	c.suspect = allSuspect(siblings, s.Value)
	return c
}

func allSuspect(siblings []syncproto.Sibling, v syncproto.Value) bool {
	return !slices.ContainsFunc(siblings, func(s syncproto.Sibling) bool { return s.Value == v && !s.Suspect })
}

// last returns the greatest sibling of a total order.
func last(siblings []syncproto.Sibling, compare func(a, b syncproto.Sibling) int) syncproto.Sibling {
	return slices.MaxFunc(siblings, compare)
}

// compareTime orders as lww does: honest clocks over suspect ones, then by
// time, then by dot.
func compareTime(a, b syncproto.Sibling) int {
	return cmp.Or(compareBool(b.Suspect, a.Suspect), cmp.Compare(a.HLC, b.HLC), byDot(a, b))
}

// compareSeen orders by the time seen: honest clocks, then the day, then who
// was there over who read it, then the time of day.
func compareSeen(a, b syncproto.Sibling) int {
	x, inPersonX := seen(a)
	y, inPersonY := seen(b)
	return cmp.Or(
		compareBool(b.Suspect, a.Suspect),
		cmp.Compare(day(x), day(y)), compareBool(inPersonX, inPersonY), cmp.Compare(x, y), compareTime(a, b))
}

// seen returns when the value of a sibling was seen, in Unix milliseconds:
// what its observation says, but not after it was written.
func seen(s syncproto.Sibling) (int64, bool) {
	o, ok := observe(PolicyLWWObs, s.Value)
	written := s.HLC.Millis()
	if !ok {
		return written, false
	}
	at := written
	if t, err := time.Parse(time.RFC3339, o.at); err == nil {
		at = min(t.UnixMilli(), written)
	}
	return at, o.presence == "in_person"
}

// day returns the number of the day in UTC+7, in which agencies work.
func day(millis int64) int64 {
	const wib, length = 7 * 3_600_000, 24 * 3_600_000
	return (millis + wib) / length
}

// compareValues orders by value as [compareTyped] does, then as lww.
func compareValues(a, b syncproto.Sibling) int {
	return cmp.Or(compareTyped(a.Value, b.Value), compareTime(a, b))
}

// compareTyped orders values: null, then by type (bool, number, text, other);
// numbers as exact decimals, instants (RFC 3339) by time, other texts by
// bytes.
func compareTyped(a, b syncproto.Value) int {
	ra, rb := typeRank(a), typeRank(b)
	if ra != rb || a == b {
		return cmp.Compare(ra, rb)
	}
	switch ra {
	case 2:
		x, okX := new(big.Rat).SetString(a.JSON())
		y, okY := new(big.Rat).SetString(b.JSON())
		if okX && okY {
			return x.Cmp(y)
		}
	case 3:
		x, errX := time.Parse(time.RFC3339, unquote(a))
		y, errY := time.Parse(time.RFC3339, unquote(b))
		switch {
		case errX == nil && errY == nil:
			return x.Compare(y)
		case (errX == nil) != (errY == nil):
			return compareBool(errX == nil, errY == nil)
		}
	}
	return strings.Compare(a.JSON(), b.JSON())
}

func unquote(v syncproto.Value) string {
	s, _ := v.Text()
	return s
}

func typeRank(v syncproto.Value) int {
	if v.IsZero() || v.IsNull() {
		return 0
	}
	switch c := v.JSON()[0]; {
	case c == 't' || c == 'f':
		return 1
	case c == '-' || c >= '0' && c <= '9':
		return 2
	case c == '"':
		return 3
	}
	return 4
}

// compareAccuracy orders points from the worst to the best: null, no or zero
// accuracy, then by falling accuracy_m, then as lww.
func compareAccuracy(a, b syncproto.Sibling) int {
	x, okX := accuracy(a.Value)
	y, okY := accuracy(b.Value)
	c := cmp.Or(compareBool(!a.Value.IsNull(), !b.Value.IsNull()), compareBool(okX, okY))
	if c == 0 && okX {
		c = y.Cmp(x)
	}
	return cmp.Or(c, compareTime(a, b))
}

// accuracy returns accuracy_m of a point if it is above 0.
func accuracy(v syncproto.Value) (*big.Rat, bool) {
	m, _ := membersOf(v)
	a := m["accuracy_m"]
	if typeRank(a) != 2 {
		return nil, false
	}
	r, ok := new(big.Rat).SetString(a.JSON())
	return r, ok && r.Sign() > 0
}

// evidenceRank returns the strength of evidence from 0, -1 for none.
func evidenceRank(name string) int {
	return slices.Index([]string{"spoken", "copy", "original", "mrz"}, name)
}

func isTrue(v syncproto.Value) bool { return v.JSON() == "true" }

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
