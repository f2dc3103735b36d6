package syncproto

import "slices"

// What the rules of this package are there to prevent. Nothing of it is in a
// build without the tag "ablate".

// pruned keeps the entries of a vector that siblings still need, and of the
// rest so many that three remain (A19).
func (v VV) pruned(fields []Field) VV {
	const keep = 3
	out := slices.Clone(v.entries)
	needed := func(d Dot) bool {
		return slices.ContainsFunc(fields, func(f Field) bool {
			return slices.ContainsFunc(f.Siblings, func(s Sibling) bool { return s.Dot.Replica == d.Replica })
		})
	}
	for i := 0; i < len(out) && len(out) > keep; {
		if needed(out[i]) {
			i++
			continue
		}
		out = slices.Delete(out, i, i+1)
	}
	return VV{out}
}

// allNull reports whether a register shows nothing, and could be thought to be
// of no more use (A18).
func allNull(siblings []Sibling) bool {
	return !slices.ContainsFunc(siblings, func(s Sibling) bool { return !s.Value.IsNull() })
}

// clockCounter is a counter that grows with the clock, in place of the journal
// (A05): one for each ten seconds since 2026, so that a jump is not refused as such.
func clockCounter(nowMillis int64) uint64 {
	const since, unit = 1_767_225_600_000, 10_000
	return uint64(max(0, nowMillis-since)) / unit //nolint:gosec // not negative
}
