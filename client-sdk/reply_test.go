package sambang_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// anyReply answers an enrolment as a server would, and everything else with
// what it was given. It repeats the request's nonce, as whoever sees the request
// can.
type anyReply struct {
	status int
	kind   string
	body   []byte
}

func (a *anyReply) RoundTrip(r *http.Request) (*http.Response, error) {
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	resp := &http.Response{StatusCode: a.status, Header: http.Header{"Content-Type": {a.kind}}, Request: r}
	body := a.body
	switch {
	case r.URL.Path == "/v1/enrol":
		resp.StatusCode, resp.Header = http.StatusCreated, http.Header{"Content-Type": {"application/json"}}
		body, err = json.Marshal(map[string]any{
			"device": "dev-aaaaaaaaaaaaaaaaaaaaaaaa", "server_id": "srv-aaaaaaaaaaaaaaaa", "grants_version": 1,
			"receipt_keys": []map[string]string{{"id": "rk-aaaaaaaa", "algorithm": "EdDSA", "public_key": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}},
			"grants":       []map[string]any{{"region": "35.24.14", "classes": []string{"D", "T"}, "key": base64.RawURLEncoding.EncodeToString(make([]byte, 32))}},
		})
	case a.status == http.StatusOK:
		body = withNonce(body, nonceOf(sent))
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

func nonceOf(sent []byte) []byte {
	in, err := wire.NewBodyReader(bytes.NewReader(sent), wire.EncodingZstd)
	if err != nil {
		return nil
	}
	f, err := wire.NewFrameReader(in, wire.Protobuf).Request()
	if err != nil {
		return nil
	}
	return f.GetOpen().GetNonce()
}

// withNonce puts a nonce into the begin of a reply that has one.
func withNonce(body, nonce []byte) []byte {
	frames := wire.NewFrameReader(bytes.NewReader(body), wire.Protobuf)
	var out bytes.Buffer
	w := wire.NewFrameWriter(&out, wire.Protobuf)
	for {
		f, err := frames.Response()
		if err != nil {
			if errors.Is(err, io.EOF) {
				return out.Bytes()
			}
			return body
		}
		if b := f.GetBegin(); b != nil {
			b.Nonce = nonce
		}
		if w.Response(f) != nil {
			return body
		}
	}
}

var replySeed = flag.Uint64("reply.seed", 0, "seed of the damaged replies; 0 draws one")

// TestNoDamagedReplyIsTakenForAReceipt lets a replica read damaged replies of
// the golden vectors for the answer to its sync: it does not panic, says what
// was wrong with a code, and takes nothing as received, since no receipt has a
// signature that fits. The decoders alone are fuzzed in package wire.
func TestNoDamagedReplyIsTakenForAReceipt(t *testing.T) {
	seed := *replySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -reply.seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	replies := goldenReplies(t)
	problems := []string{
		`{"code":"device_revoked","wipe":{"body":"e30","signature":"","key":"rk-aaaaaaaa"},"server_time":1}`,
		`{"code":"device_revoked","wipe":{"body":"eyJkZXZpY2UiOiJkZXYtYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhIiwic2VydmVyIjoic3J2LWFhYWFhYWFhYWFhYWFhYWEifQ","signature":"AAAA","key":"rk-aaaaaaaa"}}`,
		`{"code":"clock_skew","server_time":-9223372036854775808}`, `<html>portal</html>`, "", `null`, `{"code":1}`,
	}
	reply := &anyReply{}
	r, err := sambang.Open(t.TempDir(), sambang.Options{Plain: true, Transport: reply})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	if err := r.Enrol(t.Context(), "sambang:1?u=http%3A%2F%2F127.0.0.1%3A1&e=mzxw6ytboi4dcmrt&s=AAECAwQFBgcICQoLDA0ODw", "HP"); err != nil {
		t.Fatal(err)
	}
	id, err := r.Create("site", "35.24.14", sambang.Fields{"name": "x"})
	if err != nil {
		t.Fatal(err)
	}
	codes := map[syncproto.Code]int{}
	for i := range 700 {
		*reply = anyReply{status: http.StatusOK, kind: wire.ContentTypeProtobuf, body: damage(rng, replies[i%len(replies)], replies)}
		if i%10 == 9 {
			*reply = anyReply{status: http.StatusForbidden, kind: "application/problem+json", body: damage(rng, []byte(problems[i/10%len(problems)]), replies)}
		}
		_, err := r.Sync(context.Background())
		if codes[syncproto.CodeOf(err)]++; err != nil && syncproto.CodeOf(err) == syncproto.CodeInternal {
			t.Errorf("reply %d, %x: no code: %v", i, reply.body, err)
		}
		c, err := r.Custody(id)
		switch {
		case errors.Is(err, syncproto.CodeNotFound): // a verdict took it, which a server may
			if id, err = r.Create("site", "35.24.14", sambang.Fields{"name": "x"}); err != nil {
				t.Fatal(err)
			}
		case err != nil || c != sambang.CustodyOnPhone:
			t.Errorf("reply %d, %x: custody %v, %v", i, reply.body, c, err)
		}
		if r.Status().WipeOrdered {
			t.Fatalf("reply %d, %x: an order to wipe without a signature counts", i, reply.body)
		}
	}
	t.Logf("700 damaged replies: %v", codes)
	if codes[syncproto.CodeBadResponse] == 0 || codes[syncproto.CodeOffline] == 0 || codes[syncproto.CodeBadReceipt] == 0 {
		t.Error("a kind of damage is missing")
	}
}

// goldenReplies are the responses of the vectors and some that no honest server
// sends.
func goldenReplies(t *testing.T) (out [][]byte) {
	t.Helper()
	exchanges, err := vectors.LoadAll[vectors.Exchange]("exchanges")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range exchanges {
		if x.Response != nil {
			raw, err := hex.DecodeString(x.Response.Protobuf)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, raw)
		}
	}
	frames := func(all ...*wire.ResponseFrame) {
		var b bytes.Buffer
		for _, x := range all {
			if err := wire.NewFrameWriter(&b, wire.Protobuf).Response(x); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, b.Bytes())
	}
	begin := func(change func(*wire.Begin)) *wire.ResponseFrame {
		b := &wire.Begin{Version: wire.Version, Epoch: make([]byte, 16), Status: wire.Status_STATUS_OK, GrantsVersion: 1}
		change(b)
		return &wire.ResponseFrame{Frame: &wire.ResponseFrame_Begin{Begin: b}}
	}
	end := &wire.ResponseFrame{Frame: &wire.ResponseFrame_End{End: &wire.End{}}}
	body, err := proto.Marshal(&wire.ReceiptBody{Server: "srv-aaaaaaaaaaaaaaaa", Device: "dev-aaaaaaaaaaaaaaaaaaaaaaaa"})
	if err != nil {
		t.Fatal(err)
	}
	frames(begin(func(*wire.Begin) {}), end)
	frames(begin(func(b *wire.Begin) { b.Status = wire.Status_STATUS_EPOCH }), end)
	frames(begin(func(b *wire.Begin) {
		b.Status, b.Chain = wire.Status_STATUS_CHAIN, []*wire.Head{{Replica: 1, N: 1, Head: make([]byte, 32)}}
	}), end)
	frames(begin(func(b *wire.Begin) {
		b.Receipt = &wire.Receipt{Key: "rk-aaaaaaaa", Body: body, Signature: make([]byte, 64)}
	}), end)
	return out
}

// damage changes up to four places of b: bits, cuts, doubled parts, parts of
// another reply.
func damage(rng *rand.Rand, b []byte, others [][]byte) []byte {
	b = bytes.Clone(b)
	for range rng.IntN(5) {
		if len(b) == 0 {
			return b
		}
		at := rng.IntN(len(b))
		switch rng.IntN(5) {
		case 0, 1:
			b[at] ^= 1 << rng.IntN(8)
		case 2:
			b = b[:at]
		case 3:
			b = append(b[:at:at], b[at/2:]...)
		case 4:
			o := others[rng.IntN(len(others))]
			b = append(b[:at:at], o[rng.IntN(len(o)):]...)
		}
	}
	return b
}
