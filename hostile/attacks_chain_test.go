package hostile_test

import (
	"bytes"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func want(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %s, want %s", what, got, want)
	}
}

// wantInbox fails unless the last messages of the intruder are of these codes.
func (x *intruder) wantInbox(t *testing.T, codes ...syncproto.Code) {
	t.Helper()
	got := x.w.inbox(x.id)
	slices.Sort(got)
	slices.Sort(codes)
	if !slices.Equal(got, codes) {
		t.Errorf("the inbox has %v of him, want %v", got, codes)
	}
}

// broken reports whether headquarters sees that the device told two stories.
func (x *intruder) broken() bool {
	x.w.t.Helper()
	d, err := x.w.srv.Device(x.w.t.Context(), x.id)
	x.w.must(err)
	return d.Broken
}

// honest returns an honest record as the intruder sees it.
func (x *intruder) honest(site int) syncproto.Record {
	x.w.t.Helper()
	r, ok := x.pull()[x.w.sites[site]]
	if !ok {
		x.w.t.Fatalf("site %d is not in his pull", site)
	}
	return r
}

// H01
func replays(t *testing.T, x *intruder) {
	w := x.w
	w.mu.Lock()
	captured := slices.Clone(w.sent)
	w.mu.Unlock()
	if len(captured) < 6 {
		t.Fatalf("%d requests captured", len(captured))
	}
	captured = slices.DeleteFunc(captured, func(c sentRequest) bool { return c.path != "/v1/sync" || !claims(t, c) })
	all := func(code syncproto.Code, change func(http.Header)) {
		t.Helper()
		for _, c := range captured {
			h := c.header.Clone()
			change(h)
			if a := w.ask("POST", c.path, h, c.body); a.code != code {
				t.Errorf("an honest request once more: %d %s, want %s", a.status, a.code, code)
			}
		}
		if len(captured) < 3 {
			t.Errorf("%d exchanges captured", len(captured))
		}
	}
	all(syncproto.CodeTokenReplayed, func(http.Header) {})
	// Under a token of his own the claims are not his.
	all(syncproto.CodeReplicaNotYours, func(h http.Header) { h.Set("Authorization", x.header().Get("Authorization")) })
	w.now += 6_000
	w.restart() // which forgets the tokens that it has seen
	all(syncproto.CodeTokenReplayed, func(http.Header) {})
	w.now += 3_600_000
	all(syncproto.CodeClockSkew, func(http.Header) {})
	w.now -= 3_600_000

	// His own, under new tokens: it is taken as what it is, a repetition.
	_, first := x.settle(1)
	want(t, "his own push", first.said(), "ok")
	o := x.open()
	r, m := x.write(x.minter, syncproto.NewRecord(x.own(2)), birth(district, text("name", "dua"))...)
	x.claim(o, m)
	b := x.batch(district, r.Full())
	for i := range 4 {
		got := x.send(o, b)
		if i == 0 {
			want(t, "a push", got.said(), "ok")
			continue
		}
		want(t, "the same push again", got.said(), "STATUS_CHAIN") // it claims that nothing was confirmed
	}
	if n := len(w.inbox(x.id)); n > 0 {
		t.Errorf("%d messages in the inbox", n)
	}
	if x.broken() {
		t.Error("a repetition passes for a second story")
	}
}

