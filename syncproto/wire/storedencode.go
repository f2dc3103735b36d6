package wire

import (
	"encoding/binary"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
)

// Stored states are written and read for every record that moves, so they
// have an encoder and a decoder by hand. They know the form in which states
// are written, and nothing else: what is not of it (a later version's fields)
// goes the general way, whose bytes and results are the same.

// Tags of State, Tables, Delta and Vector, by field number and wire type.
const (
	tagTables  = 1<<3 | 2
	tagDelta   = 2<<3 | 2
	tagStamps  = 3<<3 | 2
	tagEntered = 4 << 3

	tagReplicas = 1<<3 | 2
	tagPaths    = 2<<3 | 2
	tagHLC      = 4 << 3

	tagID       = 1<<3 | 2
	tagBase     = 2<<3 | 2
	tagCtx      = 3<<3 | 2
	tagFloor    = 4<<3 | 2
	tagPath     = 5<<3 | 2
	tagSiblings = 6<<3 | 2
	tagReplica  = 7<<3 | 2
	tagBack     = 8<<3 | 2
	tagHLCs     = 9<<3 | 2
	tagValues   = 10<<3 | 2
	tagSuspect  = 11<<3 | 2

	tagVectorReplica = 1<<3 | 2
	tagVectorN       = 2<<3 | 2
)

// stater holds the parts of one state while it is written.
type stater struct {
	replicas             []syncproto.ReplicaID
	delta, column, tmp   []byte
	counts, replica      []byte
	back, hlc, suspect   []byte
	someReplica, someHLC bool
	someCount, someBack  bool
}

var staters = sync.Pool{New: func() any { return &stater{} }}

// encodeStored returns what marshal makes of the state's tables and delta; the
// caller appends the rest. It reports false if it can't.
func encodeStored(d syncproto.Delta, spare int) ([]byte, bool) {
	for f := range d.Fields() {
		for _, s := range f.Siblings {
			if s.Extra != "" {
				return nil, false
			}
		}
	}
	t, _ := staters.Get().(*stater)
	defer staters.Put(t)
	t.replicas, t.delta = t.replicas[:0], t.delta[:0]
	id := d.ID()
	t.delta = appendBytes(t.delta, tagID, id[:])
	t.vector(tagBase, d.Base())
	t.vector(tagCtx, d.Context())
	t.vector(tagFloor, d.Floor())
	base := firstHLC(d)
	t.columns(d, uint64(base))

	tables := binary.MaxVarintLen64 + 2 + 10*len(t.replicas)
	for f := range d.Fields() {
		tables += len(f.Path) + 3
	}
	b := make([]byte, 0, tables+len(t.delta)+16+spare)
	tmp := t.tmp[:0]
	if len(t.replicas) > 0 {
		tmp = append(tmp, tagReplicas)
		tmp = protowire.AppendVarint(tmp, uint64(8*len(t.replicas)))
		for _, r := range t.replicas {
			tmp = binary.LittleEndian.AppendUint64(tmp, uint64(r))
		}
	}
	for f := range d.Fields() {
		tmp = append(tmp, tagPaths)
		tmp = protowire.AppendVarint(tmp, uint64(len(f.Path)))
		tmp = append(tmp, f.Path...)
	}
	if base != 0 {
		tmp = append(tmp, tagHLC)
		tmp = protowire.AppendVarint(tmp, uint64(base))
	}
	t.tmp = tmp
	b = appendBytes(b, tagTables, tmp)
	return appendBytes(b, tagDelta, t.delta), true
}

func (t *stater) index(r syncproto.ReplicaID) uint64 {
	for i, have := range t.replicas {
		if have == r {
			return uint64(i)
		}
	}
	t.replicas = append(t.replicas, r)
	return uint64(len(t.replicas) - 1)
}

func (t *stater) vector(tag byte, v syncproto.VV) {
	if v.IsEmpty() {
		return
	}
	column, body := t.column[:0], t.tmp[:0]
	for d := range v.All() {
		column = protowire.AppendVarint(column, t.index(d.Replica))
	}
	body = appendBytes(body, tagVectorReplica, column)
	column = column[:0]
	for d := range v.All() {
		column = protowire.AppendVarint(column, d.N)
	}
	body = appendBytes(body, tagVectorN, column)
	t.column, t.tmp = column, body
	t.delta = appendBytes(t.delta, tag, body)
}

func (t *stater) columns(d syncproto.Delta, prev uint64) {
	t.column, t.counts, t.replica, t.back, t.hlc, t.suspect = t.column[:0], t.counts[:0], t.replica[:0], t.back[:0], t.hlc[:0], t.suspect[:0]
	t.someCount, t.someReplica, t.someBack, t.someHLC = false, false, false, false
	ctx := d.Context()
	field, sibling, text := uint64(0), uint64(0), 0
	for f := range d.Fields() {
		t.column = protowire.AppendVarint(t.column, field)
		t.counts = protowire.AppendVarint(t.counts, uint64(len(f.Siblings)))
		t.someCount = t.someCount || len(f.Siblings) != 1
		field++
		for _, s := range f.Siblings {
			r := t.index(s.Dot.Replica)
			b := ctx.Get(s.Dot.Replica) - s.Dot.N
			h := uint64(s.HLC) - prev
			prev = uint64(s.HLC)
			t.someReplica, t.someBack, t.someHLC = t.someReplica || r != 0, t.someBack || b != 0, t.someHLC || h != 0
			t.replica = protowire.AppendVarint(t.replica, r)
			t.back = protowire.AppendVarint(t.back, b)
			t.hlc = protowire.AppendVarint(t.hlc, protowire.EncodeZigZag(int64(h)))
			if s.Suspect {
				t.suspect = protowire.AppendVarint(t.suspect, sibling)
			}
			sibling++
			text += len(s.Value.JSON())
		}
	}
	t.packed(tagPath, t.column, true)
	t.packed(tagSiblings, t.counts, t.someCount)
	t.packed(tagReplica, t.replica, t.someReplica)
	t.packed(tagBack, t.back, t.someBack)
	t.packed(tagHLCs, t.hlc, t.someHLC)
	if text += int(sibling) - 1; text > 0 {
		t.delta = append(t.delta, tagValues)
		t.delta = protowire.AppendVarint(t.delta, uint64(text))
		first := true
		for f := range d.Fields() {
			for _, s := range f.Siblings {
				if !first {
					t.delta = append(t.delta, '\n')
				}
				first = false
				t.delta = append(t.delta, s.Value.JSON()...)
			}
		}
	}
	t.packed(tagSuspect, t.suspect, true)
}

func (t *stater) packed(tag byte, column []byte, some bool) {
	if some && len(column) > 0 {
		t.delta = appendBytes(t.delta, tag, column)
	}
}

func appendBytes(b []byte, tag byte, body []byte) []byte {
	b = append(b, tag)
	b = protowire.AppendVarint(b, uint64(len(body)))
	return append(b, body...)
}
