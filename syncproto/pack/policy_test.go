package pack_test

import (
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// policies is a pack with a field for each policy.
const policies = `{"$schema":"https://json-schema.org/draft/2020-12/schema",
"x-sambang-pack":{"format":1,"name":"policies","version":"1"},
"$defs":{"thing":{"type":"object","x-sambang":{"kind":true,"label":{"id":"Benda"}},"properties":{
"lww":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"D"}},
"obs":{"x-sambang":{"label":{"id":"a"},"policy":"lww_obs","class":"D"}},
"max":{"x-sambang":{"label":{"id":"a"},"policy":"max","class":"D"}},
"min":{"x-sambang":{"label":{"id":"a"},"policy":"min","class":"D"}},
"or":{"x-sambang":{"label":{"id":"a"},"policy":"or","class":"D"}},
"best":{"x-sambang":{"label":{"id":"a"},"policy":"best","class":"D"}},
"first":{"x-sambang":{"label":{"id":"a"},"policy":"first","class":"D"}},
"frozen":{"x-sambang":{"label":{"id":"a"},"policy":"frozen","class":"D"}},
"fsm":{"enum":["open","done","escalated"],"x-sambang":{"label":{"id":"a"},"policy":"fsm","class":"D","moves":{"open":["done","escalated"]}}},
"review":{"x-sambang":{"label":{"id":"a"},"policy":"review","class":"D"}},
"manual":{"x-sambang":{"label":{"id":"a"},"policy":"manual","class":"D"}},
"derived":{"x-sambang":{"label":{"id":"a"},"policy":"derived","class":"D"}},
"set":{"type":"array","x-sambang":{"label":{"id":"a"},"policy":"union","shape":"set","class":"D"}},
"log":{"type":"array","x-sambang":{"label":{"id":"a"},"policy":"append","shape":"append","class":"D"}},
"list":{"type":"array","items":{"properties":{"a":{},"b":{"x-sambang":{"policy":"review"}}}},"x-sambang":{"label":{"id":"a"},"policy":"lww","shape":"list","class":"D"}}
}}}}`

const noon = 1_773_115_200_000 // 2026-03-10T11:00:00+07:00

// concurrent lets two devices that know the same start write one register each
// without knowing of the other, the second a second later, and returns what
// both then show, which must be the same.
func concurrent(t *testing.T, p *pack.Pack, path string, a, b any, before ...any) pack.Projection {
	t.Helper()
	id := recordID(1)
	base := newWriter(t, 1, noon-3_600_000)
	base.set(id, syncproto.PathKind, "thing")
	for _, v := range before {
		base.set(id, path, v)
	}
	left, right := newWriter(t, 2, noon), newWriter(t, 3, noon+1000)
	left.learn(base)
	right.learn(base)
	left.set(id, path, a)
	right.set(id, path, b)
	x, y := newWriter(t, 4, 0), newWriter(t, 5, 0)
	x.learn(left)
	x.learn(right)
	y.learn(right)
	y.learn(left)
	if a, b := canonical(t, x.project(p, id)), canonical(t, y.project(p, id)); a != b {
		t.Errorf("the order of joins shows:\n%s\n%s", a, b)
	}
	return x.project(p, id)
}

func TestPoliciesOverConcurrentValues(t *testing.T) {
	p := mustParse(t, policies)
	type m = map[string]any
	obs := func(v any, at, presence string) m {
		o := m{"value": v, "at": at}
		if presence != "" {
			o["presence"] = presence
		}
		return o
	}
	for _, c := range []struct {
		name, path string
		a, b       any // a is written first
		want       string
		review     bool
		why        string // "" if the values are no conflict
	}{
		{"lww shows the later", "lww", 1, 2, `{"lww":2}`, false, "latest"},
		{"equal values are no conflict", "lww", 1, 1, `{"lww":1}`, false, ""},
		{"a deletion is a value", "lww", 1, nil, `{}`, false, "latest"},
		{"lww_obs shows what was seen later, not what was written later", "obs",
			obs("b", "2026-03-10T10:00:00+07:00", ""), obs("a", "2026-03-09T10:00:00+07:00", ""), `{"obs":"b"}`, false, "latest_seen"},
		{"on one day who was there beats who read it", "obs",
			obs("met", "2026-03-10T08:00:00+07:00", "in_person"), obs("book", "2026-03-10T10:00:00+07:00", "by_record"), `{"obs":"met"}`, false, "latest_seen"},
		{"a later day beats who was there", "obs",
			obs("met", "2026-03-09T23:59:00+07:00", "in_person"), obs("book", "2026-03-10T00:01:00+07:00", "by_record"), `{"obs":"book"}`, false, "latest_seen"},
		{"a plain value was seen when it was written", "obs",
			"plain", obs("old", "2026-03-10T10:00:00+07:00", ""), `{"obs":"plain"}`, false, "latest_seen"},
		{"nothing is seen after it is written", "obs",
			obs("future", "2027-01-01T00:00:00+07:00", ""), "plain", `{"obs":"plain"}`, false, "latest_seen"},
		{"the same seen twice is no conflict", "obs",
			obs("a", "2026-03-10T10:00:00+07:00", ""), obs("a", "2026-03-10T09:00:00+07:00", ""), `{"obs":"a"}`, false, ""},
		{"max compares numbers as numbers", "max", 10, 9, `{"max":10}`, false, "greatest"},
		{"max compares instants over offsets", "max", "2026-03-10T10:00:00+07:00", "2026-03-10T09:00:00+09:00", `{"max":"2026-03-10T10:00:00+07:00"}`, false, "greatest"},
		{"max compares dates", "max", "2026-03-10", "2026-02-28", `{"max":"2026-03-10"}`, false, "greatest"},
		{"a deletion is never the maximum", "max", 1, nil, `{"max":1}`, false, "greatest"},
		{"min", "min", "2026-03-10", "2026-02-28", `{"min":"2026-02-28"}`, false, "smallest"},
		{"a deletion is never the minimum", "min", 1, nil, `{"min":1}`, false, "smallest"},
		{"true sticks", "or", true, false, `{"or":true}`, false, "any_true"},
		{"best shows the smallest accuracy", "best", m{"lat": 1, "lng": 1, "accuracy_m": 9}, m{"lat": 2, "lng": 2, "accuracy_m": 35}, `{"best":{"accuracy_m":9,"lat":1,"lng":1}}`, false, "best_accuracy"},
		{"accuracy 0 is worst", "best", m{"lat": 1, "lng": 1, "accuracy_m": 0}, m{"lat": 2, "lng": 2, "accuracy_m": 400}, `{"best":{"accuracy_m":400,"lat":2,"lng":2}}`, false, "best_accuracy"},
		{"first shows the earlier and asks", "first", "a", "b", `{"first":"a"}`, true, "earliest"},
		{"first twice the same", "first", "a", "a", `{"first":"a"}`, false, ""},
		{"frozen shows the earlier and asks", "frozen", 1, 2, `{"frozen":1}`, true, "earliest"},
		{"two moves from one state ask", "fsm", "done", "escalated", `{"fsm":"escalated"}`, true, "latest"},
		{"one move made twice", "fsm", "done", "done", `{"fsm":"done"}`, false, ""},
		{"review shows the later and asks", "review", "a", "b", `{"review":"b"}`, true, "strongest_evidence"},
		{"review shows the stronger evidence", "review", m{"value": "LIN", "evidence": "mrz"}, m{"value": "LYN", "evidence": "copy"}, `{"review":"LIN"}`, true, "strongest_evidence"},
		{"evidence beats none", "review", m{"value": "LIN", "evidence": "spoken"}, "LYN", `{"review":"LIN"}`, true, "strongest_evidence"},
		{"the same on other evidence is no conflict", "review", m{"value": "LIN", "evidence": "copy"}, "LIN", `{"review":"LIN"}`, false, ""},
		{"an object that only looks like an observation", "review", m{"value": 1, "unit": "m"}, m{"value": 2, "unit": "m"}, `{"review":{"unit":"m","value":2}}`, true, "strongest_evidence"},
		{"manual shows the later and asks", "manual", 1, 2, `{"manual":2}`, true, "latest"},
		{"adding wins over removing", "set/0123456789abcdef", nil, "x", `{"set":["x"]}`, false, "add_wins"},
		{"also when the removal is later", "set/0123456789abcdef", "x", nil, `{"set":["x"]}`, false, "add_wins"},
		{"an item that was changed in two ways asks", "log/k", "a", "b", `{"log":["a"]}`, true, "earliest"},
		{"a field of an item has its own policy", "list/k/b", 1, 2, `{"list":[{"b":2,"id":"k"}]}`, true, "strongest_evidence"},
		{"a field of an item without one has the list's", "list/k/a", 1, 2, `{"list":[{"a":2,"id":"k"}]}`, false, "latest"},
		{"an unknown field shows the later", "unknown", 1, 2, `{"unknown":2}`, false, "latest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := concurrent(t, p, c.path, c.a, c.b)
			if doc := string(got.DocJSON()); doc != c.want {
				t.Errorf("shows %s, want %s", doc, c.want)
			}
			if c.why == "" {
				if len(got.Conflicts) > 0 {
					t.Errorf("conflicts %+v, want none", got.Conflicts)
				}
				return
			}
			conflict, ok := got.Conflict(c.path)
			if !ok || conflict.Review != c.review || conflict.Why != c.why || len(conflict.Values) != 2 {
				t.Fatalf("conflict %+v, want review %v, why %s", conflict, c.review, c.why)
			}
			shown := 0
			for _, v := range conflict.Values {
				if v.Shown {
					shown++
				}
			}
			if shown != 1 {
				t.Errorf("%d values are marked as shown: %+v", shown, conflict.Values)
			}
		})
	}
}

