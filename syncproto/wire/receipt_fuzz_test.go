package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// FuzzReceipt: any body under a good signature is read or refused with its
// code, and what is read is what was signed; without the signature nothing is.
func FuzzReceipt(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := key.Public().(ed25519.PublicKey)
	for _, body := range []*wire.ReceiptBody{
		{}, {Server: "srv-a", Device: "dev-a", Nonce: make([]byte, 16), Epoch: make([]byte, 16), At: 1, Items: make([]byte, 32), Count: 3},
		{Held: []*wire.Head{{Replica: 1, N: 2, Head: make([]byte, 32)}, {Replica: 1 << 63, N: 1 << 53}}},
		{Exceptions: []*wire.Exception{{Index: 1<<32 - 1, Result: wire.Result_RESULT_QUARANTINED, Code: "bad_value"}, {Result: 99}}},
		{At: -1, Count: 1<<32 - 1},
	} {
		b, err := proto.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{0x0a, 2, 0xff, 0xfe})
	f.Fuzz(func(t *testing.T, b []byte) {
		signed := &wire.Receipt{Body: b, Key: "rk-a", Signature: ed25519.Sign(key, append([]byte("sambang-receipt"), b...))}
		body, err := wire.VerifyReceipt(public, signed)
		if err != nil {
			if !errors.Is(err, syncproto.CodeBadReceipt) {
				t.Fatalf("error %v", err)
			}
		} else {
			again, err := proto.Marshal(body)
			if err != nil {
				t.Fatalf("what was read is not written: %v", err)
			}
			var second wire.ReceiptBody
			if err := proto.Unmarshal(again, &second); err != nil || !proto.Equal(body, &second) {
				t.Fatalf("reads as another receipt: %v", err)
			}
		}
		signed.Signature[0] ^= 1
		if _, err := wire.VerifyReceipt(public, signed); !errors.Is(err, syncproto.CodeBadReceipt) {
			t.Fatalf("a forged receipt: %v", err)
		}
	})
}

// FuzzJSONResponse reads the JSON form of responses as FuzzResponseFrame does
// their protobuf.
func FuzzJSONResponse(f *testing.F) {
	for _, b := range seeds(f, "response") {
		r := wire.NewFrameReader(bytes.NewReader(b), wire.Protobuf)
		var lines bytes.Buffer
		for {
			frame, err := r.Response()
			if err != nil {
				break
			}
			if err := wire.NewFrameWriter(&lines, wire.JSON).Response(frame); err != nil {
				break // text that is not UTF-8 has no JSON form
			}
		}
		f.Add(lines.Bytes())
	}
	f.Add([]byte(`{"begin":{"version":1,"status":"STATUS_OK","status":1}}`))
	f.Add([]byte(`{"end":{}}{"end":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r := wire.NewFrameReader(bytes.NewReader(body), wire.JSON)
		for {
			frame, err := r.Response()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				coded(t, err)
				return
			}
			var out bytes.Buffer
			if err := wire.NewFrameWriter(&out, wire.JSON).Response(frame); err != nil {
				if code := syncproto.CodeOf(err); code != syncproto.CodeInternal && code != syncproto.CodeTooLarge {
					t.Fatalf("frame that was read is not written: %v", err)
				}
				continue
			}
			again, err := wire.NewFrameReader(&out, wire.JSON).Response()
			if err != nil || !proto.Equal(frame, again) {
				t.Fatalf("frame reads as another one: %v", err)
			}
		}
	})
}
