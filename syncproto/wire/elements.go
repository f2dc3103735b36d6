package wire

import (
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sambang-id/sambang/syncproto"
)

// shape says which fields of a message hold messages.
type shape struct {
	inner [16]*shape // by field number; no such field has a number above 15
	most  [16]int    // how often the field may come; 0: as often as elements may
}

// shapes are those of all messages of sync.proto.
var shapes = sync.OnceValue(func() map[protoreflect.FullName]*shape {
	out := map[protoreflect.FullName]*shape{}
	messages := File_syncproto_wire_sync_proto.Messages()
	for i := range messages.Len() {
		out[messages.Get(i).FullName()] = &shape{}
	}
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			f := fields.Get(j)
			if m := f.Message(); m != nil {
				out[messages.Get(i).FullName()].inner[f.Number()] = out[m.FullName()]
			}
		}
	}
	batch := out[(&Batch{}).ProtoReflect().Descriptor().FullName()]
	batch.most[batchItems], batch.most[batchHistory] = syncproto.MaxBatchItems, syncproto.MaxHistory
	return out
})

// Field numbers of a Batch.
const (
	batchItems   = 2
	batchHistory = 3
)

// elementMemory is about what one element takes once it is decoded, whatever
// its length on the wire: a struct, its place in a slice, its own slices.
const elementMemory = 192

// checkElements refuses an encoded message with more elements than a frame of
// its size may have, or more items than a batch, before memory is spent on
// them. It returns how many elements there are.
func checkElements(b []byte, message protoreflect.MessageDescriptor) (int, error) {
	n := countElements(b, shapes()[message.FullName()], MaxFrameElements)
	if n < 0 {
		return 0, syncproto.Errorf(syncproto.CodeMalformed, "not a %s", message.Name())
	}
	if n > MaxFrameElements {
		return n, syncproto.Errorf(syncproto.CodeTooMany, "more than %d elements in a frame, %d items in a batch, or %d past writes", MaxFrameElements, syncproto.MaxBatchItems, syncproto.MaxHistory)
	}
	return n, nil
}

// countElements counts messages, strings, byte strings and packed columns; it
// stops above limit, or where a field comes too often, and returns more than
// limit then. A negative number says that b is not a message.
func countElements(b []byte, s *shape, limit int) int {
	count := 0
	var seen [16]int
	for len(b) > 0 && count <= limit {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return n
		}
		b = b[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, b); n < 0 {
				return n
			}
			b = b[n:]
			continue
		}
		body, n := protowire.ConsumeBytes(b)
		if n < 0 {
			return n
		}
		b = b[n:]
		count++
		if num < 16 && s.most[num] > 0 {
			if seen[num]++; seen[num] > s.most[num] {
				return limit + 1
			}
		}
		if num < 16 && s.inner[num] != nil {
			n := countElements(body, s.inner[num], limit-count)
			if n < 0 {
				return n
			}
			count += n
		}
	}
	return count
}
