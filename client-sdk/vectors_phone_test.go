package sambang_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// phone is a device of the vectors' world: a real replica whose key, replica
// id, clock and nonces are the vectors', behind a network that serves what a
// test has planned. When nothing is planned the link breaks, and next holds what
// the replica wanted to say.
type phone struct {
	*sambang.Replica
	t      *testing.T
	world  vectors.World
	names  vectors.Names
	device vectors.Device
	form   string // of the responses: "protobuf", "zstd" or "json"
	dir    string
	now    int64
	random phoneRandom

	plan []answer
	next *sent
}

// answer is one response that is planned.
type answer struct {
	nonce []byte // that the replica shall draw for the request
	now   int64
	serve func(*sent) *http.Response
}

// sent is one request as it arrived.
type sent struct {
	open    *wire.Open
	batches []*wire.Batch
}

// phoneRandom gives the bytes that the vectors name wherever 16 are drawn,
// once or always, and others that are always the same.
type phoneRandom struct {
	once, always []byte
	other        *rand.ChaCha8
}

func (r *phoneRandom) Read(p []byte) (int, error) {
	switch {
	case len(p) == 16 && r.always != nil:
		return copy(p, r.always), nil
	case len(p) == 16 && r.once != nil:
		n := copy(p, r.once)
		r.once = nil
		return n, nil
	}
	return r.other.Read(p)
}

func loadWorld(t *testing.T) vectors.World {
	t.Helper()
	w, err := vectors.Load[vectors.World]("world.json")
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// newPhone opens a new replica of a device, and enrols it.
func newPhone(t *testing.T, name, form string) *phone {
	t.Helper()
	p := &phone{t: t, world: loadWorld(t), form: form, dir: t.TempDir(), now: start}
	var err error
	p.names, err = p.world.Names()
	p.must(err)
	i := slices.IndexFunc(p.world.Devices, func(d vectors.Device) bool { return d.Name == name })
	p.device = p.world.Devices[i]
	p.open()
	if got := p.Status().Replica.String(); got != p.device.Replica {
		t.Fatalf("the replica id is %s, want %s", got, p.device.Replica)
	}
	p.must(p.Enrol(t.Context(), testCode, "phone "+name))
	return p
}

// start is when the scenarios begin.
const start = 1_773_110_530_000

func (p *phone) open() {
	p.t.Helper()
	p.random = phoneRandom{always: p.bytes(p.device.KeyNonce), other: rand.NewChaCha8([32]byte{})}
	p.Replica = open(p.t, p.dir, func(o *sambang.Options) {
		o.Signer = ed25519.NewKeyFromSeed(p.bytes(p.device.Seed))
		o.Rand, o.Transport, o.App, o.PullEntries = &p.random, p, "timpora 1.0", 1000
		o.Clock = func() time.Time { return time.UnixMilli(p.now) }
	})
	p.random.always = nil
}

// RoundTrip is the network.
func (p *phone) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/v1/enrol" {
		_, err := io.Copy(io.Discard, r.Body)
		return p.enrolment(), err
	}
	q, err := readRequest(r)
	if err != nil {
		return nil, err
	}
	if len(p.plan) == 0 {
		p.next = q
		return nil, errors.New("no route")
	}
	a := p.plan[0]
	p.plan = p.plan[1:]
	p.now = a.now
	resp := a.serve(q)
	p.expectNonce()
	return resp, nil
}

// expectNonce makes the replica draw the nonce of the next planned answer.
func (p *phone) expectNonce() {
	if len(p.plan) > 0 {
		p.random.once = p.plan[0].nonce
	}
}

func (p *phone) enrolment() *http.Response {
	text, err := json.Marshal(map[string]any{
		"device": p.device.ID, "server_id": p.world.Server.ID, "officer": p.device.Officer, "agency": p.device.Agency,
		"receipt_keys": []map[string]string{{
			"id": p.world.Server.ReceiptKeyID, "algorithm": "EdDSA",
			"public_key": base64.RawURLEncoding.EncodeToString(p.bytes(p.world.Server.ReceiptKey)),
		}},
	})
	p.must(err)
	return reply(http.StatusCreated, nil, string(text))
}

