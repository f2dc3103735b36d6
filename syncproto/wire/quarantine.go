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
	if len(d.Replica) == 0 && len(d.Path) > 0 {
		c.replica([]uint32{0}) // it stands for all zeros: 0 must stay 0
	}
	for _, v := range []*Vector{d.Base, d.Ctx, d.Floor} {
		c.replica(v.GetReplica())
	}
	c.replica(d.Replica)
	for i := range d.Path {
		d.Path[i] = move(d.Path[i], c.paths, c.from.GetPaths(), &c.to.Paths)
	}
	if c.to.Hlc = c.from.GetHlc(); len(d.Hlc) > 0 {
		c.to.Hlc += uint64(d.Hlc[0])
		d.Hlc[0] = 0
	}
}

func (c *cutter) replica(column []uint32) {
	for i := range column {
		column[i] = move(column[i], c.replicas, c.from.GetReplicas(), &c.to.Replicas)
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
