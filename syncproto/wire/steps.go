package wire

import (
	"crypto/sha256"
	"math"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
)

// Step is the link of one write in its replica's chain.
type Step struct {
	Dot    syncproto.Dot
	Digest syncproto.Digest
}

// Steps returns the links of those writes of m that can be read, whatever
// else is wrong with it: a chain covers bytes, not their sense, so that one
// poison record does not hold up the receipt of all later ones.
func (d *Decoder) Steps(m *Delta) []Step {
	id, err := recordID(m.GetId())
	if err != nil {
		return nil
	}
	count, err := checkColumns(m)
	if err != nil {
		return nil
	}
	ctx, err := d.Vector(m.Ctx)
	if err != nil {
		return nil
	}
	var out []Step
	hlc, values := d.tables.Hlc, m.Values
	field, left := -1, 0
	for i := range count {
		var v string
		v, values, _ = strings.Cut(values, "\n")
		for left == 0 {
			field++
			left = 1
			if len(m.Siblings) > 0 {
				left = int(m.Siblings[field])
			}
		}
		left--
		hlc += uint64(at(m.Hlc, i))
		replica, err := d.replica(at(m.Replica, i))
		n, back, p := ctx.Get(replica), at(m.Back, i), m.Path[field]
		if err != nil || v == "" || back >= n || int64(p) >= int64(len(d.tables.Paths)) || len(d.tables.Paths[p]) > math.MaxUint16 {
			continue
		}
		dot := syncproto.Dot{Replica: replica, N: n - back}
		digest := syncproto.StepOf(id, d.tables.Paths[p], dot, syncproto.HLC(hlc), sha256.Sum256([]byte(v)))
		out = append(out, Step{dot, digest})
	}
	return out
}
