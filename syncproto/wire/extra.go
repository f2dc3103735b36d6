package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
)

const signatureField = 6 // Sibling.signature

// extraOf returns what a sibling carries beyond what this version reads: the
// reserved signature and unknown fields, as they stood on the wire.
func extraOf(s *Sibling) (string, error) {
	if len(s.Signature) == 0 && len(s.unknownFields) == 0 {
		return "", nil
	}
	extra := s.unknownFields
	if len(s.Signature) > 0 {
		extra = protowire.AppendTag(nil, signatureField, protowire.BytesType)
		extra = protowire.AppendBytes(extra, s.Signature)
		extra = append(extra, s.unknownFields...)
	}
	if len(extra) > MaxExtraBytes {
		return "", syncproto.Errorf(syncproto.CodeTooLarge, "sibling with %d bytes of unknown fields, at most %d", len(extra), MaxExtraBytes)
	}
	return string(extra), nil
}

// setExtra is the inverse of extraOf.
func setExtra(s *Sibling, extra string) {
	if extra == "" {
		return
	}
	b := []byte(extra)
	if num, typ, n := protowire.ConsumeTag(b); n > 0 && num == signatureField && typ == protowire.BytesType {
		if v, m := protowire.ConsumeBytes(b[n:]); m > 0 {
			s.Signature = v
			b = b[n+m:]
		}
	}
	s.unknownFields = b
}
