package sambang_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/vectors"
)

// TestGoldenValues gives each value of the vectors to the SDK as a field: it is
// kept in its canonical form, or refused with its code and nothing is kept.
func TestGoldenValues(t *testing.T) {
	all, err := vectors.Load[[]vectors.Value]("values.json")
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, t.TempDir(), nil)
	for _, v := range all {
		in := []byte(v.In)
		if v.InHex != "" {
			if in, err = hex.DecodeString(v.InHex); err != nil {
				t.Fatal(err)
			}
		}
		before := r.Counts()
		id, err := r.Create("site", "35.24.14", sambang.Fields{"value": json.RawMessage(in)})
		switch {
		case v.Refused != "":
			if !errors.Is(err, syncproto.Code(v.Refused)) || r.Counts() != before {
				t.Errorf("%q: %v, want %s; counts %+v", in, err, v.Refused, r.Counts())
			}
		case err != nil:
			t.Errorf("%q: %v", in, err)
		default:
			f, ok := get(t, r, id).States()[0].Field("value")
			if v.Canonical == "null" {
				if ok && f.Siblings[0].Value != syncproto.Null {
					t.Errorf("null is kept as %v", f)
				}
				continue
			}
			if !ok || len(f.Siblings) != 1 || f.Siblings[0].Value.JSON() != v.Canonical {
				t.Errorf("%q is kept as %v, want %s", in, f, v.Canonical)
			}
		}
	}
}

// TestGoldenDigests has each computation of the vectors, and how the SDK comes
// to it.
func TestGoldenDigests(t *testing.T) {
	all, err := vectors.Load[[]vectors.Digest]("digests.json")
	if err != nil {
		t.Fatal(err)
	}
	byExchange := func(*testing.T, vectors.Digest) {} // TestGoldenVectors compares it in each request
	plays := map[string]func(*testing.T, vectors.Digest){
		"replica":             func(t *testing.T, d vectors.Digest) { same(t, d, newPhone(t, "A", "").Status().Replica.String()) },
		"chain-start":         byExchange, // the first write's link of the heads in claims
		"step":                byExchange, // the history of reconnect; and heads
		"chain":               byExchange, // heads in claims
		"items":               byExchange, // a receipt over other items is refused
		"claim-bytes":         byExchange,
		"claim-signature":     byExchange,
		"vector":              byExchange, // contexts in items, part of "items"
		"companion-task":      func(t *testing.T, d vectors.Digest) { companion(t, d, "inspection", "narrative", "x") },
		"companion-hq":        func(t *testing.T, d vectors.Digest) { companion(t, d, "encounter", "restricted", true) },
		"region-key-35":       func(*testing.T, vectors.Digest) {}, // no device of the vectors has a grant so wide
		"region-key-35.24":    naturalID,                           // B's grant
		"region-key-35.24.14": naturalID,                           // A's grant, and derived from B's
		"natural-id":          naturalID,
		"passport":            naturalID,
		"item-key":            itemKey,
	}
	for _, d := range all {
		play, ok := plays[d.Name]
		if !ok {
			t.Errorf("nobody says how the SDK comes to %s", d.Name)
			continue
		}
		t.Run(d.Name, func(t *testing.T) { play(t, d) })
	}
	if len(plays) != len(all) {
		t.Errorf("%d computations, the vectors have %d", len(plays), len(all))
	}
}

func same(t *testing.T, d vectors.Digest, got string) {
	t.Helper()
	if got != d.Out {
		t.Errorf("%s is %s, want %s", d.Name, got, d.Out)
	}
}

// companion looks at the id of the part that a field of the pack goes to.
func companion(t *testing.T, d vectors.Digest, kind, field string, value any) {
	t.Helper()
	r := open(t, t.TempDir(), func(o *sambang.Options) { o.Pack = pack.Timpora() })
	id, err := syncproto.ParseRecordID(d.In["record"])
	if err != nil {
		t.Fatal(err)
	}
	if err := r.CreateWith(id, kind, "35.24.14", sambang.Fields{field: value}); err != nil {
		t.Fatal(err)
	}
	parts := get(t, r, id).States()
	same(t, d, hexID(parts[len(parts)-1].ID()))
}

