package sambang_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protowire"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// TestGoldenBodiesAsResponses serves each damaged stream of the vectors in
// place of a response, after a good Begin where the form allows: the SDK says
// what is wrong by a code, keeps what it has, and takes the next good response.
func TestGoldenBodiesAsResponses(t *testing.T) {
	bodies, err := vectors.LoadAll[vectors.Body]("bodies")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]syncproto.Code{
		"empty": syncproto.CodeOffline, "truncated-length": syncproto.CodeOffline, "truncated-frame": syncproto.CodeOffline, "json-cut": syncproto.CodeOffline,
		"oversized": syncproto.CodeBadResponse, "endless-length": syncproto.CodeBadResponse, "empty-frame": syncproto.CodeBadResponse,
		"not-protobuf": syncproto.CodeBadResponse, "bomb": syncproto.CodeBadResponse, "not-zstd": syncproto.CodeBadResponse,
		"wide-window": syncproto.CodeBadResponse, "wrong-encoding": syncproto.CodeBadResponse,
		"dictionary":        syncproto.CodeBadResponse, // it is read, and is a request
		"json-unknown-name": syncproto.CodeBadResponse, "json-not-utf8": syncproto.CodeBadResponse,
		"json": syncproto.CodeBadResponse, // a request likewise
	}
	n := 0
	for _, b := range bodies {
		if strings.HasPrefix(b.Name, "item-") {
			t.Run(b.Name, func(t *testing.T) { serveItems(t, b) })
			continue
		}
		n++
		want, ok := codes[b.Name]
		if !ok {
			t.Errorf("nobody says what the SDK makes of %s", b.Name)
			continue
		}
		t.Run(b.Name, func(t *testing.T) { serveDamage(t, b, want, func(r io.Reader) io.Reader { return r }) })
		t.Run(b.Name+"/end with the last bytes", func(t *testing.T) { serveDamage(t, b, want, iotest.DataErrReader) })
	}
	if n != len(codes) {
		t.Errorf("%d codes for %d bodies", len(codes), n)
	}
}

