package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"hash"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
)

const receiptDomain = "sambang-receipt"

// SignReceipt returns the server's signed word. keyID names the key to those
// who verify. A body with text that is not UTF-8 gives a receipt that verifies
// with no key: the device then counts its data as not received, which is safe.
func SignReceipt(key ed25519.PrivateKey, keyID string, body *ReceiptBody) *Receipt {
	b, err := marshal(body)
	if err != nil {
		return &Receipt{Key: keyID}
	}
	return &Receipt{Body: b, Signature: ed25519.Sign(key, append([]byte(receiptDomain), b...)), Key: keyID}
}

// VerifyReceipt returns the body of a receipt that key signed. The error has
// code [syncproto.CodeBadReceipt]. Whether the body is about this device and
// request is for the caller to compare.
func VerifyReceipt(key ed25519.PublicKey, r *Receipt) (*ReceiptBody, error) {
	if len(key) != ed25519.PublicKeySize || len(r.GetSignature()) != ed25519.SignatureSize ||
		!ed25519.Verify(key, append([]byte(receiptDomain), r.GetBody()...), r.GetSignature()) {
		return nil, syncproto.Errorf(syncproto.CodeBadReceipt, "signature of the receipt is not of key %q", r.GetKey())
	}
	var body ReceiptBody
	if err := proto.Unmarshal(r.GetBody(), &body); err != nil {
		return nil, syncproto.Errorf(syncproto.CodeBadReceipt, "body of the receipt can't be read")
	}
	return &body, nil
}

// ItemsDigest accumulates the digest by which a receipt names what was
// pushed: over each item, in the order of the batches and their items, the
// record id and the context as sent, see [Decoder.Name] and [AppendVV].
type ItemsDigest struct {
	h   hash.Hash
	n   uint32
	buf []byte
}

// NewItemsDigest starts a digest.
func NewItemsDigest() *ItemsDigest { return &ItemsDigest{h: sha256.New()} }

// Add counts one item.
func (d *ItemsDigest) Add(id syncproto.RecordID, ctx syncproto.VV) {
	d.buf = AppendVV(append(d.buf[:0], id[:]...), ctx)
	d.h.Write(d.buf)
	d.n++
}

// Count returns the number of items.
func (d *ItemsDigest) Count() uint32 { return d.n }

// Sum returns the 32 bytes of the digest of what was added so far.
func (d *ItemsDigest) Sum() []byte { return d.h.Sum(nil) }
