package sambang_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// goldenPlay says how the SDK plays the exchange of a vector.
type goldenPlay struct {
	// before is what happens on the phone since the exchange before.
	before func(*phone)
	// same says that it goes on in the Sync of the exchange before.
	same bool
	// after looks at what the phone shows when the exchange was the last.
	after func(*phone)
	// next looks at what the phone sends after it; default: an Open with all that
	// the vectors' responses told, and nothing to push.
	next func(*phone, *sent)
	// unsent is why no state of the SDK sends the request, "" if one does. Only
	// the response is played then.
	unsent string
	// adapt: the phone's bytes can't be the vector's; see phone.adapt.
	adapt bool
}

// TestGoldenVectors plays every golden exchange on a real replica: what it
// sends must be the vector's request, and what it makes of the response is
// looked at by what it shows and by what it sends next. Exchanges before it are
// played too, those of its device.
func TestGoldenVectors(t *testing.T) {
	exchanges, err := vectors.LoadAll[vectors.Exchange]("exchanges")
	if err != nil {
		t.Fatal(err)
	}
	plays := goldenPlays()
	for _, x := range exchanges {
		if _, ok := plays[x.Name]; !ok {
			t.Errorf("nobody says how the SDK plays %s", x.Name)
		}
	}
	if len(plays) != len(exchanges) {
		t.Errorf("%d plays, there are %d exchanges", len(plays), len(exchanges))
	}
	for _, form := range []string{"protobuf", "zstd", "json"} {
		for _, x := range exchanges {
			t.Run(form+"/"+x.Name, func(t *testing.T) {
				p := newPhone(t, x.Device, form)
				p.tell(p.story(x), plays)
			})
		}
	}
}

// story returns the exchanges of the phone's device up to x, in order.
func (p *phone) story(x vectors.Exchange) []vectors.Exchange {
	p.t.Helper()
	var out []vectors.Exchange
	for _, name := range x.Before {
		b, err := vectors.Load[vectors.Exchange]("exchanges/" + name + ".json")
		if err != nil {
			if _, err = vectors.Load[vectors.Action]("actions/" + name + ".json"); err == nil {
				continue // it is the server's
			}
		}
		p.must(err)
		if b.Device == x.Device {
			out = append(out, b)
		}
	}
	return append(out, x)
}

// tell plays exchanges in order and looks at what came of them.
func (p *phone) tell(story []vectors.Exchange, plays map[string]goldenPlay) {
	p.t.Helper()
	for i := 0; i < len(story); {
		first := i
		for i++; i < len(story) && plays[story[i].Name].same; i++ {
		}
		if f := plays[story[first].Name].before; f != nil {
			f(p)
		}
		for _, x := range story[first:i] {
			p.schedule(x, plays[x.Name])
		}
		p.expectNonce()
		_, err := p.Sync(p.t.Context())
		switch refused := story[i-1].Refused; {
		case refused != "":
			if !errors.Is(err, syncproto.Code(refused)) {
				p.t.Fatalf("got %v, want %s", err, refused)
			}
		case err != nil && (i < len(story) || p.next == nil):
			p.t.Fatal(err)
		}
		if len(p.plan) > 0 {
			p.t.Fatalf("%d exchanges were not asked for", len(p.plan))
		}
	}
	play := plays[story[len(story)-1].Name]
	if play.after != nil {
		play.after(p)
	}
	if play.next == nil {
		play.next = func(p *phone, q *sent) { p.settled(q, story) }
	}
	play.next(p, p.probe())
}

// schedule plans the answer to one exchange.
func (p *phone) schedule(x vectors.Exchange, play goldenPlay) {
	want := p.requestOf(x)
	p.plan = append(p.plan, answer{nonce: want.open.GetNonce(), now: x.Now, serve: func(q *sent) *http.Response {
		if play.unsent == "" {
			p.sameRequest(x, want, q)
		}
		if x.Refused != "" {
			return refuse(x.Refused, x.Now)
		}
		frames := p.framesOf(x)
		if play.adapt {
			p.adapt(frames, q)
		}
		return p.respond(frames...)
	}})
}

