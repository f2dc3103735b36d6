package pack_test

import (
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// paths lists the writes of parts as "class:path=value", companions with a +.
func paths(parts []pack.Part) []string {
	var out []string
	for _, p := range parts {
		class := string(p.Class)
		if p.Companion {
			class += "+"
		}
		for _, w := range p.Writes {
			out = append(out, class+":"+w.Path+"="+w.Value.JSON())
		}
		for _, r := range p.Removed {
			out = append(out, class+":-"+r)
		}
	}
	return out
}

func TestSplitMakesRegistersOfEachClass(t *testing.T) {
	p := pack.Timpora()
	parts, err := p.Split("site", map[string]any{
		"owner_name": "Kartini", "name": "Homestay", "aliases": []any{"B", "A", "B"}, "point": map[string]any{"lng": 112.5, "lat": -6.5, "accuracy_m": 9.0},
		"phone": nil, "rooms": 6,
	})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`D:aliases/955cca1ceba45052="B"`, `D:aliases/798640599597df7a="A"`, `D:name="Homestay"`,
		`D:point={"accuracy_m":9,"lat":-6.5,"lng":112.5}`, `D:rooms=6`, `T+:owner_name="Kartini"`,
	}, "\n")
	if got := strings.Join(paths(parts), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	main := recordID(1)
	if parts[0].ID(main) != main || parts[1].ID(main) != syncproto.CompanionID(main, "T") {
		t.Error("the parts belong to the wrong records")
	}
	if parts, err := p.Split("foreigner", map[string]any{"children_dual_count": 1}); err != nil || len(parts) != 2 || parts[0].Companion || len(parts[0].Writes) != 0 {
		t.Errorf("a record without main part: %+v, %v", parts, err)
	}
}

