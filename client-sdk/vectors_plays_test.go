package sambang_test

import (
	"encoding/json"
	"slices"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// The records of the scenarios.
const (
	shipyard      = "019cd55e-5c90-781d-825c-92842a727b30"
	villa         = "019cd55e-5c90-78c8-a891-d1e5e797f87c"
	hotel         = "019cd55e-5c90-7c05-9df5-205fc150ccbb"
	otherDistrict = "019cd55e-5c90-760a-930d-b018de956960"
	restricted    = "019cd55e-5c90-70dc-a989-95f0486a9664"
	neverSeen     = "019cd55e-5c90-7150-acbf-6341636101a2"
	one           = "019cd55e-5c90-7ae9-bcef-599e2c0b2271"
	two           = "019cd55e-5c90-70e7-af35-7f82dc2d1f9a"
	three         = "019cd55e-5c90-77a1-939d-93aa31cdaef3"

	paper   = "Satu WNA di bengkel las; paspor asli diperlihatkan."
	matched = "Satu WNA di bengkel las; paspor asli dicocokkan."
	twoMen  = "Dua WNA di bengkel las."
)

// at returns the time of day, in milliseconds from the start of the scenarios.
func at(minutes, seconds int64) int64 { return start + minutes*60_000 + seconds*1000 }

// goldenPlays has each exchange of the vectors.
func goldenPlays() map[string]goldenPlay {
	const never = "the SDK makes no such request: it plays the refusal of an honest one"
	return map[string]goldenPlay{
		"first-push": {
			before: func(p *phone) {
				p.create(shipyard, start, "35.24.14", sambang.Fields{"findings": paper, "outcome": "finding"})
			},
			after: func(p *phone) { p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding"}) },
		},
		"idle": {after: func(p *phone) { p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding"}) }},
		"first-pull": {after: func(p *phone) {
			p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding"})
			p.byA(shipyard)
		}},
		"edit": {
			before: func(p *phone) { p.edit(shipyard, at(2, 1), "outcome", "no_finding") },
			after:  func(p *phone) { p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "no_finding"}) },
		},
		"reconnect": {
			before: func(p *phone) {
				p.edit(shipyard, at(3, 2), "findings", "Satu WNA di bengkel las.")
				p.edit(shipyard, at(3, 3), "findings", matched)
				p.create(villa, at(3, 4), "35.24.14", sambang.Fields{"site": json.RawMessage(`{"name":"Vila Rekaan","lat":-6.87905,"lon":112.4131}`)})
			},
			after: func(p *phone) {
				p.shows(shipyard, sambang.Fields{"findings": matched, "outcome": "no_finding"})
				p.held(villa)
			},
		},
		"pull": {after: func(p *phone) {
			p.shows(shipyard, sambang.Fields{"findings": matched, "outcome": "no_finding"})
			p.held(villa)
		}},
		"conflict": {
			before: func(p *phone) { p.edit(shipyard, at(4, 1), "findings", twoMen) },
			after: func(p *phone) {
				p.conflict(shipyard, "findings", paper, matched, twoMen)
				p.held(villa)
			},
		},
		"delete-against-edit": {
			before: func(p *phone) {
				p.now = at(5, 2)
				p.must(p.Delete(p.id(shipyard)))
			},
			after: func(p *phone) {
				rec := p.get(shipyard)
				if rec.Deleted || !slices.Equal(rec.Survivors, []string{"findings"}) {
					p.t.Errorf("deleted %v, survivors %v", rec.Deleted, rec.Survivors)
				}
				if !slices.Contains(rec.Conflicts, "$del") {
					p.t.Errorf("the deletion is no conflict: %v", rec.Conflicts)
				}
			},
		},
		"resolve": {
			before: func(p *phone) {
				p.now = at(6, 2)
				p.must(p.Resolve(p.id(shipyard), "$del", false))
				p.edit(shipyard, at(6, 2), "findings", "Dua WNA di bengkel las; satu paspor dicocokkan.")
			},
			after: func(p *phone) {
				p.shows(shipyard, sambang.Fields{"findings": "Dua WNA di bengkel las; satu paspor dicocokkan.", "outcome": "no_finding"})
			},
		},
		"move": {
			before: func(p *phone) {
				p.now = at(5, 1)
				p.must(p.Move(p.id(villa), "35.24.15"))
			},
			after: func(p *phone) {
				if rec := p.get(villa); rec.Region != "35.24.15" || rec.Custody != sambang.CustodyHeld {
					p.t.Errorf("in %s, %s", rec.Region, rec.Custody)
				}
			},
		},
		"left-marker": {
			before: func(p *phone) { p.edit(villa, at(6, 2), "outcome", "finding") },
			after:  func(p *phone) { p.gone(villa) },
		},
		"verdict": {
			before: func(p *phone) { p.must(p.Refetch(p.id(villa), p.id(neverSeen))) },
			after:  func(p *phone) { p.gone(villa); p.gone(neverSeen) },
		},
		"write-only": {
			before: func(p *phone) {
				p.now = at(1, 1)
				p.must(p.WriteRaw(p.id(restricted), raw("$kind", "inspection"), raw("$of", shipyard), raw("$scope", "35.24.14/T"),
					raw("narrative", "Hanya untuk petugas yang bertugas.")))
			},
			after: func(p *phone) {
				p.gone(restricted)
				p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding"})
			},
		},
		"need-full": {
			before: func(p *phone) {
				p.create(hotel, at(1, 1), "35.24.14", nil)
				p.must(p.Believe(p.id(hotel)))
				p.edit(hotel, at(1, 2), "outcome", "finding")
			},
			after: func(p *phone) {
				if c, err := p.Custody(p.id(hotel)); err != nil || c != sambang.CustodyOnPhone {
					p.t.Errorf("custody %s, %v", c, err)
				}
			},
			next: func(p *phone, q *sent) {
				if items := p.items(q); len(items) != 1 || len(items[0].Delta.Base) > 0 || len(items[0].Delta.Fields) != 3 {
					p.t.Errorf("not the full state: %s", asJSON(p, items))
				}
			},
		},
		"need-full-again": {same: true, after: func(p *phone) { p.shows(hotel, sambang.Fields{"outcome": "finding"}) }},
		"quarantine": {
			before: func(p *phone) {
				p.create(otherDistrict, at(1, 1), "35.24.20", sambang.Fields{"outcome": "finding"})
				p.create(villa, at(1, 2), "35.24.14", nil)
			},
			after: func(p *phone) {
				p.aside(otherDistrict, syncproto.CodeScopeDenied)
				p.held(villa)
			},
		},
		"poison": {
			adapt: true, // the SDK writes 2, where the vector's device has a mistake
			before: func(p *phone) {
				for i, id := range []string{one, two, three} {
					p.create(id, at(1, int64(i)), "35.24.14", sambang.Fields{"people_present": i + 1})
				}
			},
			after: func(p *phone) {
				p.aside(two, syncproto.CodeBadValue)
				p.shows(one, sambang.Fields{"people_present": json.Number("1")})
				p.shows(three, sambang.Fields{"people_present": json.Number("3")})
			},
		},
		"purged": {
			before: func(p *phone) { p.edit(shipyard, at(2, 1), "outcome", "no_finding") },
			after:  func(p *phone) { p.gone(shipyard) },
		},
		"chain-challenge": {
			unsent: "a replica of 0 writes is not claimed: the restored phone here has written since",
			before: func(p *phone) {
				p.restore()
				p.create(villa, at(1, 1), "35.24.14", sambang.Fields{"outcome": "finding"})
			},
			next: func(p *phone, q *sent) { p.forked(q) },
		},
		"epoch-change": {
			before: func(p *phone) { p.edit(shipyard, at(2, 1), "outcome", "no_finding") },
			next:   func(p *phone, q *sent) { p.begunAnew(q) },
		},
		"tripwire": {
			before: func(p *phone) {
				p.now = at(1, 1)
				p.must(p.Lose(p.id(shipyard)))
				p.must(p.WriteRaw(p.id(shipyard), raw("$kind", "inspection"), raw("$scope", "35.24.14"), raw("narrative", "Ditulis pada salinan kosong.")))
			},
			next: func(p *phone, q *sent) {
				if items := p.items(q); len(items) != 1 || !items[0].Repair || len(items[0].Delta.Base) > 0 {
					p.t.Errorf("no repair: %s", asJSON(p, items))
				}
			},
		},
		"absorb": {same: true, after: func(p *phone) {
			p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "finding", "narrative": "Ditulis pada salinan kosong."})
		}},
		"unknown-fields": { // but what is unknown; see TestWhatALaterVersionSaysIsSentOn
			before: func(p *phone) { p.edit(shipyard, at(1, 1), "outcome", "no_finding") },
			after:  func(p *phone) { p.shows(shipyard, sambang.Fields{"findings": paper, "outcome": "no_finding"}) },
		},
		"unsupported-version": {unsent: never, before: waitsForServer, next: stillWaits},
		"replica-not-yours":   {unsent: never, before: waitsForServer, next: stillWaits},
		"claim-invalid":       {unsent: never, before: waitsForServer, next: stillWaits},
	}
}
