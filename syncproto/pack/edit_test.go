package pack_test

import (
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto/pack"
)

func TestCheckEditFindsWhatAPolicyForbids(t *testing.T) {
	p := pack.Timpora()
	type m = map[string]any
	for _, c := range []struct {
		name, kind string
		doc        m
		edit       func(m)
		want       string
	}{
		{"an untouched record", "follow_up", m{"status": "open", "action": "BAP"}, func(m) {}, ""},
		{"a first value", "follow_up", m{"status": "open"}, func(d m) { d["action"] = "BAP" }, ""},
		{"another first value", "follow_up", m{"action": "BAP"}, func(d m) { d["action"] = "TAK" }, "action:first"},
		{"open to done, sample TS-09", "follow_up", m{"status": "open"}, func(d m) { d["status"] = "done" }, ""},
		{"done to open", "follow_up", m{"status": "done"}, func(d m) { d["status"] = "open" }, "status:fsm"},
		{"a state away", "follow_up", m{"status": "open"}, func(d m) { delete(d, "status") }, "status:fsm"},
		{"an entry more", "follow_up", m{"result": "a"}, func(d m) { d["result"] = append(d["result"].([]any), "b") }, ""},
		{"an entry less", "follow_up", m{"result": []any{"a", "b"}}, func(d m) { d["result"] = []any{"b"} }, "result:append"},
		{"a draft", "inspection", m{"status": "draft", "outcome": "nil"}, func(d m) { d["outcome"] = "finding" }, ""},
		{"a draft that becomes final", "inspection", m{"status": "draft", "outcome": "nil"}, func(d m) { d["outcome"], d["status"] = "finding", "final" }, ""},
		{"a final inspection", "inspection", m{"status": "final", "outcome": "nil"}, func(d m) { d["outcome"] = "finding" }, "outcome:frozen"},
		{"an observation, which is final from the start", "encounter", m{"activity": "menginap"}, func(d m) { d["activity"] = "bekerja" }, "activity:frozen"},
		{"a derived field", "sponsor", m{"sponsor_type": "individual", "guaranteed_declared": 11}, func(d m) { d["over_limit"] = false }, "over_limit:derived"},
		{"an unknown field", "sponsor", m{"x": 1}, func(d m) { d["x"] = 2 }, ""},
		{"an unknown kind", "boat", m{"x": 1}, func(d m) { d["x"] = 2 }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWriter(t, 2, noon)
			w.split(p, c.kind, recordID(1), c.doc)
			before := w.project(p, recordID(1))
			doc := before.Doc()
			c.edit(doc)
			var got []string
			for _, f := range p.CheckEdit(before, doc) {
				got = append(got, f.Path+":"+f.Rule)
			}
			if got := strings.Join(got, " "); got != c.want {
				t.Errorf("finds %q, want %q", got, c.want)
			}
		})
	}
}

// Two officers enter one permit without knowing of each other: the one who
// scanned it is shown, though the other wrote later.
func TestWhoScannedADocumentIsBelievedOverWhoTypedIt(t *testing.T) {
	p := pack.Timpora()
	id := recordID(1)
	for _, c := range []struct {
		strong, weak map[string]any
	}{
		{map[string]any{"entry_mode": "mrz", "original_seen": true}, map[string]any{"entry_mode": "typed", "original_seen": true}},
		{map[string]any{"entry_mode": "typed", "original_seen": true}, map[string]any{"entry_mode": "copy", "original_seen": false}},
		{map[string]any{"entry_mode": "copy"}, map[string]any{"entry_mode": "typed"}},
		{map[string]any{"entry_mode": "typed"}, map[string]any{}},
	} {
		a, b := newWriter(t, 2, noon), newWriter(t, 3, noon+60_000)
		c.strong["expires_on"], c.weak["expires_on"] = "2026-02-28", "2026-03-28"
		a.split(p, "document", id, c.strong)
		b.split(p, "document", id, c.weak)
		a.learn(b)
		got := a.project(p, id)
		if v, _ := got.Get("expires_on"); v.JSON() != `"2026-02-28"` {
			t.Errorf("%v over %v shows %s", c.strong, c.weak, v.JSON())
		}
		if conflict, _ := got.Conflict("expires_on"); !conflict.Review {
			t.Error("nobody is asked")
		}
	}
}
