package vectors_test

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto/vectors"
)

// TestVectorsOfDigestsFollowFromTheirWords computes each digest from its
// definition with the standard library alone, as a client in another language
// would.
func TestVectorsOfDigestsFollowFromTheirWords(t *testing.T) {
	all, err := vectors.Load[[]vectors.Digest]("digests.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		t.Run(d.Name, func(t *testing.T) {
			if got := compute(t, d); got != d.Out {
				t.Errorf("got %s, want %s", got, d.Out)
			}
		})
	}
}

func compute(t *testing.T, d vectors.Digest) string {
	in := func(name string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(d.In[name], "-", ""))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return b
	}
	number := func(name string) uint64 {
		n, err := strconv.ParseUint(d.In[name], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	sum := func(parts ...[]byte) string {
		h := sha256.New()
		for _, p := range parts {
			h.Write(p)
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	u64 := func(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
	uuid8 := func(digest string, mark byte) string {
		b, _ := hex.DecodeString(digest[:32])
		b[6], b[8] = b[6]&0x0f|0x80, mark|0x80
		return hex.EncodeToString(b)
	}
	mac := func(key []byte, parts ...string) string {
		h := hmac.New(sha256.New, key)
		for _, p := range parts {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p))))
			h.Write([]byte(p))
		}
		return hex.EncodeToString(h.Sum(nil))
	}
	// field is a protobuf field of bytes or a number; what is zero is left out.
	field := func(number byte, b []byte) []byte {
		if len(b) == 0 {
			return nil
		}
		return append(append([]byte{number<<3 | 2}, binary.AppendUvarint(nil, uint64(len(b)))...), b...)
	}
	switch {
	case d.Name == "replica":
		return sum([]byte("sambang-rep"), in("public_key"), in("nonce"))[:16]
	case d.Name == "chain-start":
		return sum([]byte("sambang-chain"), in("replica"))
	case d.Name == "step":
		value := sha256.Sum256([]byte(d.In["value"]))
		path := []byte(d.In["path"])
		return sum([]byte("sambang-mint"), in("record"), binary.BigEndian.AppendUint16(nil, uint16(len(path))), path,
			in("replica"), u64(number("n")), u64(number("hlc")), value[:])
	case d.Name == "chain":
		return sum(in("head"), in("step"))
	case d.Name == "vector":
		out := []byte{2}
		for _, r := range []string{"0000000000000002", "0102030405060708"} {
			replica, _ := hex.DecodeString(r)
			out = binary.AppendUvarint(append(out, replica...), number(r))
		}
		return hex.EncodeToString(out)
	case d.Name == "items":
		return sum(in("record_1"), in("ctx_1"), in("record_2"), in("ctx_2"))
	case strings.HasPrefix(d.Name, "companion-"):
		return uuid8(sum([]byte("sambang-companion"), in("record"), []byte(d.In["class"])), map[string]byte{"D": 1, "T": 2, "H": 3}[d.In["class"]])
	case strings.HasPrefix(d.Name, "region-key-"):
		key, code := in("project_key"), ""
		for part := range strings.SplitSeq(d.In["region"], ".") {
			code = strings.TrimPrefix(code+"."+part, ".")
			var err error
			if key, err = hkdf.Key(sha256.New, key, nil, "sambang-region|"+code, 32); err != nil {
				t.Fatal(err)
			}
		}
		return hex.EncodeToString(key)
	case d.Name == "passport":
		number := strings.NewReplacer(" ", "", "-", "").Replace(d.In["number"])
		return d.In["country"] + "|" + strings.ToUpper(number)
	case d.Name == "natural-id":
		return uuid8(mac(in("district_key"), "sambang-natural", d.In["kind"], d.In["part"]), 0)
	case d.Name == "item-key":
		return mac(in("record"), "sambang-item", "", d.In["part"])[:16]
	case d.Name == "claim-bytes":
		replica := in("replica")
		claim := []byte{1<<3 | 1}
		for i := range replica {
			claim = append(claim, replica[7-i]) // fixed64 is little endian
		}
		claim = append(claim, field(2, in("key_nonce"))...)
		claim = binary.AppendUvarint(append(claim, 3<<3), number("n"))
		claim = append(claim, field(4, in("head"))...)
		claim = append(claim, field(6, in("confirmed_head"))...)
		out := append([]byte("sambang-claim"), field(1, []byte(d.In["device"]))...)
		out = append(out, field(2, in("nonce"))...)
		out = append(out, field(3, in("epoch"))...)
		return hex.EncodeToString(append(out, field(4, claim)...))
	case d.Name == "claim-signature":
		return hex.EncodeToString(ed25519.Sign(ed25519.NewKeyFromSeed(in("seed")), in("bytes")))
	}
	t.Fatal("no definition")
	return ""
}
