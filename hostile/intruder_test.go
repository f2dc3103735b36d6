package hostile_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

var b64 = base64.RawURLEncoding

// intruder is a device that speaks the protocol by hand. Nothing stops it from
// lying but the server.
type intruder struct {
	w     *world
	name  string
	key   ed25519.PrivateKey
	id    string
	n     int // tokens and nonces made
	mine  map[syncproto.RecordID]bool
	epoch []byte

	nonce         byte // of the present replica id
	minter        syncproto.Minter
	confirmed     uint64
	confirmedHead syncproto.Digest
}

// enrolBody is the body of an enrolment, whose proof fits.
func enrolBody(code string, key ed25519.PrivateKey, name string, change ...string) []byte {
	q, err := url.ParseQuery(strings.TrimPrefix(code, "sambang:1?"))
	if err != nil {
		panic(err)
	}
	m := map[string]string{
		"enrolment": q.Get("e"), "secret": q.Get("s"), "algorithm": "EdDSA",
		"public_key": b64.EncodeToString(key.Public().(ed25519.PublicKey)), "device_name": name,
	}
	for i := 0; i+1 < len(change); i += 2 {
		m[change[i]] = change[i+1]
	}
	transcript := []byte("sambang-enrol-1")
	for _, k := range []string{"enrolment", "secret", "algorithm", "public_key", "key_nonce", "device_name"} {
		transcript = append(binary.BigEndian.AppendUint32(transcript, uint32(len(m[k]))), m[k]...)
	}
	m["proof"] = b64.EncodeToString(ed25519.Sign(key, transcript))
	body, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return body
}

var asJSON = http.Header{"Content-Type": {"application/json"}}

// enrol redeems a code for a new intruder's key.
func (w *world) enrol(name, officer string, grants ...syncproto.Grant) *intruder {
	w.t.Helper()
	x := &intruder{w: w, name: name, key: keyOf(name), mine: map[syncproto.RecordID]bool{}}
	a := w.ask("POST", "/v1/enrol", asJSON, enrolBody(w.code(officer, grants...), x.key, "HP "+name))
	var reply struct{ Device string }
	if err := json.Unmarshal(a.body, &reply); err != nil || reply.Device == "" {
		w.t.Fatalf("enrol %s: %d %s", name, a.status, a.body)
	}
	x.id = reply.Device
	x.rotate()
	return x
}

// rotate begins a new replica id.
func (x *intruder) rotate() {
	x.nonce++
	r := syncproto.NewReplicaID(x.key.Public().(ed25519.PublicKey), [16]byte{x.nonce})
	x.minter, x.confirmed, x.confirmedHead = syncproto.NewMinter(r, 0), 0, syncproto.ChainStart(r)
}

// claims are those of a token that the server takes.
func (x *intruder) claims() map[string]any {
	x.n++
	now := x.w.now / 1000
	return map[string]any{
		"iss": x.id, "sub": x.id, "aud": x.w.srv.ID(), "iat": now, "exp": now + 90, "jti": fmt.Sprintf("%s-%d-0000000000000000", x.name, x.n),
	}
}

// sign makes a token with a header and claims of any kind.
func (x *intruder) sign(header, claims map[string]any) string {
	head := map[string]any{"alg": "EdDSA", "kid": x.id, "typ": "sambang-device+jwt"}
	maps.Copy(head, header)
	h, _ := json.Marshal(head)
	c, _ := json.Marshal(claims)
	text := b64.EncodeToString(h) + "." + b64.EncodeToString(c)
	return text + "." + b64.EncodeToString(ed25519.Sign(x.key, []byte(text)))
}

func (x *intruder) header() http.Header {
	return http.Header{
		"Authorization": {"Bearer " + x.sign(nil, x.claims())},
		"Content-Type":  {wire.ContentTypeProtobuf}, "Accept": {wire.ContentTypeProtobuf},
	}
}

// open is a plain Open.
func (x *intruder) open() *wire.Open {
	x.n++
	nonce := make([]byte, 16)
	copy(nonce, fmt.Sprintf("n%d-%s", x.n, x.name))
	return &wire.Open{Version: wire.Version, Nonce: nonce, MaxEntries: 100_000, App: "jahat/1", Epoch: x.epoch}
}

