package hostile_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"testing"

	"google.golang.org/protobuf/proto"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// mutations yields every change of one byte of b: each bit flipped, set to the
// bytes that length prefixes and texts have most, removed, doubled, and one put
// before it or at the end.
func mutations(b []byte, yield func(mutant []byte)) (n int) {
	values := []byte{0x00, 0x01, 0x08, 0x0a, 0x12, 0x20, 0x7f, 0x80, 0xff}
	try := func(parts ...[]byte) {
		var mutant []byte
		for _, p := range parts {
			mutant = append(mutant, p...)
		}
		if string(mutant) != string(b) {
			n++
			yield(mutant)
		}
	}
	for i := range b {
		for bit := range 8 {
			try(b[:i], []byte{b[i] ^ 1<<bit}, b[i+1:])
		}
		for _, v := range values {
			try(b[:i], []byte{v}, b[i+1:])
			try(b[:i], []byte{v}, b[i:])
		}
		try(b[:i], b[i+1:])
		try(b[:i], b[i:i+1], b[i:])
	}
	for _, v := range values {
		try(b, []byte{v})
	}
	return n
}

// The claims and their signature as they travel: the whole Open frame but for
// what the signature does not cover, which is no claim.
func TestEveryMutationOfASignedClaimIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	x := w.enrol("jahat", "jahat", grant(district, "D"))
	if _, r := x.settle(1); r.said() != "ok" {
		t.Fatal(r.said())
	}
	r, m := x.write(x.minter, syncproto.NewRecord(x.own(2)), birth(district, text("name", "dua"))...)
	o := x.open()
	x.claim(o, m)
	b := x.batch(district, r.Full())
	before := x.custody()

	refused := func(what string, o *wire.Open) {
		t.Helper()
		w.now += 60 // a device may use 4,096 tokens in two minutes
		got := x.send(o, b)
		if got.code == "" || got.code == syncproto.CodeInternal || got.code == syncproto.CodeRateLimited {
			t.Errorf("%s: %s", what, got.said())
		}
	}
	counts := map[string]int{}
	one := func(name string, field []byte, put func(*wire.Open, []byte)) {
		counts[name] = mutations(field, func(mutant []byte) {
			c := clone(o)
			put(c, mutant)
			refused(name, c)
		})
	}
	one("signature", o.ClaimSignature, func(c *wire.Open, v []byte) { c.ClaimSignature = v })
	one("nonce", o.Nonce, func(c *wire.Open, v []byte) { c.Nonce = v })
	one("epoch", o.Epoch, func(c *wire.Open, v []byte) { c.Epoch = v })
	one("head", o.Claims[0].Head, func(c *wire.Open, v []byte) { c.Claims[0].Head = v })
	one("confirmed head", o.Claims[0].ConfirmedHead, func(c *wire.Open, v []byte) { c.Claims[0].ConfirmedHead = v })
	one("key nonce", o.Claims[0].KeyNonce, func(c *wire.Open, v []byte) { c.Claims[0].KeyNonce = v })
	for bit := range 64 {
		for name, flip := range map[string]func(*wire.Claim){
			"replica": func(c *wire.Claim) { c.Replica ^= 1 << bit }, "counter": func(c *wire.Claim) { c.N ^= 1 << bit },
			"confirmed counter": func(c *wire.Claim) { c.ConfirmedN ^= 1 << bit },
		} {
			c := clone(o)
			flip(c.Claims[0])
			refused(name, c)
			counts[name]++
		}
	}

	// The same on the bytes of the claim's message: what still parses to the
	// same claims and signature is the same claim, whatever way it was written.
	claim, err := proto.Marshal(&wire.Open{Claims: o.Claims, ClaimSignature: o.ClaimSignature})
	w.must(err)
	rest := clone(o)
	rest.Claims, rest.ClaimSignature = nil, nil
	others, err := proto.Marshal(rest)
	w.must(err)
	same := 0
	counts["bytes of the message"] = mutations(claim, func(mutant []byte) {
		frame := append(mutant[:len(mutant):len(mutant)], others...)
		var parsed wire.Open
		if proto.Unmarshal(frame, &parsed) == nil && proto.Equal(&parsed, o) {
			same++
			return
		}
		inner := append([]byte{0x0a}, varint(len(frame))...)
		inner = append(inner, frame...)
		w.now += 60
		tail := body(&wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}})
		got := x.post(x.header(), append(append(varint(len(inner)), inner...), tail...))
		if got.code != "" && got.code != syncproto.CodeInternal && got.code != syncproto.CodeRateLimited {
			return
		}
		// A mutation that leaves the claims alone, or that turns them into no
		// claims at all, may be taken for an exchange without; it holds nothing.
		if len(parsed.GetClaims()) == 0 || proto.Equal(&wire.Open{Claims: parsed.GetClaims(), ClaimSignature: parsed.GetClaimSignature(), Nonce: parsed.GetNonce(), Epoch: parsed.GetEpoch()},
			&wire.Open{Claims: o.GetClaims(), ClaimSignature: o.GetClaimSignature(), Nonce: o.GetNonce(), Epoch: o.GetEpoch()}) {
			same++
			return
		}
		t.Errorf("the claim as %x: %s", mutant, got.said())
	})
	if after := x.custody(); after != before {
		t.Errorf("a mutation was taken: %v, before %v", after, before)
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	t.Logf("%d mutations of a signed claim, all refused but %d that change no claim: %v", total, same, counts)
	if got := x.send(o, b); got.said() != "ok" {
		t.Errorf("the claim itself: %s", got.said())
	}
}

