package wire

import (
	"strings"

	"google.golang.org/protobuf/proto"
)

// ClaimBytes returns what the device signs with its key: "sambang-claim" and
// the deterministic encoding of the [ClaimBody]. The chain makes the one
// signature cover every write before the claimed heads.
func ClaimBytes(device string, nonce, epoch []byte, claims []*Claim) []byte {
	// Text that is not UTF-8 has no encoding; no device has such an id.
	body := &ClaimBody{Device: strings.ToValidUTF8(device, "?"), Nonce: nonce, Epoch: epoch, Claims: claims}
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend([]byte(claimDomain), body)
	if err != nil {
		return nil // unreachable: the one string is valid
	}
	return b
}

const claimDomain = "sambang-claim"
