package hostile_test

import (
	"crypto/ed25519"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func sign(key ed25519.PrivateKey, message []byte) []byte { return ed25519.Sign(key, message) }

func orang() server.Person {
	return server.Person{Subject: "siti", Role: server.Admin, Agency: "imigrasi", Regions: []syncproto.Region{"35"}, Classes: []syncproto.Class{"D", "T", "H"}}
}

func countLines(log, with string) int { return strings.Count(log, with) }

// H08
func trespasses(t *testing.T, x *intruder) {
	denied := func(what, scope string, id syncproto.RecordID, more ...syncproto.Write) {
		t.Helper()
		r, m := x.write(x.minter, syncproto.NewRecord(id), birth(scope, more...)...)
		got := x.push(m, x.batch(scope, r.Full()))
		want(t, what, got.said(), "RESULT_QUARANTINED scope_denied")
	}
	denied("a record in a district that is not his", "35.24.15", x.own(1), text("name", "x"))
	denied("a record in another province", "36.01.01", x.own(2), text("name", "x"))
	// Sent by way of a district that is his.
	r, m := x.write(x.minter, syncproto.NewRecord(x.own(3)), birth("35.24.15", text("name", "x"))...)
	want(t, "a foreign record by way of his own district", x.push(m, x.batch(district, r.Full())).said(), "RESULT_QUARANTINED scope_denied")
	codes := []syncproto.Code{}
	for range 3 {
		codes = append(codes, syncproto.CodeScopeDenied)
	}
	x.wantInbox(t, codes...)

	// Into a wider class than the id says.
	companion := syncproto.CompanionID(x.own(6), syncproto.ClassTask)
	r, m = x.write(x.minter, syncproto.NewRecord(companion), birth(beside, text("name", "x"))...)
	want(t, "a companion in the open class", x.push(m, x.batch(beside, r.Full())).said(), "RESULT_QUARANTINED bad_scope")

	// A record that says that it belongs to an honest one.
	r, m = x.write(x.minter, syncproto.NewRecord(x.own(7)), birth(district, text(syncproto.PathOf, x.w.sites[0].String()), text("phone", "+62000"))...)
	want(t, "a record that calls itself a part of another", x.push(m, x.batch(district, r.Full())).said(), "ok")
	// His own record moved out of his reach is moved; into it, not.
	r, m = x.write(x.minter, r, text(syncproto.PathScope, "35.24.15"))
	x.push(m, x.batch(district, r.Full()))
	if _, ok := x.pull()[r.ID()]; ok {
		t.Error("he still sees a record that he moved out of his reach")
	}
}

// H09
func misdates(t *testing.T, x *intruder) {
	year := int64(365 * 24 * 3600 * 1000)
	for i, ahead := range []int64{-50 * year, -year, -1000, 0, 11 * 60_000, 24 * 3600_000, 10 * year, 170 * year} {
		id := x.own(10 + i)
		x.rotate()
		r, m := x.writeAt(x.minter, syncproto.NewRecord(id), max(0, x.w.now+ahead), birth(district, text("name", "waktu"))...)
		want(t, "a write at another time", x.push(m, x.batch(district, r.Full())).said(), "ok")
		flagged := false
		for f := range x.pull()[id].Fields() {
			flagged = flagged || f.Siblings[0].Suspect
		}
		if flagged != (ahead > 10*60_000) {
			t.Errorf("a write %d s ahead: flagged %t", ahead/1000, flagged)
		}
		a := x.w.ask("GET", "/v1/records/"+id.String(), x.w.person(server.Viewer, "35"), nil)
		if !strings.Contains(string(a.body), `"created_at":"2026-03-10T`) {
			t.Errorf("the time of reception is not the server's: %s", a.body)
		}
		if strings.Contains(string(a.body), `"suspect_clock":true`) != flagged {
			t.Errorf("headquarters is not told: %s", a.body)
		}
	}
	// Beside an honest value that he had not seen: whatever he says of the time,
	// the honest value is shown, and both are there. The record is made for this.
	third := x.w.phone("joko")
	victim, err := third.Create("site", district, sambang.Fields{"name": "Korban"})
	x.w.must(err)
	x.mine[victim] = true
	x.w.sync(third)
	old := x.honestID(victim)
	x.w.must(third.Edit(victim, setName("Kata Jujur")))
	x.w.sync(third)
	x.rotate()
	r, m := x.writeAt(x.minter, old, x.w.now+10*year, text("name", "Kata Jahat"))
	want(t, "a write from the future beside an honest one", x.push(m, x.batch(district, r.Full())).said(), "ok")
	a := x.w.ask("GET", "/v1/records/"+victim.String(), x.w.person(server.Viewer, "35"), nil)
	if text := string(a.body); !strings.Contains(text, `"name":"Kata Jujur"`) || !strings.Contains(text, "Kata Jahat") {
		t.Errorf("headquarters sees %s", text)
	}
	x.w.sync(third)
	rec, err := third.Get(victim)
	x.w.must(err)
	if rec.Fields["name"] != "Kata Jujur" {
		t.Errorf("the honest phone shows %v", rec.Fields["name"])
	}
}

func (x *intruder) honestID(id syncproto.RecordID) syncproto.Record {
	x.w.t.Helper()
	r, ok := x.pull()[id]
	if !ok {
		x.w.t.Fatalf("record %s is not in his pull", id)
	}
	return r
}

// H10
func missigns(t *testing.T, x *intruder) {
	id := x.own(1)
	a, ma := x.write(x.minter, syncproto.NewRecord(id), birth(district, text("name", "ditandatangani"))...)
	b, _ := x.write(x.minter, syncproto.NewRecord(id), birth(district, text("name", "dikirim"))...)
	o := x.open()
	x.claim(o, ma)
	// Anything of the claim changed after it was signed.
	for what, change := range map[string]func(*wire.Open){
		"the counter":         func(o *wire.Open) { o.Claims[0].N++ },
		"the head":            func(o *wire.Open) { o.Claims[0].Head[3] ^= 1 },
		"what was confirmed":  func(o *wire.Open) { o.Claims[0].ConfirmedHead[3] ^= 1 },
		"the nonce":           func(o *wire.Open) { o.Nonce[3] ^= 1 },
		"the epoch":           func(o *wire.Open) { o.Epoch = make([]byte, 16); o.Epoch[3] ^= 1 },
		"the signature":       func(o *wire.Open) { o.ClaimSignature[3] ^= 1 },
		"the signature's end": func(o *wire.Open) { o.ClaimSignature = o.ClaimSignature[:63] },
		"no signature":        func(o *wire.Open) { o.ClaimSignature = nil },
		"a field that it does not know": func(o *wire.Open) {
			o.Claims[0].ProtoReflect().SetUnknown([]byte{0xa2, 0x06, 1, 1})
		},
	} {
		changed := clone(o)
		change(changed)
		if got := x.send(changed, x.batch(district, a.Full())).said(); got != "claim_invalid" {
			t.Errorf("%s changed after it was signed: %s", what, got)
		}
	}
	// The right claim, other contents.
	x.send(o, x.batch(district, b.Full()))
	if !x.broken() {
		t.Error("headquarters does not see that he sent something else than he signed")
	}
	if held := x.push(ma, x.batch(district, b.Full())).receipt.GetHeld(); len(held) > 0 {
		t.Errorf("and a receipt vouches for it: %v", held)
	}
}

func clone(o *wire.Open) *wire.Open { return proto.Clone(o).(*wire.Open) }

func setName(v string) func(*sambang.Draft) error {
	return func(d *sambang.Draft) error { d.Set("name", v); return nil }
}