func TestASuspectClockLosesToAnHonestOne(t *testing.T) {
	p := mustParse(t, policies)
	id := recordID(1)
	ahead, honest, server := newWriter(t, 2, noon+86_400_000), newWriter(t, 3, noon), newWriter(t, 4, noon)
	for _, path := range []string{"lww", "obs", "first"} {
		ahead.set(id, path, "ahead")
	}
	honest.set(id, syncproto.PathKind, "thing")
	for _, path := range []string{"lww", "obs", "first"} {
		honest.set(id, path, "honest")
	}
	server.learn(ahead)
	server.learn(honest)
	flagged, paths := syncproto.Flag(server.get(id), syncproto.VV{}, noon)
	if len(paths) != 3 {
		t.Fatalf("flagged %v", paths)
	}
	got := p.Project(flagged)
	if doc := string(got.DocJSON()); doc != `{"first":"honest","lww":"honest","obs":"honest"}` {
		t.Errorf("shows %s", doc)
	}
	alone, _ := syncproto.Flag(ahead.get(id), syncproto.VV{}, noon)
	if got := p.Project(alone); len(got.Flags) != 3 || got.Flags[0].Code != pack.FlagSuspect {
		t.Errorf("flags %v, want three suspects", got.Flags)
	}
}

func TestAChoiceSettlesAConflictUntilSomebodyWritesWithoutKnowingIt(t *testing.T) {
	p := mustParse(t, policies)
	id := recordID(1)
	a, b := newWriter(t, 2, noon), newWriter(t, 3, noon)
	a.set(id, syncproto.PathKind, "thing")
	b.learn(a)
	a.set(id, "first", "a")
	b.set(id, "first", "b")
	a.learn(b)
	before := a.project(p, id)
	parts, err := before.Resolve("first", syncproto.MustValue("b"))
	if err != nil {
		t.Fatal(err)
	}
	a.write("thing", id, parts)
	if got := a.project(p, id); len(got.Conflicts) > 0 || string(got.DocJSON()) != `{"first":"b"}` {
		t.Errorf("after the choice: %s, %v", got.DocJSON(), got.Conflicts)
	}
	b.set(id, "first", "c")
	a.learn(b)
	if got := a.project(p, id); len(got.Review()) != 1 {
		t.Errorf("after another write: %v", got.Conflicts)
	}
	if _, err := before.Resolve("lww", syncproto.Null); syncproto.CodeOf(err) != syncproto.CodeBadPath {
		t.Errorf("resolving what is no conflict: %v", err)
	}
}

