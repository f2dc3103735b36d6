package engine

import (
	"slices"

	"github.com/sambang-id/sambang/syncproto"
)

// withoutAField leaves one field out of a delta as if it did not exist, which
// is what rules A10 and A11 are there to prevent. It is in no build without
// the tag "ablate".
func withoutAField(d syncproto.Delta) syncproto.Delta {
	fields := slices.Collect(d.Fields())
	i := slices.IndexFunc(fields, func(f syncproto.Field) bool { return !syncproto.IsReserved(f.Path) })
	if i < 0 {
		return d
	}
	less, err := syncproto.NewDelta(d.ID(), d.Base(), d.Context(), d.Floor(), slices.Delete(fields, i, i+1))
	if err != nil {
		return d
	}
	return less
}
