package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func TestAReceiptIsTheServersWordAlone(t *testing.T) {
	server := key(1)
	body := &wire.ReceiptBody{Server: "srv-abc", Device: "dev-1", Nonce: make([]byte, 16), At: now, Count: 2,
		Held: []*wire.Head{{Replica: 5, N: 9, Head: make([]byte, 32)}}, Exceptions: []*wire.Exception{{Index: 1, Result: wire.Result_RESULT_QUARANTINED, Code: "bad_value"}}}
	r := wire.SignReceipt(server, "k1", body)
	public, _ := server.Public().(ed25519.PublicKey)
	got, err := wire.VerifyReceipt(public, r)
	if err != nil || !proto.Equal(got, body) {
		t.Fatalf("%v, %v", got, err)
	}
	other, _ := key(2).Public().(ed25519.PublicKey)
	spoiled := func(change func(r *wire.Receipt)) *wire.Receipt {
		c, _ := proto.Clone(r).(*wire.Receipt)
		change(c)
		return c
	}
	unsignable := wire.SignReceipt(server, "k1", &wire.ReceiptBody{Device: "\xff"})
	for name, c := range map[string]struct {
		key ed25519.PublicKey
		r   *wire.Receipt
	}{
		"another key":         {other, r},
		"no key":              {nil, r},
		"no receipt":          {public, nil},
		"changed body":        {public, spoiled(func(r *wire.Receipt) { r.Body[3] ^= 1 })},
		"changed signature":   {public, spoiled(func(r *wire.Receipt) { r.Signature[3] ^= 1 })},
		"short signature":     {public, spoiled(func(r *wire.Receipt) { r.Signature = r.Signature[:63] })},
		"not of this purpose": {public, &wire.Receipt{Body: r.Body, Signature: ed25519.Sign(server, r.Body), Key: "k1"}},
		"not a body":          {public, &wire.Receipt{Body: []byte{0xff}, Signature: ed25519.Sign(server, []byte("sambang-receipt\xff"))}},
		"text not UTF-8":      {public, unsignable},
	} {
		if _, err := wire.VerifyReceipt(c.key, c.r); !errors.Is(err, syncproto.CodeBadReceipt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestClaimBytesAreDeterministic spells them by hand.
func TestClaimBytesAreDeterministic(t *testing.T) {
	nonce, epoch := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)
	claim := &wire.Claim{Replica: 3, KeyNonce: []byte{4}, N: 5, Head: []byte{6}}
	want := []byte("sambang-claim")
	want = protowire.AppendString(protowire.AppendTag(want, 1, protowire.BytesType), "dev-1")
	want = protowire.AppendBytes(protowire.AppendTag(want, 2, protowire.BytesType), nonce)
	want = protowire.AppendBytes(protowire.AppendTag(want, 3, protowire.BytesType), epoch)
	c := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 3)
	c = protowire.AppendBytes(protowire.AppendTag(c, 2, protowire.BytesType), []byte{4})
	c = protowire.AppendVarint(protowire.AppendTag(c, 3, protowire.VarintType), 5)
	c = protowire.AppendBytes(protowire.AppendTag(c, 4, protowire.BytesType), []byte{6})
	want = protowire.AppendBytes(protowire.AppendTag(want, 4, protowire.BytesType), c)
	if got := wire.ClaimBytes("dev-1", nonce, epoch, []*wire.Claim{claim}); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if got := wire.ClaimBytes("\xff", nil, nil, nil); len(got) < len("sambang-claim") {
		t.Errorf("text that is not UTF-8 gives %x", got)
	}
}

func TestTheDigestOfItemsNamesEachIdAndContextInOrder(t *testing.T) {
	v, err := syncproto.NewVV(syncproto.Dot{Replica: 0x0102030405060708, N: 300}, syncproto.Dot{Replica: 2, N: 1})
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := hex.DecodeString("02" + "0000000000000002" + "01" + "0102030405060708" + "ac02")
	if err != nil {
		t.Fatal(err)
	}
	if got := wire.AppendVV(nil, v); !bytes.Equal(got, canonical) {
		t.Errorf("canonical context %x", got)
	}
	a, b := syncproto.RecordID{1}, syncproto.RecordID{2}
	d := wire.NewItemsDigest()
	d.Add(a, v)
	d.Add(b, syncproto.VV{})
	want := sha256.Sum256(append(append(append(a[:], canonical...), b[:]...), 0))
	if !bytes.Equal(d.Sum(), want[:]) || d.Count() != 2 {
		t.Errorf("%d items, %x", d.Count(), d.Sum())
	}
	if back, rest, err := wire.ConsumeVV(append(canonical, 9)); err != nil || !back.Equal(v) || len(rest) != 1 {
		t.Errorf("%v, %x, %v", back, rest, err)
	}
	for _, bad := range []string{"", "01", "8000", "01000000000000000100", "0200000000000000020100000000000000010a", "01000000000000000180", "0100000000000000018000", "ffff7f"} {
		raw, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := wire.DecodeContext(raw); !errors.Is(err, syncproto.CodeBadVector) {
			t.Errorf("%s reads as %v, %v", bad, v, err)
		}
	}
	if _, err := wire.DecodeContext(append(canonical, 0)); !errors.Is(err, syncproto.CodeMalformed) {
		t.Errorf("bytes behind it: %v", err)
	}
	// What can't be read of an item counts as zero.
	dec, err := wire.NewDecoder(&wire.Tables{Replicas: []uint64{7}})
	if err != nil {
		t.Fatal(err)
	}
	if id, ctx := dec.Name(&wire.Delta{Id: []byte{1}, Ctx: &wire.Vector{Replica: []uint32{0}, N: []uint64{3}}}); !id.IsZero() || ctx.Get(7) != 3 {
		t.Errorf("%v %v", id, ctx)
	}
	if id, ctx := dec.Name(&wire.Delta{Id: bytes.Repeat([]byte{1}, 16), Ctx: &wire.Vector{Replica: []uint32{4}, N: []uint64{3}}}); id.IsZero() || !ctx.IsEmpty() {
		t.Errorf("%v %v", id, ctx)
	}
}