func TestDerivedFieldsBelongToTheServer(t *testing.T) {
	p := mustParse(t, policies)
	id := recordID(1)
	device, server := newWriter(t, 2, noon), newWriter(t, 9, noon-1000)
	device.set(id, syncproto.PathKind, "thing")
	device.set(id, "derived", "device")
	server.learn(device)
	isServer := pack.ProjectOptions{IsServer: func(r syncproto.ReplicaID) bool { return r == 9 }}
	got := p.ProjectWith(isServer, server.get(id))
	if string(got.DocJSON()) != `{}` || len(got.Flags) != 1 || got.Flags[0].Code != pack.FlagDerived {
		t.Errorf("shows %s, flags %v", got.DocJSON(), got.Flags)
	}
	other := newWriter(t, 9, noon-1000)
	other.set(id, "derived", "server")
	server.held[id] = device.get(id)
	server.learn(other)
	got = p.ProjectWith(isServer, server.get(id))
	if string(got.DocJSON()) != `{"derived":"server"}` || len(got.Flags) != 1 || len(got.Conflicts) != 1 {
		t.Errorf("shows %s, flags %v, conflicts %v", got.DocJSON(), got.Flags, got.Conflicts)
	}
	parts, err := p.Diff(got, map[string]any{"derived": "mine"})
	if err != nil || len(parts) > 0 {
		t.Errorf("an edit writes a derived field: %v, %v", parts, err)
	}
}

