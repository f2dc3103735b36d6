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
	return out
})

// checkElements refuses an encoded message with more elements than a frame of
// its size may have, before memory is spent on them.
func checkElements(b []byte, message protoreflect.MessageDescriptor) error {
	n := countElements(b, shapes()[message.FullName()], MaxFrameElements)
	if n < 0 {
		return syncproto.Errorf(syncproto.CodeMalformed, "not a %s", message.Name())
	}
	if n > MaxFrameElements {
		return syncproto.Errorf(syncproto.CodeTooMany, "more than %d elements in a frame", MaxFrameElements)
	}
	return nil
}

// countElements counts messages, strings, byte strings and packed columns; it
// stops above limit. A negative number says that b is not a message.
func countElements(b []byte, s *shape, limit int) int {
	count := 0
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
