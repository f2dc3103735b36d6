package wire

import (
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
)

// stored is a state as decodeStored reads it.
type stored struct {
	delta   syncproto.Delta
	stamps  []uint64
	entered uint64
}

// decodeStored reads a state in the form in which encodeStored writes it, or
// reports false; it checks values and dots as a [Decoder] does. The result
// shares one copy of b.
func decodeStored(b []byte) (stored, bool) {
	s := scan{text: string(b)}
	tables := scan{text: s.bytes(tagTables)}
	delta := scan{text: s.bytes(tagDelta)}
	stamps := scan{text: s.optional(tagStamps)}
	var out stored
	if s.next(tagEntered) {
		s.pos++
		out.entered = s.varint()
	}
	for stamps.more() {
		out.stamps = append(out.stamps, stamps.varint())
	}
	if s.bad || stamps.bad || s.more() {
		return stored{}, false
	}
	var ok bool
	out.delta, ok = storedDelta(&tables, &delta)
	return out, ok
}

func storedDelta(tables, delta *scan) (syncproto.Delta, bool) {
	replicas := tables.optional(tagReplicas)
	var d syncproto.Delta
	if len(replicas)%8 != 0 {
		return d, false
	}
	at := func(i uint64) syncproto.ReplicaID {
		if i >= uint64(len(replicas)/8) {
			return 0 // no valid replica
		}
		r := replicas[8*i : 8*i+8]
		return syncproto.ReplicaID(uint64(r[0]) | uint64(r[1])<<8 | uint64(r[2])<<16 | uint64(r[3])<<24 |
			uint64(r[4])<<32 | uint64(r[5])<<40 | uint64(r[6])<<48 | uint64(r[7])<<56)
	}
	id, err := recordID([]byte(delta.bytes(tagID)))
	var vv [3]syncproto.VV
	for i, tag := range [3]byte{tagBase, tagCtx, tagFloor} {
		var ok bool
		if vv[i], ok = storedVector(delta.optional(tag), at); !ok {
			return d, false
		}
	}
	path := scan{text: delta.optional(tagPath)}
	counts := scan{text: delta.optional(tagSiblings)}
	replica := scan{text: delta.optional(tagReplica)}
	back := scan{text: delta.optional(tagBack)}
	hlcs := scan{text: delta.optional(tagHLCs)}
	values := delta.optional(tagValues)
	suspect := scan{text: delta.optional(tagSuspect)}
	if err != nil || delta.bad || delta.more() || len(path.text) > syncproto.MaxFields*2 {
		return d, false
	}
	n := strings.Count(values, "\n") + 1
	if path.text == "" {
		n = 0
	}
	fields := make([]syncproto.Field, 0, len(path.text))
	siblings := make([]syncproto.Sibling, n)
	left := siblings
	for path.more() {
		// In a state each path is used once, in its order.
		if path.varint() != uint64(len(fields)) {
			return d, false
		}
		f := syncproto.Field{Path: tables.bytes(tagPaths)}
		k := 1
		if counts.text != "" {
			k = int(min(counts.varint(), syncproto.MaxSiblings+1))
		}
		if tables.bad || k > len(left) || syncproto.CheckPath(f.Path) != nil {
			return d, false
		}
		f.Siblings, left = left[:k:k], left[k:]
		fields = append(fields, f)
	}
	hlc := uint64(0)
	if tables.next(tagHLC) {
		tables.pos++
		hlc = tables.varint()
	}
	if tables.bad || tables.more() || path.bad || counts.bad || counts.more() || len(left) > 0 || n == 0 && values != "" {
		return d, false
	}
	column := func(c *scan) uint64 {
		if c.text == "" {
			return 0
		}
		return c.varint()
	}
	for i := range siblings {
		s := &siblings[i]
		r := at(column(&replica))
		ctx, b := vv[1].Get(r), column(&back)
		if r == 0 || b >= ctx {
			return d, false
		}
		s.Dot = syncproto.Dot{Replica: r, N: ctx - b}
		hlc += uint64(protowire.DecodeZigZag(column(&hlcs)))
		s.HLC = syncproto.HLC(hlc)
		var v string
		if v, values, _ = strings.Cut(values, "\n"); v != "" {
			if s.Value, err = syncproto.ParseValueString(v); err != nil {
				return d, false
			}
		}
	}
	for suspect.more() {
		i := suspect.varint()
		if i >= uint64(n) {
			return d, false
		}
		siblings[i].Suspect = true
	}
	for _, c := range []*scan{&replica, &back, &hlcs, &suspect} {
		if c.bad || c.more() {
			return d, false
		}
	}
	d, err = syncproto.NewDelta(id, vv[0], vv[1], vv[2], fields)
	return d, err == nil
}

func storedVector(text string, replica func(uint64) syncproto.ReplicaID) (syncproto.VV, bool) {
	if text == "" {
		return syncproto.VV{}, true
	}
	body := scan{text: text}
	replicas, counters := scan{text: body.bytes(tagVectorReplica)}, scan{text: body.bytes(tagVectorN)}
	if body.bad || body.more() || len(replicas.text) > 3*syncproto.MaxVectorEntries {
		return syncproto.VV{}, false
	}
	var few [8]syncproto.Dot
	dots := few[:0]
	for replicas.more() {
		dots = append(dots, syncproto.Dot{Replica: replica(replicas.varint()), N: counters.varint()})
	}
	if replicas.bad || counters.bad || counters.more() {
		return syncproto.VV{}, false
	}
	v, err := syncproto.NewVV(dots...)
	return v, err == nil
}

// scan reads one message or column. After the first thing that is not as
// expected it is bad, and everything it returns is empty.
type scan struct {
	text string
	pos  int
	bad  bool
}

func (s *scan) more() bool { return !s.bad && s.pos < len(s.text) }

// next reports whether the next field has this tag.
func (s *scan) next(tag byte) bool { return s.more() && s.text[s.pos] == tag }

// optional reads a field of bytes if it is the next one.
func (s *scan) optional(tag byte) string {
	if !s.next(tag) {
		return ""
	}
	return s.bytes(tag)
}

// bytes reads a field of bytes, which must be the next one.
func (s *scan) bytes(tag byte) string {
	if !s.next(tag) {
		s.bad = true
		return ""
	}
	s.pos++
	n := s.varint()
	if s.bad || n > uint64(len(s.text)-s.pos) {
		s.bad = true
		return ""
	}
	start := s.pos
	s.pos += int(n)
	return s.text[start:s.pos]
}

func (s *scan) varint() uint64 {
	var x uint64
	for shift := 0; s.more() && shift < 64; shift += 7 {
		c := s.text[s.pos]
		s.pos++
		x |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return x
		}
	}
	s.bad = true
	return 0
}