func readRequest(r *http.Request) (*sent, error) {
	body, err := wire.NewBodyReader(r.Body, r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return readFrames(wire.NewFrameReader(body, wire.Protobuf))
}

func readFrames(frames *wire.FrameReader) (*sent, error) {
	q := &sent{}
	for {
		f, err := frames.Request()
		switch {
		case errors.Is(err, io.EOF):
			return q, nil
		case err != nil:
			return nil, err
		case f.GetOpen() != nil:
			q.open = f.GetOpen()
		default:
			q.batches = append(q.batches, f.GetBatch())
		}
	}
}

// requestOf reads the request of a vector.
func (p *phone) requestOf(x vectors.Exchange) *sent {
	p.t.Helper()
	q, err := readFrames(wire.NewFrameReader(bytes.NewReader(p.bytes(x.Request.Protobuf)), wire.Protobuf))
	p.must(err)
	return q
}

// framesOf reads the response of a vector.
func (p *phone) framesOf(x vectors.Exchange) []*wire.ResponseFrame {
	p.t.Helper()
	var out []*wire.ResponseFrame
	for r := wire.NewFrameReader(bytes.NewReader(p.bytes(x.Response.Protobuf)), wire.Protobuf); ; {
		f, err := r.Response()
		if errors.Is(err, io.EOF) {
			return out
		}
		p.must(err)
		out = append(out, f)
	}
}

// respond puts frames into the phone's form.
func (p *phone) respond(frames ...*wire.ResponseFrame) *http.Response {
	p.t.Helper()
	var body bytes.Buffer
	header := map[string]string{"Content-Type": wire.ContentTypeProtobuf}
	format, out := wire.Protobuf, io.Writer(&body)
	var packed *wire.BodyWriter
	switch p.form {
	case "json":
		format = wire.JSON
		header["Content-Type"] = wire.ContentTypeJSON
	case "zstd":
		packed = wire.NewBodyWriter(&body)
		out, header["Content-Encoding"] = packed, wire.EncodingZstd
	}
	w := wire.NewFrameWriter(out, format)
	for _, f := range frames {
		p.must(w.Response(f))
	}
	if packed != nil {
		p.must(packed.Close())
	}
	return reply(http.StatusOK, header, body.String())
}

// adapt makes a vector's response one to what the replica really claims,
// where the vector's device has written other bytes: the heads are the
// replica's, and the receipt is signed again.
func (p *phone) adapt(frames []*wire.ResponseFrame, q *sent) {
	p.t.Helper()
	begin := frames[0].GetBegin()
	body := &wire.ReceiptBody{}
	p.must(proto.Unmarshal(begin.GetReceipt().GetBody(), body))
	for _, h := range append(begin.GetHeads(), body.GetHeld()...) {
		for _, c := range q.open.GetClaims() {
			if c.GetReplica() == h.GetReplica() && c.GetN() == h.GetN() {
				h.Head = c.GetHead()
			}
		}
	}
	begin.Receipt = wire.SignReceipt(ed25519.NewKeyFromSeed(p.bytes(p.world.Server.ReceiptSeed)), p.world.Server.ReceiptKeyID, body)
}

// refuse is a refusal of the whole request.
func refuse(code string, now int64) *http.Response {
	text, err := json.Marshal(map[string]any{"type": "about:blank", "code": code, "status": 400, "server_time": now})
	if err != nil {
		panic(err)
	}
	return reply(http.StatusBadRequest, map[string]string{"Content-Type": "application/problem+json"}, string(text))
}

// probe asks once more on a broken link, and returns what the replica sent.
func (p *phone) probe() *sent {
	p.t.Helper()
	if p.next == nil {
		if _, err := p.Sync(p.t.Context()); !errors.Is(err, syncproto.CodeOffline) {
			p.t.Fatalf("a sync on a broken link ended with %v", err)
		}
	}
	q := p.next
	p.next = nil
	return q
}

func (p *phone) items(q *sent) []vectors.Item {
	p.t.Helper()
	var out []vectors.Item
	for _, b := range q.batches {
		items, err := p.names.Items(b)
		p.must(err)
		out = append(out, items...)
	}
	return out
}

func (p *phone) bytes(s string) []byte {
	p.t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	p.must(err)
	return b
}

func (p *phone) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}