// claim puts the claim of m into an Open, and signs.
func (x *intruder) claim(o *wire.Open, m syncproto.Minter) {
	head := m.Head()
	o.Claims = []*wire.Claim{{
		Replica: uint64(m.Replica()), KeyNonce: append([]byte{x.nonce}, make([]byte, 15)...), N: m.N(), Head: head[:],
		ConfirmedN: x.confirmed, ConfirmedHead: x.confirmedHead[:],
	}}
	x.signClaims(o)
}

func (x *intruder) signClaims(o *wire.Open) {
	o.ClaimSignature = ed25519.Sign(x.key, wire.ClaimBytes(x.id, o.GetNonce(), o.GetEpoch(), o.GetClaims()))
}

// reply is what came back.
type reply struct {
	answer
	begin   *wire.Begin
	receipt *wire.ReceiptBody
	feeds   []*wire.Feed
	end     *wire.End
}

// results are the codes of the items that were not plainly applied.
func (r *reply) results() (codes []syncproto.Code) {
	for _, e := range r.receipt.GetExceptions() {
		codes = append(codes, syncproto.Code(e.GetCode()))
	}
	return codes
}

// said is how a request ended, in one word: the code of the refusal, the
// status, the codes of the items, or "ok".
func (r *reply) said() string {
	switch {
	case r.status == 0:
		return "cut"
	case r.code != "":
		return string(r.code)
	case r.begin.GetStatus() != wire.Status_STATUS_OK:
		return r.begin.GetStatus().String()
	case len(r.receipt.GetExceptions()) > 0:
		var all []string
		for _, e := range r.receipt.GetExceptions() {
			all = append(all, strings.TrimSuffix(e.GetResult().String()+" "+e.GetCode(), " "))
		}
		return strings.Join(all, ", ")
	}
	return "ok"
}

func body(frames ...*wire.RequestFrame) []byte {
	var b bytes.Buffer
	fw := wire.NewFrameWriter(&b, wire.Protobuf)
	for _, f := range frames {
		if err := fw.Request(f); err != nil {
			panic(err)
		}
	}
	return b.Bytes()
}

func opening(o *wire.Open) *wire.RequestFrame {
	return &wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: o}}
}

// send sends frames under a fresh token.
func (x *intruder) send(o *wire.Open, batches ...*wire.Batch) *reply {
	x.w.t.Helper()
	frames := []*wire.RequestFrame{opening(o)}
	for _, b := range batches {
		frames = append(frames, &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}})
	}
	return x.post(x.header(), body(frames...))
}

// post sends any bytes under any header.
func (x *intruder) post(h http.Header, b []byte) *reply {
	x.w.t.Helper()
	r := &reply{answer: x.w.ask("POST", "/v1/sync", h, b)}
	if r.status != http.StatusOK {
		return r
	}
	in, err := wire.NewBodyReader(bytes.NewReader(r.body), r.header.Get("Content-Encoding"))
	x.w.must(err)
	frames := wire.NewFrameReader(in, wire.Protobuf)
	for {
		f, err := frames.Response()
		if errors.Is(err, io.EOF) {
			break
		}
		x.w.must(err)
		switch {
		case f.GetBegin() != nil:
			r.begin = f.GetBegin()
			x.epoch = r.begin.GetEpoch()
			if r.begin.GetReceipt() != nil {
				r.receipt = &wire.ReceiptBody{}
				x.w.must(proto.Unmarshal(r.begin.GetReceipt().GetBody(), r.receipt))
			}
		case f.GetFeed() != nil:
			r.feeds = append(r.feeds, f.GetFeed())
		case f.GetEnd() != nil:
			r.end = f.GetEnd()
		}
	}
	return r
}

// push claims m and sends batches; if that is taken, m is confirmed.
func (x *intruder) push(m syncproto.Minter, batches ...*wire.Batch) *reply {
	x.w.t.Helper()
	o := x.open()
	x.claim(o, m)
	r := x.send(o, batches...)
	if r.status == http.StatusOK && r.begin.GetStatus() == wire.Status_STATUS_OK {
		x.minter, x.confirmed, x.confirmedHead = m, m.N(), m.Head()
	}
	return r
}

// pull reads everything that the device may see.
func (x *intruder) pull() map[syncproto.RecordID]syncproto.Record {
	x.w.t.Helper()
	return x.records(x.send(x.open()))
}

