package wire

import (
	"math"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
)

// EncodeQuarantined returns one item of a batch by itself, as it was sent:
// with those entries of the tables that it uses, and whatever is wrong with
// it. The same item sent again, in whatever batch, gives the same bytes.
func EncodeQuarantined(t *Tables, item *Item) ([]byte, error) {
	c := cutter{
		from: t, to: &Tables{},
		replicas: map[uint32]uint32{}, paths: map[uint32]uint32{}, scopes: map[uint32]uint32{},
	}
	out, _ := proto.Clone(item).(*Item)
	out.Scope = move(out.Scope, c.scopes, t.GetScopes(), &c.to.Scopes)
	if out.Delta != nil {
		c.delta(out.Delta)
	}
	return marshal(&Batch{Tables: c.to, Items: []*Item{out}})
}

// DecodeQuarantined is the inverse of [EncodeQuarantined]. What the item
// holds is for a [Decoder] of the tables to judge, again.
func DecodeQuarantined(b []byte) (*Tables, *Item, error) {
	var m Batch
	if err := unmarshal(b, &m); err != nil {
		return nil, nil, err
	}
	if len(m.Items) != 1 || len(m.History) > 0 {
		return nil, nil, syncproto.Errorf(syncproto.CodeMalformed, "%d items where one was kept", len(m.Items))
	}
	return m.Tables, m.Items[0], nil
}

// cutter renumbers the indexes of one item to tables of its own.
type cutter struct {
	from, to                *Tables
	replicas, paths, scopes map[uint32]uint32
}

func (c *cutter) delta(d *Delta) {
	for _, v := range []*Vector{d.Base, d.Ctx, d.Floor} {
		for i := range v.GetReplica() {
			v.Replica[i] = move(v.Replica[i], c.replicas, c.from.GetReplicas(), &c.to.Replicas)
		}
	}
	first := true
	for _, f := range d.Fields {
		f.Path = move(f.Path, c.paths, c.from.GetPaths(), &c.to.Paths)
		for _, s := range f.Siblings {
			s.Replica = move(s.Replica, c.replicas, c.from.GetReplicas(), &c.to.Replicas)
			if first {
				c.to.Hlc = c.from.GetHlc() + uint64(s.Hlc)
				s.Hlc = 0
				first = false
			}
		}
	}
}

// move returns the index that from[i] has in to. An index beyond the table
// stays beyond it.
func move[T any](i uint32, moved map[uint32]uint32, from []T, to *[]T) uint32 {
	if int64(i) >= int64(len(from)) {
		return math.MaxUint32
	}
	n, ok := moved[i]
	if !ok {
		n = uint32(len(*to))
		moved[i] = n
		*to = append(*to, from[i])
	}
	return n
}