func TestObservationsDeriveTheStatus(t *testing.T) {
	p := pack.Timpora()
	id := recordID(8)
	// CG-04: seen on 7 April, and on 6 April by another agency whose report
	// arrives later.
	imi, kel := newWriter(t, 2, noon), newWriter(t, 3, noon+2000)
	imi.split(p, "sponsor", id, map[string]any{"verification": []any{map[string]any{"status": "virtual_office", "at": "2026-04-07T10:30:00+07:00", "agency": "imigrasi"}}})
	kel.learn(imi)
	kel.edit(p, id, func(doc map[string]any) {
		doc["verification"] = append(doc["verification"].([]any), map[string]any{"status": "found_active", "at": "2026-04-06T09:00:00+07:00", "agency": "kelurahan"})
	})
	got := kel.project(p, id)
	if v, _ := got.Get("verification_effective"); v.JSON() != `"virtual_office"` {
		t.Errorf("shows %s", v.JSON())
	}
	if r := got.Review(); len(r) != 1 || r[0].Field != "verification_effective" || len(r[0].Values) != 2 {
		t.Errorf("reviews %+v", r)
	}
	// The same agency corrects itself: no conflict.
	imi.edit(p, id, func(doc map[string]any) {
		doc["verification"] = append(doc["verification"].([]any), map[string]any{"status": "moved", "at": "2026-04-09T09:00:00+07:00", "agency": "imigrasi"})
		doc["sponsor_type"], doc["guaranteed_declared"] = "individual", 11
	})
	got = imi.project(p, id)
	if v, _ := got.Get("verification_effective"); v.JSON() != `"moved"` || len(got.Conflicts) > 0 {
		t.Errorf("shows %s, conflicts %v", v.JSON(), got.Conflicts)
	}
	if v, _ := got.Get("over_limit"); v.JSON() != "true" {
		t.Error("an individual with 11 guarantees is not over the limit")
	}
	imi.edit(p, id, func(doc map[string]any) { doc["sponsor_type"] = "corporate" })
	if _, ok := imi.project(p, id).Get("over_limit"); ok {
		t.Error("a corporation is over the limit")
	}
}