func hexID(id sambang.ID) string { return hex.EncodeToString(id[:]) }

// naturalID looks at the natural id that both devices make, A with its
// district's key and B with its regency's, as the vectors' server told them.
func naturalID(t *testing.T, _ vectors.Digest) {
	t.Helper()
	all, err := vectors.Load[[]vectors.Digest]("digests.json")
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]vectors.Digest{}
	for _, d := range all {
		by[d.Name] = d
	}
	part := syncproto.PassportKey(by["passport"].In["country"], by["passport"].In["number"])
	same(t, by["passport"], part)
	for device, first := range map[string]string{"A": "first-push", "B": "first-pull"} {
		p := newPhone(t, device, "protobuf")
		x, err := vectors.Load[vectors.Exchange]("exchanges/" + first + ".json")
		p.must(err)
		p.tell([]vectors.Exchange{x}, goldenPlays())
		id, err := p.NaturalID("35.24.14", by["natural-id"].In["kind"], part)
		p.must(err)
		same(t, by["natural-id"], hexID(id))
	}
}

// itemKey looks at the key of an item of a list whose items have a natural one.
func itemKey(t *testing.T, d vectors.Digest) {
	t.Helper()
	p, err := pack.Parse([]byte(listPack))
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, t.TempDir(), func(o *sambang.Options) { o.Pack = p })
	id, err := syncproto.ParseRecordID(d.In["record"])
	if err != nil {
		t.Fatal(err)
	}
	item := map[string]any{"who": d.In["part"], "seen": true}
	if err := r.CreateWith(id, "visit", "35.24.14", sambang.Fields{"people": []any{item}}); err != nil {
		t.Fatal(err)
	}
	if _, ok := get(t, r, id).States()[0].Field("people/" + d.Out + "/who"); !ok {
		t.Errorf("no item %s in %v", d.Out, get(t, r, id).Fields)
	}
}

const listPack = `{"$schema":"https://json-schema.org/draft/2020-12/schema",
"x-sambang-pack":{"format":1,"name":"v","version":"1","default_class":"D"},
"$defs":{"visit":{"type":"object","x-sambang":{"kind":true,"label":{"id":"Kunjungan"}},"properties":{
"people":{"type":"array","items":{"properties":{"who":{},"seen":{}}},
 "x-sambang":{"label":{"id":"Orang"},"policy":"lww","shape":"list","class":"D","natural":["who"]}}}}}}`

// TestGoldenStates: what a phone keeps of the scenarios is the vectors' record.
// on-the-server is the same state as A's after it resolved the conflict; of a
// purged record a phone keeps nothing.
func TestGoldenStates(t *testing.T) {
	all, err := vectors.Load[[]vectors.State]("states.json")
	if err != nil {
		t.Fatal(err)
	}
	plays := map[string]string{"on-the-server": "resolve", "on-a-phone": "conflict", "purged": ""}
	for _, s := range all {
		last, ok := plays[s.Name]
		if !ok {
			t.Errorf("nobody says which phone keeps %s", s.Name)
		}
		if last == "" {
			continue
		}
		p := tellTo(t, last)
		got := p.names.Delta(p.get(s.Record.ID).States()[0].Full())
		if a, b := asJSON(p, s.Record), asJSON(p, got); a != b {
			t.Errorf("%s is %s, want %s", s.Name, b, a)
		}
	}
	if len(plays) != len(all) {
		t.Errorf("%d states, the vectors have %d", len(plays), len(all))
	}
}

// tellTo plays all exchanges of a device up to one.
func tellTo(t *testing.T, last string) *phone {
	t.Helper()
	end, err := vectors.Load[vectors.Exchange]("exchanges/" + last + ".json")
	if err != nil {
		t.Fatal(err)
	}
	p := newPhone(t, end.Device, "protobuf")
	p.tell(p.story(end), goldenPlays())
	return p
}
