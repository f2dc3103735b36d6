package pack_test

import (
	"slices"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Two versions of a pack. The second makes the fields total and currency a
// group, adds a plain field, a set, a list, a stricter field and a kind.
const (
	version1 = `{"$schema":"https://json-schema.org/draft/2020-12/schema",
"x-sambang-pack":{"format":1,"name":"v","version":"1","default_class":"T"},
"$defs":{"visit":{"type":"object","x-sambang":{"kind":true,"label":{"id":"Kunjungan"}},"properties":{
"place":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"D"}},
"total":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"D"}},
"currency":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"D"}},
"name":{"x-sambang":{"label":{"id":"a"},"policy":"review","class":"T"}}
}}}}`
	version2 = `{"$schema":"https://json-schema.org/draft/2020-12/schema",
"x-sambang-pack":{"format":1,"name":"v","version":"2","default_class":"T"},
"$defs":{"visit":{"type":"object","x-sambang":{"kind":true,"label":{"id":"Kunjungan"},
 "groups":{"money":{"label":{"id":"Uang"},"policy":"review"}}},"properties":{
"place":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"D"}},
"total":{"x-sambang":{"label":{"id":"a"},"class":"D","group":"money"}},
"currency":{"x-sambang":{"label":{"id":"a"},"class":"D","group":"money"}},
"name":{"x-sambang":{"label":{"id":"a"},"policy":"review","class":"T"}},
"weather":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"D"}},
"tags":{"type":"array","x-sambang":{"label":{"id":"a"},"policy":"union","shape":"set","class":"D"}},
"people":{"type":"array","items":{"properties":{"who":{},"seen":{}}},"x-sambang":{"label":{"id":"a"},"policy":"lww","shape":"list","class":"T","natural":["who"]}},
"secret":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"H"}}
}},
"boat":{"type":"object","x-sambang":{"kind":true,"label":{"id":"Perahu"}},"properties":{
"name":{"x-sambang":{"label":{"id":"a"},"policy":"lww","class":"D"}},
"crew":{"type":"array","x-sambang":{"label":{"id":"a"},"policy":"union","shape":"set","class":"T"}}
}}}}`
)

func full() map[string]any {
	return map[string]any{
		"place": "Paciran", "total": 10, "currency": "IDR", "name": "LIN", "weather": "rain", "tags": []any{"a", "b"},
		"people": []any{map[string]any{"who": "X1", "seen": true}}, "secret": "s",
	}
}

func TestAnOlderPackKeepsAndEditsWhatItDoesNotKnow(t *testing.T) {
	v1, v2 := mustParse(t, version1), mustParse(t, version2)
	for _, older := range []struct {
		name string
		pack *pack.Pack
	}{{"an older version", v1}, {"no pack at all", pack.None()}} {
		t.Run(older.name, func(t *testing.T) {
			id := recordID(1)
			newer := newWriter(t, 2, noon)
			newer.split(v2, "visit", id, full())
			want := canonical(t, newer.project(v2, id).Doc())

			old := newWriter(t, 3, noon+60_000)
			old.learn(newer)
			shown := old.project(older.pack, id)
			doc := shown.Doc()
			if doc["weather"] != "rain" || doc["secret"] != "s" {
				t.Errorf("unknown fields are not shown: %v", doc)
			}
			if parts, err := older.pack.Diff(shown, doc); err != nil || len(parts) > 0 {
				t.Errorf("an untouched copy writes %v, %v", parts, err)
			}
			// The older edits a field that both know, and one that it does not.
			parts := old.edit(older.pack, id, func(doc map[string]any) { doc["place"], doc["weather"] = "Brondong", "sun" })
			if len(parts) != 1 || parts[0].Companion || len(parts[0].Writes) != 2 {
				t.Errorf("the edit writes %+v", parts)
			}
			parts = old.edit(older.pack, id, func(doc map[string]any) { doc["secret"] = "t" })
			if len(parts) != 1 || parts[0].Class != syncproto.ClassHQ || !parts[0].Companion {
				t.Errorf("an unknown field moved out of its companion: %+v", parts)
			}
			newer.learn(old)
			got := newer.project(v2, id)
			after := got.Doc()
			if after["place"] != "Brondong" || after["weather"] != "sun" || after["secret"] != "t" {
				t.Errorf("the edit is lost: %v", after)
			}
			after["place"], after["weather"], after["secret"] = "Paciran", "rain", "s"
			if got := canonical(t, after); got != want {
				t.Errorf("something else changed:\n%s\n%s", got, want)
			}
			if len(got.Conflicts)+len(got.Flags) > 0 {
				t.Errorf("conflicts %v, flags %v", got.Conflicts, got.Flags)
			}
		})
	}
}

func TestANewerPackTakesInWhatAnOlderOneWrote(t *testing.T) {
	v1, v2 := mustParse(t, version1), mustParse(t, version2)
	for _, older := range []struct {
		name string
		pack *pack.Pack
		note string
	}{{"an older version", v1, "new fields go to the strictest class that it knows"}, {"no pack at all", pack.None(), "all is in the main record, lists are single values"}} {
		t.Run(older.name, func(t *testing.T) {
			id := recordID(1)
			old := newWriter(t, 3, noon)
			old.split(older.pack, "visit", id, full())
			newer := newWriter(t, 2, noon+60_000)
			newer.learn(old)
			got := newer.project(v2, id)
			want := full()
			doc := got.Doc()
			people, _ := doc["people"].([]any)
			if len(people) != 1 {
				t.Fatalf("people: %v", doc)
			}
			delete(people[0].(map[string]any), "id")
			if a, b := canonical(t, doc), canonical(t, want); a != b {
				t.Errorf("shows\n%s\nwant\n%s", a, b)
			}
			if parts, err := v2.Diff(got, got.Doc()); err != nil || len(parts) > 0 {
				t.Errorf("an untouched copy writes %+v, %v", parts, err)
			}
			// Touched fields move to where the newer pack has them, once.
			newer.edit(v2, id, func(doc map[string]any) {
				doc["total"], doc["secret"], doc["name"] = 11, "t", "LYN"
				doc["tags"] = append(doc["tags"].([]any), "c")
			})
			after := newer.project(v2, id)
			doc = after.Doc()
			if n, _ := after.Get("total"); n.JSON() != "11" || doc["secret"] != "t" || doc["name"] != "LYN" || doc["currency"] != "IDR" || len(doc["tags"].([]any)) != 3 {
				t.Errorf("after the edit: %v", doc)
			}
			for _, f := range after.Flags {
				if f.Path != "people" && f.Path != "weather" {
					t.Errorf("still misplaced: %v", f)
				}
			}
			if len(after.Conflicts) > 0 {
				t.Errorf("conflicts %v", after.Conflicts)
			}
			if v, ok := newer.get(id).Get("secret"); ok {
				t.Errorf("the main record still holds %v", v)
			}
		})
	}
}

func TestConcurrentEditsUnderTwoVersionsAreBothKept(t *testing.T) {
	v1, v2 := mustParse(t, version1), mustParse(t, version2)
	id := recordID(1)
	base := newWriter(t, 1, noon)
	base.split(v2, "visit", id, full())
	old, newer := newWriter(t, 2, noon+60_000), newWriter(t, 3, noon+30_000)
	old.learn(base)
	newer.learn(base)
	// v1 does not know that total and currency are one; v2 changes both.
	old.edit(v1, id, func(doc map[string]any) { doc["total"] = 12 })
	newer.edit(v2, id, func(doc map[string]any) { doc["total"], doc["currency"] = 5, "USD" })
	newer.learn(old)
	got := newer.project(v2, id)
	if v, _ := got.Get("total"); v.JSON() != "12" {
		t.Errorf("the later total is hidden: %s", got.DocJSON())
	}
	c, ok := got.Conflict("total")
	if !ok || !c.Review || len(c.Values) != 2 {
		t.Fatalf("conflicts %+v", got.Conflicts)
	}
	parts, err := got.Resolve("total", syncproto.MustValue(5))
	if err != nil {
		t.Fatal(err)
	}
	newer.write("visit", id, parts)
	got = newer.project(v2, id)
	if v, _ := got.Get("total"); v.JSON() != "5" || len(got.Conflicts) > 0 {
		t.Errorf("after the choice: %s, %v", got.DocJSON(), got.Conflicts)
	}
}

func TestAnUnknownKindIsKeptAndEdited(t *testing.T) {
	v1, v2 := mustParse(t, version1), mustParse(t, version2)
	id := recordID(1)
	newer := newWriter(t, 2, noon)
	newer.split(v2, "boat", id, map[string]any{"name": "Ombak", "crew": []any{"A", "B"}})
	old := newWriter(t, 3, noon+1000)
	old.learn(newer)
	shown := old.project(v1, id)
	if shown.Kind != "boat" || len(shown.Flags) != 1 || shown.Flags[0].Code != pack.FlagKindUnknown {
		t.Errorf("flags %v", shown.Flags)
	}
	old.edit(v1, id, func(doc map[string]any) {
		if len(doc) != 3 {
			t.Errorf("shows %v", doc)
		}
		doc["name"] = "Ombak Biru"
		for k, v := range doc {
			if v == "B" {
				delete(doc, k)
			}
		}
	})
	newer.learn(old)
	if got := string(newer.project(v2, id).DocJSON()); got != `{"crew":["A"],"name":"Ombak Biru"}` {
		t.Errorf("shows %s", got)
	}
	parts, err := v1.Split("boat", map[string]any{"name": "x"})
	if err != nil || len(parts) != 1 || parts[0].Class != syncproto.ClassTask {
		t.Errorf("a new record of an unknown kind: %+v, %v", parts, err)
	}
}

func TestAFieldNeverGoesIntoAWiderRecord(t *testing.T) {
	v1 := mustParse(t, version1)
	id := recordID(1)
	// A record that lives in class T though this pack would make it in D.
	w := newWriter(t, 2, noon)
	w.mint(w.get(id),
		syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue("visit")},
		syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14/T")},
		syncproto.Write{Path: "name", Value: syncproto.MustValue("LIN")})
	parts := w.edit(v1, id, func(doc map[string]any) { doc["place"], doc["name"], doc["new"] = "Paciran", "LYN", 1 })
	if len(parts) != 1 || parts[0].Companion || parts[0].Class != syncproto.ClassTask {
		t.Errorf("writes %+v", parts)
	}
	// And the reverse: one that lives in D though the pack would make it in T.
	id = recordID(2)
	w.mint(w.get(id),
		syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue("foreigner")},
		syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14")})
	parts = w.edit(pack.Timpora(), id, func(doc map[string]any) { doc["surname"] = "LIN" })
	if len(parts) != 1 || !parts[0].Companion || parts[0].Class != syncproto.ClassTask {
		t.Errorf("writes %+v", parts)
	}
}

func TestUnknownFieldsOfANewRecordGoToTheStrictestClass(t *testing.T) {
	for kind, want := range map[string]syncproto.Class{"site": "T", "foreigner": "H", "mandate": "D"} {
		parts, err := pack.Timpora().Split(kind, map[string]any{"of_tomorrow": 1})
		if err != nil {
			t.Fatal(err)
		}
		last := parts[len(parts)-1]
		if last.Class != want || !slices.ContainsFunc(last.Writes, func(w syncproto.Write) bool { return w.Path == "of_tomorrow" }) {
			t.Errorf("%s: %+v", kind, parts)
		}
	}
}