// sameRequest compares what was sent with the vector. Free are, by SPEC 7.3
// and 7.4: how a batch numbers its tables, a claim of 0 writes, and the start of
// the chain as the head of none.
func (p *phone) sameRequest(x vectors.Exchange, want, got *sent) {
	p.t.Helper()
	w, g := proto.CloneOf(want.open), proto.CloneOf(got.open)
	w.ProtoReflect().SetUnknown(nil) // of a later version
	same := slices.EqualFunc(w.GetClaims(), g.GetClaims(), func(a, b *wire.Claim) bool { return proto.Equal(a, b) })
	for _, c := range w.GetClaims() {
		if c.GetConfirmedN() == 0 {
			c.ConfirmedHead = nil
		}
	}
	w.Claims = slices.DeleteFunc(w.GetClaims(), func(c *wire.Claim) bool { return c.GetN() == 0 })
	switch signed := wire.ClaimBytes(p.device.ID, g.GetNonce(), g.GetEpoch(), g.GetClaims()); {
	case len(g.GetClaims()) == 0 && len(g.GetClaimSignature()) > 0:
		p.t.Errorf("%s: a signature of no claim", x.Name)
	case len(g.GetClaims()) > 0 && !ed25519.Verify(p.bytes(p.device.PublicKey), signed, g.GetClaimSignature()):
		p.t.Errorf("%s: the claims are not signed", x.Name)
	case same && !bytes.Equal(g.GetClaimSignature(), w.GetClaimSignature()):
		p.t.Errorf("%s: another signature of the same claims", x.Name)
	}
	w.ClaimSignature, g.ClaimSignature = nil, nil
	w.Refetch, g.Refetch = asSet(w.GetRefetch()), asSet(g.GetRefetch())
	items := p.items(got)
	for i, item := range x.Items {
		if item.Refused != "" && i < len(items) { // only a mistake writes it: the head differs too
			items[i] = item
			w.Claims[0].Head = g.GetClaims()[0].GetHead()
		}
		if item.Delta != nil {
			for _, f := range item.Delta.Fields {
				for j := range f.Siblings {
					f.Siblings[j].Extra = "" // of a later version
				}
			}
		}
	}
	if !proto.Equal(w, g) {
		p.t.Errorf("%s: Open (-want +got):\n%s", x.Name, cmp.Diff(protojson.Format(w), protojson.Format(g)))
	}
	if diff := cmp.Diff(asJSON(p, x.Items), asJSON(p, items)); diff != "" {
		p.t.Errorf("%s: items (-want +got):\n%s", x.Name, diff)
	}
	var past []vectors.Past
	for _, b := range got.batches {
		h, err := p.names.Past(b)
		p.must(err)
		past = append(past, h...)
	}
	if diff := cmp.Diff(asJSON(p, x.History), asJSON(p, past)); diff != "" {
		p.t.Errorf("%s: history (-want +got):\n%s", x.Name, diff)
	}
}

// settled looks whether the phone has taken in all that the responses said, and
// has nothing more to say.
func (p *phone) settled(q *sent, story []vectors.Exchange) {
	p.t.Helper()
	want := &wire.Open{Version: wire.Version, Nonce: q.open.GetNonce(), GrantsVersion: 1, MaxEntries: 1000, App: "timpora 1.0"}
	cursors := map[string]uint64{}
	for _, x := range story {
		begin := p.framesOf(x)[0].GetBegin()
		want.Epoch = begin.GetEpoch()
		if begin.GetWitness() != nil {
			want.Witness = begin.GetWitness()
		}
		maps.Copy(cursors, x.Reply.Cursors)
	}
	for _, s := range slices.Sorted(maps.Keys(cursors)) {
		want.Cursors = append(want.Cursors, &wire.Cursor{Scope: s, Seq: cursors[s]})
	}
	got := proto.CloneOf(q.open)
	for _, c := range got.GetClaims() {
		if c.GetConfirmedN() != c.GetN() || !bytes.Equal(c.GetConfirmedHead(), c.GetHead()) {
			p.t.Errorf("the claim of %d writes is confirmed up to %d", c.GetN(), c.GetConfirmedN())
		}
	}
	got.Claims, got.ClaimSignature = nil, nil
	if !proto.Equal(want, got) {
		p.t.Errorf("the next Open (-want +got):\n%s", cmp.Diff(protojson.Format(want), protojson.Format(got)))
	}
	if len(q.batches) > 0 {
		p.t.Errorf("pushed again: %s", asJSON(p, p.items(q)))
	}
	if c := p.Counts(); c.Waiting != 0 {
		p.t.Errorf("something waits: %+v", c)
	}
}

func asSet(ids [][]byte) [][]byte {
	ids = slices.SortedFunc(slices.Values(ids), bytes.Compare)
	return slices.CompactFunc(ids, bytes.Equal)
}

// asJSON makes values comparable that are the same JSON.
func asJSON(p *phone, x any) string {
	p.t.Helper()
	b, err := json.Marshal(x)
	p.must(err)
	var any any
	p.must(json.Unmarshal(b, &any))
	b, err = json.MarshalIndent(any, "", " ")
	p.must(err)
	if string(b) == "null" {
		return ""
	}
	return string(b)
}

// TestGoldenVerdictOnACopy serves the response of verdict to a phone that missed
// the marker and still has its copy: it goes if the verdict covers it, and stays
// if the phone has written more.
func TestGoldenVerdictOnACopy(t *testing.T) {
	x, err := vectors.Load[vectors.Exchange]("exchanges/verdict.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, more := range map[string]bool{"covered": false, "written since": true} {
		t.Run(name, func(t *testing.T) {
			p := tellTo(t, "reconnect")
			p.edit(villa, at(6, 2), "outcome", "finding")
			if more {
				p.edit(villa, at(6, 3), "note", "Ditulis sesudahnya.")
			}
			p.must(p.Believe(p.id(villa))) // pushed, and the marker was lost
			p.must(p.Refetch(p.id(villa), p.id(neverSeen)))
			p.schedule(x, goldenPlay{unsent: "the phone of the vector has evicted it"})
			p.expectNonce()
			if _, err := p.Sync(t.Context()); err != nil && p.next == nil {
				t.Fatal(err)
			}
			p.now, p.next = p.now+120_000, nil // beyond the pause
			asked := p.probe().open.GetRefetch()
			if !more {
				p.gone(villa)
				if len(asked) > 0 {
					t.Errorf("asks for %x again", asked)
				}
				return
			}
			p.get(villa)
			if id := p.id(villa); len(asked) != 1 || !bytes.Equal(asked[0], id[:]) {
				t.Errorf("asks for %x", asked)
			}
		})
	}
}
