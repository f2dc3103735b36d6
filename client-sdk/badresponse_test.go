package sambang_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// TestWhatCannotBeReadIsAFaultOfTheResponse damages one part of a good response.
// The device must not blame itself with the codec's code, which stays the cause;
// it keeps what it has, and takes the good response the next time.
func TestWhatCannotBeReadIsAFaultOfTheResponse(t *testing.T) {
	paths := slices.Repeat([]string{"findings"}, wire.MaxTableEntries+1)
	pulled := func(p *phone) { p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding"}) }
	notPulled := func(p *phone) { p.gone(shipyard) }
	repaired := func(p *phone) {
		p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding", "narrative": "Ditulis pada salinan kosong."})
	}
	notRepaired := func(p *phone) {
		rec := p.get(shipyard)
		if len(rec.Fields) != 1 || rec.Fields["narrative"] != "Ditulis pada salinan kosong." || rec.Custody != sambang.CustodyOnPhone {
			p.t.Errorf("shows %v, %s", rec.Fields, rec.Custody)
		}
	}
	for name, c := range map[string]struct {
		exchange string
		damage   func([]*wire.ResponseFrame)
		cause    syncproto.Code
		// What the device shows after it, and after the good response.
		then, last func(*phone)
	}{
		"tables of a feed": {
			"first-pull", func(f []*wire.ResponseFrame) { f[1].GetFeed().GetTables().Paths = paths },
			syncproto.CodeTooMany, notPulled, pulled,
		},
		"the scope of a cursor": {
			"first-pull", func(f []*wire.ResponseFrame) { f[1].GetFeed().GetCursors()[0].Scope = "elsewhere" },
			syncproto.CodeBadScope, notPulled, pulled,
		},
		"tables of the outcomes": {
			"absorb", func(f []*wire.ResponseFrame) { f[0].GetBegin().GetTables().Paths = paths },
			syncproto.CodeTooMany, notRepaired, repaired,
		},
		"the vector of an outcome": {
			"absorb", func(f []*wire.ResponseFrame) {
				f[0].GetBegin().GetOutcomes()[0].Ctx = &wire.Vector{Replica: []uint32{99}, N: []uint64{1}}
			},
			syncproto.CodeBadVector, notRepaired, repaired,
		},
		"the state of an outcome": {
			"absorb", func(f []*wire.ResponseFrame) { f[0].GetBegin().GetOutcomes()[0].GetReply().Id = []byte("short") },
			syncproto.CodeBadID, notRepaired, repaired,
		},
	} {
		t.Run(name, func(t *testing.T) {
			x, err := vectors.Load[vectors.Exchange]("exchanges/" + c.exchange + ".json")
			if err != nil {
				t.Fatal(err)
			}
			p := newPhone(t, x.Device, "protobuf")
			p.plan = append(p.planUpTo(x), p.damaged(x, c.damage))
			p.expectNonce()
			_, err = p.Sync(t.Context())
			if syncproto.CodeOf(err) != syncproto.CodeBadResponse || !errors.Is(err, syncproto.CodeBadResponse) || !errors.Is(err, c.cause) {
				t.Errorf("got %v, want %s because of %s", err, syncproto.CodeBadResponse, c.cause)
			}
			c.then(p)
			p.plan = []answer{p.damaged(x, func([]*wire.ResponseFrame) {})}
			p.expectNonce()
			if _, err := p.Sync(t.Context()); err != nil && p.next == nil {
				t.Errorf("the good response: %v", err)
			}
			c.last(p)
		})
	}
}

// planUpTo plays what a phone does before an exchange, and returns the answers
// of the same Sync that come before its own.
func (p *phone) planUpTo(x vectors.Exchange) []answer {
	p.t.Helper()
	plays := goldenPlays()
	for i, y := range p.story(x) {
		play := plays[y.Name]
		if i > 0 && !play.same {
			p.expectNonce()
			_, err := p.Sync(p.t.Context())
			p.must(err)
		}
		if play.before != nil {
			play.before(p)
		}
		if y.Name != x.Name {
			p.schedule(y, play)
		}
	}
	return p.plan
}

// damaged is the answer to an exchange after a change.
func (p *phone) damaged(x vectors.Exchange, change func([]*wire.ResponseFrame)) answer {
	p.t.Helper()
	return answer{nonce: p.requestOf(x).open.GetNonce(), now: x.Now, serve: func(*sent) *http.Response {
		frames := p.framesOf(x)
		change(frames)
		return p.respond(frames...)
	}}
}
