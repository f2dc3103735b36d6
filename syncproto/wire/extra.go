package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
)

// signatureField is the number of Extra.signature.
const signatureField = 2

// extraOf returns what x carries, as it stood on the wire: the encoded [Extra]
// without the number of its sibling, the reserved signature first.
func extraOf(x *Extra) (string, error) {
	var b []byte
	if len(x.Signature) > 0 {
		b = protowire.AppendTag(b, signatureField, protowire.BytesType)
		b = protowire.AppendBytes(b, x.Signature)
	}
	b = append(b, x.unknownFields...)
	if len(b) > MaxExtraBytes {
		return "", syncproto.Errorf(syncproto.CodeTooLarge, "sibling with %d bytes for later versions, at most %d", len(b), MaxExtraBytes)
	}
	return string(b), nil
}

// newExtra is the inverse of extraOf.
func newExtra(sibling uint32, extra string) *Extra {
	x := &Extra{}
	if err := proto.Unmarshal([]byte(extra), x); err != nil {
		// Extra comes from extraOf alone; what does not parse is dropped
		// rather than allowed to spoil the message.
		x = &Extra{}
	}
	x.Sibling = sibling
	return x
}