// claims reports whether an exchange has claims: others have nothing to replay.
func claims(t *testing.T, c sentRequest) bool {
	t.Helper()
	in, err := wire.NewBodyReader(bytes.NewReader(c.body), c.header.Get("Content-Encoding"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := wire.NewFrameReader(in, wire.Protobuf).Request()
	if err != nil {
		t.Fatal(err)
	}
	return len(f.GetOpen().GetClaims()) > 0
}

// H02
func reorders(t *testing.T, x *intruder) {
	id := x.own(1)
	r1, m1 := x.write(x.minter, syncproto.NewRecord(id), birth(district, text("name", "satu"))...)
	r2, m2 := x.write(m1, r1, text("name", "dua"))
	r3, m3 := x.write(m2, r2, text("rooms", 3))
	// The last first: it needs a state that the server doesn't have.
	got := x.push(m3, x.batch(district, r3.Delta(r2.Context())))
	want(t, "a delta whose base is not there", got.said(), "RESULT_NEED_FULL")
	got = x.push(m3, x.batch(district, r3.Full()))
	want(t, "the full state", got.said(), "ok")
	for _, older := range []syncproto.Record{r2, r1, r2} {
		got = x.push(m3, x.batch(district, older.Full()))
		want(t, "an older state", got.said(), "ok")
	}
	// Claims that go backwards.
	x.confirmed, x.confirmedHead = 0, syncproto.ChainStart(m1.Replica())
	o := x.open()
	x.claim(o, m1)
	want(t, "an older claim", x.send(o, x.batch(district, r1.Full())).said(), "STATUS_CHAIN")
	if s, ok := x.pull()[id]; !ok || !s.Equal(r3) {
		t.Errorf("in the end the record is %s, want %s", showRecord(s), showRecord(r3))
	}
	// Two batches of one exchange, the second needed by the first.
	x.rotate()
	other := x.own(2)
	s1, m := x.write(x.minter, syncproto.NewRecord(other), birth(district, text("name", "a"))...)
	s2, m := x.write(m, s1, text("name", "b"))
	got = x.push(m, x.batch(district, s2.Delta(s1.Context())), x.batch(district, s1.Full()))
	want(t, "batches in the wrong order", got.said(), "RESULT_NEED_FULL")
	want(t, "and then all of it", x.push(m, x.batch(district, s2.Full())).said(), "ok")
	if s := x.pull()[other]; !s.Equal(s2) {
		t.Errorf("in the end the record is %s, want %s", showRecord(s), showRecord(s2))
	}
}

// H03
func forks(t *testing.T, x *intruder) {
	id := x.own(1)
	a, ma := x.write(x.minter, syncproto.NewRecord(id), birth(district, text("name", "satu"))...)
	b, mb := x.write(x.minter, syncproto.NewRecord(id), birth(district, text("name", "dua"))...)
	want(t, "the first story", x.push(ma, x.batch(district, a.Full())).said(), "ok")
	// The second under its own claim.
	o := x.open()
	o.Claims = nil
	x.claim(o, mb)
	want(t, "another head at the same counter", x.send(o, x.batch(district, b.Full())).said(), "STATUS_CHAIN")
	// The second under the claim of the first.
	got := x.push(ma, x.batch(district, b.Full()))
	want(t, "other contents under the same dots", got.said(), "RESULT_REPAIR equivocation")
	repair := x.batch(district, b.Full())
	repair.Items[0].Repair = true
	want(t, "and as a repair", x.push(ma, repair).said(), "RESULT_ABSORBED")
	f, _ := x.pull()[id].Field("name")
	if len(f.Siblings) != 2 {
		t.Errorf("the two stories are %d values", len(f.Siblings))
	}
	// A fork further on: claimed as one thing, sent as another.
	c, mc := x.write(ma, a, text("rooms", 1))
	d, _ := x.write(ma, a, text("rooms", 2))
	_ = c
	x.push(mc, x.batch(district, d.Full()))
	if !x.broken() {
		t.Error("headquarters does not see that he told two stories")
	}
}

// H04
func raises(t *testing.T, x *intruder) {
	r := x.honest(0)
	other := x.replicaOf(r)
	// Having seen what its author has not written yet: it would suppress it.
	next, m := x.write(x.minter, r, text("address", "palsu"))
	for i, n := range []uint64{1, 1000, 1 << 40} {
		ctx := next.Context().With(syncproto.Dot{Replica: other.Replica, N: other.N + n})
		got := x.push(m, x.batch(district, x.forge(next, ctx, syncproto.VV{}, "")))
		want(t, "a context beyond its author", got.said(), "RESULT_QUARANTINED forged_dot")
		x.wantInbox(t, slices.Repeat([]syncproto.Code{syncproto.CodeForgedDot}, i+1)...)
	}
	// A value in the author's name.
	dot := syncproto.Dot{Replica: other.Replica, N: other.N + 1}
	forged := syncproto.Sibling{Dot: dot, HLC: syncproto.HLCFromMillis(x.w.now), Value: syncproto.MustValue("kata Budi")}
	got := x.push(m, x.batch(district, x.forge(next, next.Context().With(dot), syncproto.VV{}, "name", forged)))
	want(t, "a value in another's name", got.said(), "RESULT_QUARANTINED forged_dot")
	// In the name of a replica that nobody has.
	dot = syncproto.Dot{Replica: 77, N: 1}
	forged.Dot = dot
	got = x.push(m, x.batch(district, x.forge(next, next.Context().With(dot), syncproto.VV{}, "name", forged)))
	want(t, "a value in nobody's name", got.said(), "RESULT_QUARANTINED forged_dot")
	// A floor: a purge that is not his to make.
	got = x.push(m, x.batch(district, x.forge(next, next.Context(), r.Context(), "")))
	want(t, "a purge", got.said(), "RESULT_QUARANTINED forged_dot")
	// Another value under a dot that its author did write.
	f, _ := r.Field("name")
	changed := x.forge(next, next.Context(), syncproto.VV{}, "")
	var fields []syncproto.Field
	for g := range changed.Fields() {
		if g.Path == "name" {
			g.Siblings = []syncproto.Sibling{{Dot: f.Siblings[0].Dot, HLC: f.Siblings[0].HLC, Value: syncproto.MustValue("kata Budi")}}
		}
		fields = append(fields, g)
	}
	lie, err := syncproto.NewDelta(r.ID(), syncproto.VV{}, r.Context(), syncproto.VV{}, slices.DeleteFunc(fields, func(g syncproto.Field) bool { return g.Path == "address" }))
	x.w.must(err)
	got = x.push(x.minter, x.batch(district, lie))
	want(t, "another value under another's dot", got.said(), "RESULT_REPAIR equivocation")
	// History in another's name.
	enc := wire.NewEncoder(syncproto.HLCFromMillis(x.w.now))
	past := enc.History(wire.PastWrite{
		Dot: syncproto.Dot{Replica: other.Replica, N: 1}, Scope: district, Record: r.ID(), Path: "name", HLC: syncproto.HLCFromMillis(x.w.now),
		Value: syncproto.MustValue("dulu"), Step: syncproto.Step(r.ID(), "name", syncproto.Dot{Replica: other.Replica, N: 1}, 1, syncproto.MustValue("dulu")),
	})
	before := len(x.w.inbox(x.id))
	want(t, "a past write of another's", x.push(x.minter, &wire.Batch{Tables: enc.Tables(), History: []*wire.History{past}}).said(), "ok")
	if len(x.w.inbox(x.id)) != before+1 {
		t.Error("a past write in another's name is not in the inbox")
	}
}

// H05
func jumps(t *testing.T, x *intruder) {
	for n, code := range map[uint64]string{
		syncproto.MaxCounterJump + 1: "counter_jump", 1<<53 - 1: "counter_jump", 1 << 53: "counter_jump", 1<<53 + 1: "malformed", 1<<64 - 1: "malformed",
	} {
		o := x.open()
		x.claim(o, syncproto.ResumeMinter(x.minter.Replica(), n, syncproto.Digest{1}, 0))
		want(t, "a claim of many writes", x.send(o).said(), code)
	}
	// In a vector, with a modest claim.
	r, m := x.write(x.minter, syncproto.NewRecord(x.own(1)), birth(district, text("name", "satu"))...)
	want(t, "his record", x.push(m, x.batch(district, r.Full())).said(), "ok")
	for n, code := range map[uint64]string{m.N() + 1: "forged_dot", 1 << 53: "forged_dot", 1<<53 + 1: "bad_vector", 1<<64 - 1: "bad_vector"} {
		b := x.batch(district, r.Full())
		for i := range b.Items[0].Delta.Ctx.N {
			b.Items[0].Delta.Ctx.N[i] = n
			b.Items[0].Delta.Back = nil
			for range b.Items[0].Delta.Siblings {
				b.Items[0].Delta.Back = append(b.Items[0].Delta.Back, n-1)
			}
		}
		got := x.push(m, b)
		if len(got.results()) != 1 || string(got.results()[0]) != code {
			t.Errorf("a counter of %d in a vector: %s, want %s", n, got.said(), code)
		}
	}
	if n := len(x.w.inbox(x.id)); n != 4 {
		t.Errorf("%d messages in the inbox, want 4", n)
	}
}

// H06
func bloats(t *testing.T, x *intruder) {
	r, m := x.write(x.minter, syncproto.NewRecord(x.own(1)), birth(district, text("name", "satu"))...)
	got := x.push(m, x.batch(district, r.Full()))
	want(t, "his record", got.said(), "ok")
	for n, code := range map[int]string{1025: "RESULT_QUARANTINED too_many", 10_000: "RESULT_QUARANTINED too_many", wire.MaxTableEntries + 1: "too_many"} {
		b := x.batch(district, r.Full())
		for i := range n {
			b.Tables.Replicas = append(b.Tables.Replicas, uint64(i+1000))
			b.Items[0].Delta.Ctx.Replica = append(b.Items[0].Delta.Ctx.Replica, uint32(i+1))
			b.Items[0].Delta.Ctx.N = append(b.Items[0].Delta.Ctx.N, 1)
		}
		want(t, "a vector of many entries", x.push(m, b).said(), code)
	}
	for what, change := range map[string]func(*wire.Open){
		"claims": func(o *wire.Open) { o.Claims = slices.Repeat(o.Claims, syncproto.MaxClaims+1) },
		"cursors": func(o *wire.Open) {
			o.Cursors = slices.Repeat([]*wire.Cursor{{Scope: district}}, syncproto.MaxCursors+1)
		},
		"records": func(o *wire.Open) { o.Refetch = slices.Repeat([][]byte{make([]byte, 16)}, syncproto.MaxRefetch+1) },
	} {
		o := x.open()
		x.claim(o, m)
		change(o)
		x.signClaims(o)
		want(t, "too many "+what, x.send(o).said(), "too_many")
	}
	b := x.batch(district, r.Full())
	b.Items = slices.Repeat(b.Items, syncproto.MaxBatchItems+1)
	want(t, "too many items", x.push(m, b).said(), "too_many")
	b = x.batch(district, r.Full())
	b.Items = slices.Repeat(b.Items, 2)
	want(t, "one record twice", x.push(m, b).said(), "malformed")
}

// H07
func impersonates(t *testing.T, x *intruder) {
	w := x.w
	victim := w.a.Status()
	try := func(what string, code syncproto.Code, token string) {
		t.Helper()
		h := x.header()
		h.Set("Authorization", "Bearer "+token)
		if got := x.post(h, body(opening(x.open()))); got.code != code {
			t.Errorf("%s: %s, want %s", what, got.said(), code)
		}
	}
	claims := func(k string, v any) map[string]any { c := x.claims(); c[k] = v; return c }
	theirs := claims("iss", victim.Device)
	theirs["sub"] = victim.Device
	try("another's name all through, his own key", syncproto.CodeTokenInvalid, x.sign(map[string]any{"kid": victim.Device}, theirs))
	try("another's kid", syncproto.CodeTokenInvalid, x.sign(map[string]any{"kid": victim.Device}, x.claims()))
	try("another's sub", syncproto.CodeTokenInvalid, x.sign(nil, claims("sub", victim.Device)))
	try("another's iss", syncproto.CodeTokenInvalid, x.sign(nil, claims("iss", victim.Device)))
	try("a device that nobody has", syncproto.CodeDeviceUnknown, x.sign(map[string]any{"kid": "dev-aaaaaaaaaaaaaaaaaaaaaaaa"}, x.claims()))
	try("another server's name", syncproto.CodeWrongServer, x.sign(nil, claims("aud", "srv-aaaaaaaaaaaaaaaa")))
	try("no algorithm", syncproto.CodeTokenInvalid, x.sign(map[string]any{"alg": "none"}, x.claims()))
	token, err := w.srv.Token(orang(), time.Hour)
	w.must(err)
	try("a person's token", syncproto.CodeTokenInvalid, token)

	// Claims over another's replica, with any nonce of a key.
	for n := range 8 {
		o := x.open()
		x.claim(o, x.minter)
		o.Claims[0].Replica, o.Claims[0].KeyNonce[0] = uint64(victim.Replica), byte(n)
		x.signClaims(o)
		want(t, "another's replica", x.send(o).said(), "replica_not_yours")
	}
	// A signature over the right claims for another device, or by another key.
	o := x.open()
	x.claim(o, x.minter)
	o.ClaimSignature = sign(x.key, wire.ClaimBytes(victim.Device, o.GetNonce(), o.GetEpoch(), o.GetClaims()))
	want(t, "claims signed for another device", x.send(o).said(), "claim_invalid")
	o.ClaimSignature = sign(keyOf("other"), wire.ClaimBytes(x.id, o.GetNonce(), o.GetEpoch(), o.GetClaims()))
	want(t, "claims signed by another key", x.send(o).said(), "claim_invalid")
	// A device token at headquarters' door.
	for _, target := range []string{"/v1/log", "/v1/devices", "/v1/inbox"} {
		if a := w.ask("GET", target, x.header(), nil); a.code != syncproto.CodeTokenInvalid {
			t.Errorf("%s with a device's token: %d %s", target, a.status, a.code)
		}
	}
	if n := countLines(w.log.String(), `"code":"token_invalid"`); n < 9 {
		t.Errorf("%d refusals of tokens in the log", n)
	}
}
