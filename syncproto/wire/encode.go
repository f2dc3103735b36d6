package wire

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
)

// Encoder builds the messages of one frame and the tables that they share. It
// is used by one goroutine, for one frame.
type Encoder struct {
	tables   *Tables
	replicas map[syncproto.ReplicaID]uint32
	paths    map[string]uint32
	scopes   map[syncproto.Scope]uint32
	size     int
}

// NewEncoder starts a frame. Times are sent as differences, beginning with
// hlcBase: that of any write of the frame is a good one.
func NewEncoder(hlcBase syncproto.HLC) *Encoder {
	return &Encoder{
		tables:   &Tables{Hlc: uint64(hlcBase)},
		replicas: map[syncproto.ReplicaID]uint32{},
		paths:    map[string]uint32{},
		scopes:   map[syncproto.Scope]uint32{},
	}
}

// Tables returns the tables of what was encoded so far.
func (e *Encoder) Tables() *Tables { return e.tables }

// Size returns about how many bytes the tables and everything encoded so far
// take in the frame, never less, with each element counting at least
// [ElementBytes]. A sender ends the frame when it reaches its limit: the last
// record may go beyond [syncproto.MaxBatchBytes], which
// [syncproto.MaxFrameBytes] leaves room for.
func (e *Encoder) Size() int { return e.size }

// Scope returns the table index of s.
func (e *Encoder) Scope(s syncproto.Scope) uint32 {
	i, ok := e.scopes[s]
	if !ok {
		i = uint32(len(e.tables.Scopes))
		e.scopes[s] = i
		e.tables.Scopes = append(e.tables.Scopes, string(s))
		e.size += elementSize(len(s))
	}
	return i
}

// Vector encodes v; the empty vector is nil.
func (e *Encoder) Vector(v syncproto.VV) *Vector {
	n := v.Len()
	if n == 0 {
		return nil
	}
	out := &Vector{Replica: make([]uint32, 0, n), N: make([]uint64, 0, n)}
	size := 0
	for d := range v.All() {
		i := e.replica(d.Replica)
		out.Replica = append(out.Replica, i)
		out.N = append(out.N, d.N)
		size += protowire.SizeVarint(uint64(i)) + protowire.SizeVarint(d.N)
	}
	e.size += elementSize(size + 8)
	return out
}

// Delta encodes d. Each delta decodes on its own: nothing in it refers to the
// one before it.
func (e *Encoder) Delta(d syncproto.Delta) *Delta {
	id := d.ID()
	ctx := d.Context()
	out := &Delta{Id: id[:], Base: e.Vector(d.Base()), Ctx: e.Vector(ctx), Floor: e.Vector(d.Floor())}
	e.columns(out, d)
	size := 64 + elementSize(len(id)) + elementSize(len(out.Values)) + 5*len(out.Suspect)
	for _, n := range out.Path {
		size += protowire.SizeVarint(uint64(n))
	}
	for _, n := range out.Siblings {
		size += protowire.SizeVarint(uint64(n))
	}
	for _, n := range out.Replica {
		size += protowire.SizeVarint(uint64(n))
	}
	for _, n := range out.Back {
		size += protowire.SizeVarint(n)
	}
	for _, n := range out.Hlc {
		size += protowire.SizeVarint(protowire.EncodeZigZag(n))
	}
	for _, x := range out.Extra {
		size += elementSize(len(x.Signature) + len(x.unknownFields) + 8)
	}
	e.size += elementSize(size)
	return out
}

// columns fills the columns of d, and leaves those out that say nothing.
func (e *Encoder) columns(out *Delta, d syncproto.Delta) {
	n, text := 0, 0
	for f := range d.Fields() {
		n += len(f.Siblings)
		for _, s := range f.Siblings {
			text += len(s.Value.JSON()) + 1
		}
	}
	var values strings.Builder
	values.Grow(text)
	out.Path = make([]uint32, 0, d.Len())
	counts := make([]uint32, 0, d.Len())
	replica := make([]uint32, 0, n)
	back := make([]uint64, 0, n)
	hlc := make([]int64, 0, n)
	ctx := d.Context()
	prev := e.tables.Hlc
	var anyCount, anyReplica, anyBack, anyHLC bool
	for f := range d.Fields() {
		out.Path = append(out.Path, e.path(f.Path))
		counts = append(counts, uint32(len(f.Siblings)))
		anyCount = anyCount || len(f.Siblings) != 1
		for _, s := range f.Siblings {
			r := e.replica(s.Dot.Replica)
			b := ctx.Get(s.Dot.Replica) - s.Dot.N
			h := int64(uint64(s.HLC) - prev)
			prev = uint64(s.HLC)
			anyReplica, anyBack, anyHLC = anyReplica || r != 0, anyBack || b != 0, anyHLC || h != 0
			i := uint32(len(back))
			if i > 0 {
				values.WriteByte('\n')
			}
			values.WriteString(s.Value.JSON())
			if s.Suspect {
				out.Suspect = append(out.Suspect, i)
			}
			if s.Extra != "" {
				out.Extra = append(out.Extra, newExtra(i, s.Extra))
			}
			replica, back, hlc = append(replica, r), append(back, b), append(hlc, h)
		}
	}
	out.Values = values.String()
	if anyCount {
		out.Siblings = counts
	}
	if anyReplica {
		out.Replica = replica
	}
	if anyBack {
		out.Back = back
	}
	if anyHLC {
		out.Hlc = hlc
	}
}

// History encodes one past write.
func (e *Encoder) History(w PastWrite) *History {
	out := &History{Replica: e.replica(w.Dot.Replica), N: w.Dot.N}
	if w.StepOnly() {
		out.Step = w.Step[:]
	} else {
		id := w.Record
		out.Id = id[:]
		out.Path = e.path(w.Path)
		out.Hlc = int64(uint64(w.HLC) - e.tables.Hlc)
		out.Value = w.Value.JSON()
		out.Scope = e.Scope(w.Scope)
	}
	e.size += elementSize(24 + len(out.Id) + len(out.Value) + len(out.Step) + 12)
	return out
}

func (e *Encoder) replica(r syncproto.ReplicaID) uint32 {
	i, ok := e.replicas[r]
	if !ok {
		i = uint32(len(e.tables.Replicas))
		e.replicas[r] = i
		e.tables.Replicas = append(e.tables.Replicas, uint64(r))
		e.size += 8
	}
	return i
}

func (e *Encoder) path(p string) uint32 {
	i, ok := e.paths[p]
	if !ok {
		i = uint32(len(e.tables.Paths))
		e.paths[p] = i
		e.tables.Paths = append(e.tables.Paths, p)
		e.size += elementSize(len(p))
	}
	return i
}

// elementSize is the size of a field of n bytes with its tag and length.
func elementSize(n int) int {
	return max(ElementBytes, 1+protowire.SizeVarint(uint64(n))+n)
}