func TestSplitTakesStructsAndValues(t *testing.T) {
	type site struct {
		Name    string   `json:"name"`
		Aliases []string `json:"aliases"`
		Rooms   *int     `json:"rooms,omitempty"`
	}
	want := paths(mustSplit(t, map[string]any{"name": "A", "aliases": []any{"x"}}))
	for name, doc := range map[string]any{
		"a struct":     site{Name: "A", Aliases: []string{"x"}},
		"values":       map[string]syncproto.Value{"name": syncproto.MustValue("A"), "aliases": syncproto.MustValue([]string{"x"})},
		"one for many": map[string]any{"name": "A", "aliases": "x"},
	} {
		if got := paths(mustSplit(t, doc)); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func mustSplit(t *testing.T, doc any) []pack.Part {
	t.Helper()
	parts, err := pack.Timpora().Split("site", doc)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

func TestSplitRefusesWhatNoRegisterCanHold(t *testing.T) {
	p := mustParse(t, policies)
	for name, c := range map[string]struct {
		doc  any
		code syncproto.Code
	}{
		"no object":                     {[]any{1}, syncproto.CodeBadValue},
		"a reserved name":               {map[string]any{"$kind": "x"}, syncproto.CodeBadPath},
		"no name":                       {map[string]any{"": "x"}, syncproto.CodeBadPath},
		"a path with an empty segment":  {map[string]any{"a//b": "x"}, syncproto.CodeBadPath},
		"a channel":                     {map[string]any{"lww": make(chan int)}, syncproto.CodeBadValue},
		"a value beyond the limit":      {map[string]any{"lww": strings.Repeat("x", syncproto.MaxValueBytes)}, syncproto.CodeTooLarge},
		"an item that is no object":     {map[string]any{"list": []any{"x"}}, syncproto.CodeBadValue},
		"an item with a reserved name":  {map[string]any{"list": []any{map[string]any{"$del": 1}}}, syncproto.CodeBadPath},
		"an item with a key of slashes": {map[string]any{"list": []any{map[string]any{"id": "a/b", "a": 1}}}, syncproto.CodeBadValue},
		"two items with the same key":   {map[string]any{"list": []any{map[string]any{"id": "k", "a": 1}, map[string]any{"id": "k", "a": 2}}}, syncproto.CodeBadValue},
		"two names that are one in NFC": {map[string]any{"é": 1, "e\u0301": 2}, syncproto.CodeBadValue},
	} {
		if _, err := p.Split("thing", c.doc); syncproto.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestDiffWritesOnlyWhatWasTouched(t *testing.T) {
	p := mustParse(t, policies)
	id := recordID(1)
	w := newWriter(t, 2, noon)
	w.split(p, "thing", id, map[string]any{
		"lww": 1, "set": []any{"a", "b"}, "log": []any{"x", "y"}, "obs": pack.Observation{Value: "v", At: "2026-03-10T10:00:00+07:00"},
		"list": []any{map[string]any{"id": "k", "a": 1, "b": 2}, map[string]any{"id": "l", "a": 3}},
	})
	for _, c := range []struct {
		name string
		edit func(doc map[string]any)
		want []string
	}{
		{"nothing", func(map[string]any) {}, nil},
		{"the same number in another form", func(d map[string]any) { d["lww"] = 1.0 }, nil},
		{"a field", func(d map[string]any) { d["lww"] = 2 }, []string{"D:lww=2"}},
		{"a field away", func(d map[string]any) { delete(d, "lww") }, []string{"D:lww=null"}},
		{"a field to null", func(d map[string]any) { d["lww"] = nil }, []string{"D:lww=null"}},
		{"a new field", func(d map[string]any) { d["max"] = 2 }, []string{"D:max=2"}},
		{"the order of a set", func(d map[string]any) { d["set"] = []any{"b", "a"} }, nil},
		{"an element out and one in", func(d map[string]any) { d["set"] = []any{"a", "c"} }, []string{`D:set/879923da020d1533="c"`, "D:set/c100f95c1913f9c7=null"}},
		{"a set away", func(d map[string]any) { delete(d, "set") }, []string{"D:set/ac8d8342bbb2362d=null", "D:set/c100f95c1913f9c7=null"}},
		{"an item behind", func(d map[string]any) { d["log"] = append(d["log"].([]any), "z") }, []string{`D:log/20c400557af0eddc="z"`}},
		{"an observation of the same", func(d map[string]any) { d["obs"] = pack.Observation{Value: "v", At: "2026-03-10T10:00:00+07:00"} }, nil},
		{"a newer observation of the same", func(d map[string]any) { d["obs"] = pack.Observation{Value: "v", At: "2026-03-11T10:00:00+07:00"} },
			[]string{`D:obs={"at":"2026-03-11T10:00:00+07:00","value":"v"}`}},
		{"a field of an item", func(d map[string]any) { d["list"].([]any)[0].(map[string]any)["a"] = 9 }, []string{"D:list/k/a=9"}},
		{"a field of an item away", func(d map[string]any) { delete(d["list"].([]any)[0].(map[string]any), "b") }, []string{"D:list/k/b=null"}},
		{"the order of a list", func(d map[string]any) { l := d["list"].([]any); l[0], l[1] = l[1], l[0] }, nil},
		{"an item away", func(d map[string]any) { d["list"] = d["list"].([]any)[:1] }, []string{"D:-list/l"}},
		{"an item in", func(d map[string]any) { d["list"] = append(d["list"].([]any), map[string]any{"a": 5}) }, []string{"D:list/new-list/a=5"}},
		{"an unknown field", func(d map[string]any) { d["unknown"] = []any{1} }, []string{"D:unknown=[1]"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := w.project(p, id)
			doc := before.Doc()
			c.edit(doc)
			parts, err := p.Diff(before, doc, pack.NewKeys(func(field string, _ syncproto.Value) string { return "new-" + field }))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(paths(parts), " "); got != strings.Join(c.want, " ") {
				t.Errorf("writes %s, want %s", got, c.want)
			}
		})
	}
}

func TestItemsOfAListAreDeletedAndComeBack(t *testing.T) {
	p := mustParse(t, policies)
	id := recordID(1)
	a := newWriter(t, 2, noon)
	a.split(p, "thing", id, map[string]any{"list": []any{map[string]any{"id": "k", "a": 1}}})
	b := newWriter(t, 3, noon)
	b.learn(a)
	a.edit(p, id, func(doc map[string]any) { delete(doc, "list") })
	if got := string(a.project(p, id).DocJSON()); got != `{}` {
		t.Errorf("after the deletion: %s", got)
	}
	// Concurrently somebody edits the item: it is shown, and asks.
	b.edit(p, id, func(doc map[string]any) { doc["list"].([]any)[0].(map[string]any)["a"] = 2 })
	c := newWriter(t, 4, noon)
	c.learn(a)
	c.learn(b)
	got := c.project(p, id)
	if doc := string(got.DocJSON()); doc != `{"list":[{"a":2,"id":"k"}]}` {
		t.Errorf("edited while deleted: %s", doc)
	}
	if r := got.Review(); len(r) != 1 || r[0].Path != "list/k/$del" || r[0].Why != "edited_while_deleted" {
		t.Errorf("reviews %+v", r)
	}
	// The deleter adds the item again.
	a.edit(p, id, func(doc map[string]any) { doc["list"] = []any{map[string]any{"id": "k", "a": 7}} })
	if got := a.project(p, id); string(got.DocJSON()) != `{"list":[{"a":7,"id":"k"}]}` || len(got.Conflicts) > 0 {
		t.Errorf("back: %s, %v", got.DocJSON(), got.Conflicts)
	}
}

func TestADeletedRecordIsShownIfSomebodyEditsIt(t *testing.T) {
	p := pack.Timpora()
	id := recordID(1)
	a, b := newWriter(t, 2, noon), newWriter(t, 3, noon)
	a.split(p, "site", id, map[string]any{"name": "A", "owner_name": "B"})
	b.learn(a)
	for _, r := range []syncproto.RecordID{id, syncproto.CompanionID(id, "T")} {
		a.mint(a.get(r), syncproto.Write{Path: syncproto.PathDel, Value: syncproto.Deletion{Deleted: true, Seen: a.get(r).Context()}.Value()})
	}
	if got := a.project(p, id); !got.Life.Deleted || len(got.Conflicts) > 0 {
		t.Errorf("deleted: %+v, %v", got.Life, got.Conflicts)
	}
	b.edit(p, id, func(doc map[string]any) { doc["owner_name"] = "C" })
	a.learn(b)
	got := a.project(p, id)
	if got.Life.Deleted || len(got.Life.Survivors) != 1 || len(got.Review()) != 1 {
		t.Errorf("edited while deleted: %+v, %+v", got.Life, got.Conflicts)
	}
}

func TestTwoOfficersAddTheSamePersonOnce(t *testing.T) {
	v2 := mustParse(t, version2)
	id := recordID(1)
	a, b := newWriter(t, 2, noon), newWriter(t, 3, noon+500)
	a.split(v2, "visit", id, map[string]any{"place": "Paciran"})
	b.learn(a)
	for _, w := range []*writer{a, b} {
		w.edit(v2, id, func(doc map[string]any) { doc["people"] = []any{map[string]any{"who": "CHN|ZX0104778", "seen": true}} })
	}
	a.learn(b)
	got := a.project(v2, id)
	if people, _ := got.Doc()["people"].([]any); len(people) != 1 || len(got.Conflicts) > 0 {
		t.Errorf("people %v, conflicts %v", people, got.Conflicts)
	}
}

func TestCompanionsShowWhatTheReaderHolds(t *testing.T) {
	p := pack.Timpora()
	id := recordID(1)
	w := newWriter(t, 2, noon)
	w.split(p, "foreigner", id, map[string]any{"surname": "LIN", "children_dual_count": 2})
	if got := string(w.project(p, id, "T").DocJSON()); got != `{"surname":"LIN"}` {
		t.Errorf("class T shows %s", got)
	}
	if got := string(w.project(p, id).DocJSON()); got != `{"children_dual_count":2,"surname":"LIN"}` {
		t.Errorf("all classes show %s", got)
	}
	if got := p.Project(syncproto.NewRecord(id), w.get(syncproto.CompanionID(id, "H"))); got.Kind != "foreigner" || string(got.DocJSON()) != `{"children_dual_count":2}` {
		t.Errorf("the companion alone shows %s", got.DocJSON())
	}
	if got := p.Project(w.get(id), w.get(syncproto.CompanionID(recordID(2), "H")), otherRecord(t)); len(got.Flags) != 1 || got.Flags[0].Code != pack.FlagForeign {
		t.Errorf("a stranger among the companions: %v", got.Flags)
	}
}

func otherRecord(t *testing.T) syncproto.Record {
	w := newWriter(t, 5, noon)
	w.set(recordID(9), "name", "x")
	return w.get(recordID(9))
}