func (x *intruder) records(r *reply) map[syncproto.RecordID]syncproto.Record {
	x.w.t.Helper()
	if r.status != http.StatusOK || r.end.GetMore() {
		x.w.t.Fatalf("a pull: %s", r.said())
	}
	out := map[syncproto.RecordID]syncproto.Record{}
	for _, feed := range r.feeds {
		dec, err := wire.NewDecoder(feed.GetTables())
		x.w.must(err)
		for _, e := range feed.GetEntries() {
			if e.GetDelta() == nil {
				continue
			}
			d, err := dec.Delta(e.GetDelta())
			x.w.must(err)
			c, err := syncproto.Apply(syncproto.NewRecord(d.ID()), d)
			x.w.must(err)
			out[d.ID()] = c.Record
		}
	}
	return out
}

// batch makes a batch of one item for each delta.
func (x *intruder) batch(scope string, deltas ...syncproto.Delta) *wire.Batch {
	enc := wire.NewEncoder(syncproto.HLCFromMillis(x.w.now))
	b := &wire.Batch{}
	for _, d := range deltas {
		b.Items = append(b.Items, &wire.Item{Scope: enc.Scope(syncproto.Scope(scope)), Delta: enc.Delta(d)})
	}
	b.Tables = enc.Tables()
	return b
}

// own returns the id of a record of his own.
func (x *intruder) own(n int) syncproto.RecordID {
	id := syncproto.RecordID{0x77, byte(n >> 8), byte(n), 1, 2, 3, 0x70, 5, 0x80, 7, 8, 9, 10, 11, 12, 13}
	copy(id[9:], x.name)
	x.mine[id] = true
	return id
}

// birth are the writes of a new site.
func birth(scope string, more ...syncproto.Write) []syncproto.Write {
	return append([]syncproto.Write{text(syncproto.PathKind, "site"), text(syncproto.PathScope, scope)}, more...)
}

func text(path string, v any) syncproto.Write {
	return syncproto.Write{Path: path, Value: syncproto.MustValue(v)}
}

// write makes writes from m on a record, without sending them.
func (x *intruder) write(m syncproto.Minter, r syncproto.Record, writes ...syncproto.Write) (syncproto.Record, syncproto.Minter) {
	x.w.t.Helper()
	return x.writeAt(m, r, x.w.now, writes...)
}

func (x *intruder) writeAt(m syncproto.Minter, r syncproto.Record, millis int64, writes ...syncproto.Write) (syncproto.Record, syncproto.Minter) {
	x.w.t.Helper()
	next, m, _, _, err := m.Write(r, 0, millis, writes...)
	x.w.must(err)
	return next, m
}

// settle sends one ordinary record of his own: what he has to lose, and what
// the server thinks of him afterwards.
func (x *intruder) settle(n int) (syncproto.Record, *reply) {
	x.w.t.Helper()
	r, m := x.write(x.minter, syncproto.NewRecord(x.own(n)), birth(district, text("name", fmt.Sprintf("milik %d", n)))...)
	got := x.push(m, x.batch(district, r.Full()))
	return r, got
}

// forge builds a full state that no minter made.
func (x *intruder) forge(r syncproto.Record, ctx, floor syncproto.VV, path string, more ...syncproto.Sibling) syncproto.Delta {
	x.w.t.Helper()
	var fields []syncproto.Field
	put := false
	for f := range r.Fields() {
		f.Siblings = slices.Clone(f.Siblings)
		if f.Path == path {
			f.Siblings, put = append(f.Siblings, more...), true
			slices.SortFunc(f.Siblings, func(a, b syncproto.Sibling) int {
				if a.Dot.Less(b.Dot) {
					return -1
				}
				return 1
			})
		}
		fields = append(fields, f)
	}
	if !put && len(more) > 0 {
		fields = append(fields, syncproto.Field{Path: path, Siblings: more})
		slices.SortFunc(fields, func(a, b syncproto.Field) int { return strings.Compare(a.Path, b.Path) })
	}
	d, err := syncproto.NewDelta(r.ID(), syncproto.VV{}, ctx, floor, fields)
	x.w.must(err)
	return d
}

// replicaOf returns the replica id that wrote most of a record that is not his.
func (x *intruder) replicaOf(r syncproto.Record) (d syncproto.Dot) {
	for e := range r.Context().All() {
		if e.Replica != x.minter.Replica() && e.N > d.N {
			d = e
		}
	}
	return d
}