// custody is what the server has taken of the device's claims.
func (x *intruder) custody() [2]any {
	x.w.t.Helper()
	d, err := x.w.srv.Device(context.Background(), x.id)
	x.w.must(err)
	return [2]any{d.Missing, d.Broken}
}

// A phone takes nothing as received on the word of a changed receipt.
func TestEveryMutationOfAReceiptIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.create(w.a, "Kenari")
	forge := &receiptForger{w: w}
	phone := w.reopen(w.a, "budi", forge)
	// One honest exchange whose reply is lost tells what a receipt looks like.
	forge.change = func(*wire.Receipt) {}
	forge.lose = true
	if _, err := phone.Sync(t.Context()); !errors.Is(err, syncproto.CodeOffline) {
		t.Fatalf("a lost reply: %v", err)
	}
	forge.lose = false
	receipt := proto.Clone(forge.seen).(*wire.Receipt)
	if len(receipt.GetBody()) < 100 || len(receipt.GetSignature()) != 64 {
		t.Fatalf("receipt %v", receipt)
	}
	counts, i := map[string]int{}, 0
	for name, length := range map[string]int{"body": len(receipt.GetBody()), "signature": 64, "key": len(receipt.GetKey())} {
		for at := range length {
			for bit := range 8 {
				if (at*8+bit)%receiptStride(name) != 0 {
					continue
				}
				forge.change = func(r *wire.Receipt) {
					switch name {
					case "body":
						r.Body[at%len(r.Body)] ^= 1 << bit
					case "signature":
						r.Signature[at] ^= 1 << bit
					case "key":
						k := []byte(r.Key)
						if k[at] ^= 1 << bit; k[at] > 0x7f {
							k[at] = '~' // text on the wire
						}
						r.Key = string(k)
					}
				}
				if _, err := phone.Sync(t.Context()); !errors.Is(err, syncproto.CodeBadReceipt) {
					t.Fatalf("bit %d of byte %d of the %s: %v", bit, at, name, err)
				}
				counts[name]++
				i++
			}
		}
	}
	if c, err := phone.Custody(w.sites[0]); err != nil || c != sambang.CustodyOnPhone {
		t.Errorf("custody %v, %v", c, err)
	}
	t.Logf("%d changed receipts refused by a phone: %v", i, counts)

	// The same on the verification alone, for every mutation.
	public, key, err := ed25519.GenerateKey(drawing("receipts"))
	w.must(err)
	signed := wire.SignReceipt(key, "rk-test", &wire.ReceiptBody{Server: "srv-a", Device: "dev-a", Nonce: make([]byte, 16), At: 5, Items: sha(nil), Count: 3})
	n := 0
	check := func(r *wire.Receipt) {
		if _, err := wire.VerifyReceipt(public, r); !errors.Is(err, syncproto.CodeBadReceipt) {
			t.Errorf("%v: %v", r, err)
		}
	}
	n += mutations(signed.GetBody(), func(m []byte) { check(&wire.Receipt{Body: m, Signature: signed.GetSignature(), Key: "rk-test"}) })
	n += mutations(signed.GetSignature(), func(m []byte) { check(&wire.Receipt{Body: signed.GetBody(), Signature: m, Key: "rk-test"}) })
	t.Logf("%d mutations of a receipt refused by its verification", n)
	if _, err := wire.VerifyReceipt(public, signed); err != nil {
		t.Errorf("the receipt itself: %v", err)
	}

	forge.change = func(*wire.Receipt) {}
	if _, err := phone.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := phone.Custody(w.sites[0]); err != nil || c != sambang.CustodyHeld {
		t.Errorf("with the receipt itself: custody %v, %v", c, err)
	}
}

// receiptStride thins out the bits for the phone, where each costs a sync; the
// verification alone sees all of them.
func receiptStride(name string) int {
	return map[string]int{"body": 9, "signature": 3, "key": 1}[name]
}

func sha(b []byte) []byte { s := sha256.Sum256(b); return s[:] }

// reopen opens a phone anew with another link.
func (w *world) reopen(r *sambang.Replica, name string, link http.RoundTripper) *sambang.Replica {
	w.t.Helper()
	w.must(r.Close())
	return w.open(name, link)
}

// receiptForger changes the receipts of replies.
type receiptForger struct {
	w      *world
	change func(*wire.Receipt)
	lose   bool
	seen   *wire.Receipt
}

func (f *receiptForger) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := f.w.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	changed, err := alter(resp, func(frame *wire.ResponseFrame) {
		if rc := frame.GetBegin().GetReceipt(); rc != nil {
			f.seen = proto.Clone(rc).(*wire.Receipt)
			f.change(rc)
		}
	})
	if f.lose {
		return nil, io.ErrUnexpectedEOF
	}
	return changed, err
}