func serveDamage(t *testing.T, b vectors.Body, want syncproto.Code, link func(io.Reader) io.Reader) {
	t.Helper()
	p := newPhone(t, "B", b.Format)
	mine, err := p.Create("inspection", "35.24.14", sambang.Fields{"findings": "mine"})
	p.must(err)
	p.must(p.Believe(mine)) // so that the response of a phone without writes fits
	x, err := vectors.Load[vectors.Exchange]("exchanges/first-pull.json")
	p.must(err)
	good := p.framesOf(x)
	good[0].GetBegin().Heads = nil
	nonce := p.requestOf(x).open.GetNonce()
	p.plan = append(p.plan, answer{nonce: nonce, now: x.Now, serve: func(*sent) *http.Response {
		resp, body := p.respond(good[0]), string(p.bytes(b.Bytes))
		if b.Format == "json" && want != syncproto.CodeOffline {
			body += "\n" // a line without its end is a cut one
		}
		if b.Encoding != "" { // nothing can come before
			resp.Body = io.NopCloser(strings.NewReader(""))
			resp.Header.Set("Content-Encoding", b.Encoding)
		}
		resp.Body = io.NopCloser(link(io.MultiReader(resp.Body, strings.NewReader(body))))
		return resp
	}})
	p.expectNonce()
	if _, err := p.Sync(t.Context()); !errors.Is(err, want) || syncproto.CodeOf(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if c := p.Counts(); c.Records != 1 || len(p.plan) > 0 {
		t.Errorf("counts %+v", c)
	}
	p.gone(shipyard)
	p.plan = append(p.plan, answer{nonce: nonce, now: x.Now, serve: func(*sent) *http.Response { return p.respond(good...) }})
	p.expectNonce()
	if _, err := p.Sync(t.Context()); err != nil && p.next == nil {
		t.Errorf("the next good response: %v", err)
	}
	p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding"})
	if p.get(mine.String()).Fields["findings"] != "mine" {
		t.Error("what was here is lost")
	}
}

// TestAGoldenResponseCutAnywhereIsALostSignal cuts the response of first-pull at
// many places, in each form: whatever arrived, the link broke.
func TestAGoldenResponseCutAnywhereIsALostSignal(t *testing.T) {
	x, err := vectors.Load[vectors.Exchange]("exchanges/first-pull.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{"protobuf", "zstd", "json"} {
		t.Run(form, func(t *testing.T) {
			p := newPhone(t, "B", form)
			frames := p.framesOf(x)
			whole, err := io.ReadAll(p.respond(frames...).Body)
			p.must(err)
			for at := range len(whole) - 4 {
				if at%13 > 0 && at > 4 {
					continue
				}
				p.plan = []answer{{nonce: p.requestOf(x).open.GetNonce(), now: x.Now, serve: func(*sent) *http.Response {
					resp := p.respond(frames...)
					resp.Body = io.NopCloser(iotest.DataErrReader(bytes.NewReader(whole[:at])))
					return resp
				}}}
				p.expectNonce()
				if _, err := p.Sync(t.Context()); syncproto.CodeOf(err) != syncproto.CodeOffline {
					t.Errorf("cut after %d of %d bytes: %v", at, len(whole), err)
				}
			}
		})
	}
}

// serveItems serves the items of a body as entries of a feed: what can't be
// read costs that entry, is asked for again, and the cursor moves on.
func serveItems(t *testing.T, b vectors.Body) {
	t.Helper()
	p := newPhone(t, "B", "protobuf")
	x, err := vectors.Load[vectors.Exchange]("exchanges/first-pull.json")
	p.must(err)
	q, err := readFrames(wire.NewFrameReader(bytes.NewReader(p.bytes(b.Bytes)), wire.Protobuf))
	p.must(err)
	good := p.framesOf(x)
	feed := &wire.Feed{Tables: q.batches[0].GetTables(), Cursors: []*wire.Cursor{{Scope: "35.24.14", Seq: 9}}}
	for _, item := range q.batches[0].GetItems() {
		feed.Entries = append(feed.Entries, &wire.Entry{Scope: item.GetScope(), Entry: &wire.Entry_Delta{Delta: item.GetDelta()}})
	}
	good[1] = &wire.ResponseFrame{Frame: &wire.ResponseFrame_Feed{Feed: feed}}
	p.plan = append(p.plan, answer{nonce: p.requestOf(x).open.GetNonce(), now: x.Now, serve: func(*sent) *http.Response { return p.respond(good...) }})
	p.expectNonce()
	report, err := p.Sync(t.Context())
	p.must(err)
	bad := 0
	for i, item := range b.Items {
		if item.Refused != "" {
			bad++
			continue
		}
		if got := p.get(item.Delta.ID).Fields["findings"]; got != [...]string{"one", "two"}[i] {
			t.Errorf("item %d shows %v", i, got)
		}
	}
	if report.Poisoned != bad || report.Pulled != len(b.Items)-bad || p.Counts().Records != len(b.Items)-bad {
		t.Errorf("%d refused items: %+v, %+v", bad, report, p.Counts())
	}
	p.now += 120_000
	asked := p.probe().open
	if len(asked.GetCursors()) != 1 || asked.GetCursors()[0].GetSeq() != 9 {
		t.Errorf("cursors %v", asked.GetCursors())
	}
	if b.Name == "item-short-id" {
		bad = 0 // there is no id to ask for
	}
	if len(asked.GetRefetch()) != bad {
		t.Errorf("asks for %x", asked.GetRefetch())
	}
}

// TestWhatALaterVersionSaysIsSentOn: the sibling of unknown-fields comes to a
// phone of this version, which sends it on as it is when a new epoch makes it
// send all.
func TestWhatALaterVersionSaysIsSentOn(t *testing.T) {
	x, err := vectors.Load[vectors.Exchange]("exchanges/unknown-fields.json")
	if err != nil {
		t.Fatal(err)
	}
	p := newPhone(t, "B", "zstd")
	first, err := vectors.Load[vectors.Exchange]("exchanges/first-pull.json")
	p.must(err)
	p.schedule(first, goldenPlays()["first-pull"])
	p.expectNonce()
	_, err = p.Sync(t.Context())
	p.must(err)
	batch := p.requestOf(x).batches[0]
	feed := &wire.Feed{Tables: batch.GetTables(), Cursors: []*wire.Cursor{{Scope: "35.24.14", Seq: 2}}, Entries: []*wire.Entry{
		{Scope: batch.GetItems()[0].GetScope(), Entry: &wire.Entry_Delta{Delta: batch.GetItems()[0].GetDelta()}},
	}}
	later := protowire.AppendString(protowire.AppendTag(nil, 1000, protowire.BytesType), "later")
	feed.ProtoReflect().SetUnknown(later)
	answers := []*wire.Begin{
		{Status: wire.Status_STATUS_OK, Epoch: p.bytes(p.world.Server.Epoch), GrantsVersion: 1},
		{Status: wire.Status_STATUS_EPOCH, Epoch: bytes.Repeat([]byte{7}, 16)},
	}
	for i, begin := range answers {
		begin.Version, begin.ServerTime = wire.Version, x.Now
		begin.ProtoReflect().SetUnknown(later)
		p.plan = append(p.plan, answer{now: x.Now, serve: func(q *sent) *http.Response {
			begin.Nonce = q.open.GetNonce()
			frames := []*wire.ResponseFrame{{Frame: &wire.ResponseFrame_Begin{Begin: begin}}, {Frame: &wire.ResponseFrame_End{End: &wire.End{}}}}
			if i == 0 {
				frames = []*wire.ResponseFrame{frames[0], {Frame: &wire.ResponseFrame_Feed{Feed: feed}}, frames[1]}
			}
			return p.respond(frames...)
		}})
		if _, err := p.Sync(t.Context()); err != nil && p.next == nil {
			t.Fatal(err)
		}
	}
	p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "no_finding"})
	items := p.items(p.probe())
	want := x.Items[0].Delta.Fields[0].Siblings[0].Extra
	if len(items) != 1 || want == "" {
		t.Fatalf("sends %s", asJSON(p, items))
	}
	for _, f := range items[0].Delta.Fields {
		if f.Path == "outcome" && f.Siblings[0].Extra != want {
			t.Errorf("sends on %q, want %q", f.Siblings[0].Extra, want)
		}
	}
}
