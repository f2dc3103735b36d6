package pack_test

import (
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

func TestParseNamesWhatIsWrong(t *testing.T) {
	// Each case changes the good pack in one place.
	for _, c := range []struct{ name, old, new, want string }{
		{"no JSON", `{"$schema"`, `"$schema"`, "JSON"},
		{"two documents", `{"$schema"`, `{} {"$schema"`, "more than one"},
		{"a key twice", `"policy":"max"`, `"policy":"max","policy":"max"`, `"policy" twice`},
		{"a huge number", `"format":1`, `"format":1e999999999`, "number"},
		{"another dialect", "2020-12", "2019-09", "$schema"},
		{"no head", "x-sambang-pack", "x-other", "x-sambang-pack"},
		{"a later format", `"format":1`, `"format":2`, "format 2"},
		{"no version", `"version":"1"`, `"version":""`, "version"},
		{"no kind", `"kind":true`, `"kind":false`, "no entry"},
		{"a kind without label", `{"kind":true,"label":{"id":"Benda"}}`, `{"kind":true}`, "kind thing: no label"},
		{"a kind that is no object", `"thing":{"type":"object"`, `"thing":{"type":"array"`, "kind thing: type"},
		{"a kind with a bad name", `"thing":{`, `"Thing":{`, `kind "Thing"`},
		{"a field with a bad name", `"max":{`, `"a/b":{`, "thing.a/b"},
		{"a field without annotation", `"max":{"x-sambang":{"label":{"id":"a"},"policy":"max","class":"D"}}`, `"max":{}`, "field thing.max: x-sambang"},
		{"an unknown policy", `"policy":"max"`, `"policy":"vote"`, `thing.max: policy "vote"`},
		{"an unknown class", `"policy":"max","class":"D"`, `"policy":"max","class":"X"`, "thing.max: class"},
		{"an unknown sensitivity", `"policy":"max"`, `"sensitivity":"S9","policy":"max"`, "thing.max: sensitivity"},
		{"an unknown shape", `"policy":"max"`, `"shape":"tree","policy":"max"`, `shape "tree"`},
		{"a set with another policy", `"policy":"union"`, `"policy":"lww"`, "thing.set: shape set"},
		{"union without a set", `"policy":"max"`, `"policy":"union"`, "thing.max: policy union"},
		{"a list without properties", `"items":{"properties":{"a":{},"b":{"x-sambang":{"policy":"review"}}}}`, `"items":{}`, "thing.list: the items"},
		{"a class within an item", `"b":{"x-sambang":{"policy":"review"}}`, `"b":{"x-sambang":{"class":"T"}}`, "thing.list.b"},
		{"a state that is not in the enum", `"moves":{"open":["done"`, `"moves":{"open":["gone"`, `state "gone"`},
		{"fsm without moves", `,"moves":{"open":["done","escalated"]}`, ``, "thing.fsm"},
		{"a group that is not declared", `"policy":"max"`, `"group":"g","policy":"max"`, `group "g"`},
		{"a group without field", `"kind":true`, `"groups":{"g":{"policy":"lww"}},"kind":true`, `group "g" has no field`},
		{"a required field that is not there", `"thing":{"type":"object"`, `"thing":{"required":["gone"],"type":"object"`, `"gone"`},
		{"a rule over no field", `"kind":true`, `"rules":[{"code":"c","left":"max","op":">=","right":"gone","message":{"id":"a"}}],"kind":true`, `rule 0: "gone"`},
		{"a derivation from nothing", `"policy":"derived"`, `"policy":"derived","derive":{"from":"gone","value":"a","at":"b"}`, "thing.derived: derive.from"},
		{"a derivation of a field that is not derived", `"policy":"max"`, `"policy":"max","derive":{"when":"thing"}`, "thing.max: derive"},
		{"a derivation by a schema that is not there", `"policy":"derived"`, `"policy":"derived","derive":{"when":"gone"}`, "gone"},
		{"a keyword with a bad value", `"enum":["open"`, `"maxLength":"x","enum":["open"`, "maxLength"},
		{"a pattern that is none", `"enum":["open"`, `"pattern":"(","enum":["open"`, "pattern"},
		{"a reference to nothing", `"enum":["open"`, `"$ref":"#/$defs/gone","enum":["open"`, "gone"},
		{"a reference to the network", `"enum":["open"`, `"$ref":"https://example.com/x","enum":["open"`, "only to itself"},
		{"a reference to a file", `"enum":["open"`, `"$ref":"file:///etc/hostname","enum":["open"`, "only to itself"},
		{"evidence of nothing", `"kind":true`, `"evidence":[{"field":"gone","value":1,"is":"mrz"}],"kind":true`, "evidence 0"},
		{"evidence of an unknown strength", `"kind":true`, `"evidence":[{"field":"max","value":1,"is":"rumour"}],"kind":true`, "evidence 0"},
		{"a final state that is not in the enum", `"moves":{"open"`, `"final":["gone"],"moves":{"open"`, `state "gone" of final`},
		{"too deep", `"enum":["open"`, `"x":` + strings.Repeat("[", 80) + strings.Repeat("]", 80) + `,"enum":["open"`, "deeper"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Count(policies, c.old) == 0 {
				t.Fatalf("%q is not in the pack", c.old)
			}
			p, err := pack.Parse([]byte(strings.Replace(policies, c.old, c.new, 1)))
			if syncproto.CodeOf(err) != syncproto.CodeBadPack || !strings.Contains(err.Error(), c.want) || p != nil {
				t.Errorf("%v, want bad_pack with %q", err, c.want)
			}
		})
	}
	for _, text := range []string{"", "null", "[]", "1", `"x"`, strings.Repeat(" ", 3<<20)} {
		if _, err := pack.Parse([]byte(text)); syncproto.CodeOf(err) != syncproto.CodeBadPack {
			t.Errorf("Parse(%.10q) = %v", text, err)
		}
	}
}

func TestGroupsAreOfOneClassAndOfPlainFields(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{`"class":"D","group":"money"}},
"currency"`, `"class":"T","group":"money"}},
"currency"`, "class T and D"},
		{`"total":{"x-sambang":{`, `"total":{"x-sambang":{"shape":"set","policy":"union",`, "can't be in a group"},
		{`"groups":{"money"`, `"groups":{"place"`, "does not declare"},
		{`"policy":"review"}}`, `"policy":"append"}}`, `group "money": policy`},
	} {
		if _, err := pack.Parse([]byte(strings.Replace(version2, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

func TestAPackKeepsTheOrderOfItsForm(t *testing.T) {
	k, _ := pack.Timpora().Kind("inspection")
	var names []string
	for _, f := range k.Fields {
		names = append(names, f.Name)
	}
	if got := strings.Join(names[:4], " "); got != "mandate_no no_mandate_reason approved_by_ref site_id" {
		t.Errorf("the form begins with %s", got)
	}
	if f, ok := k.Field("status"); !ok || len(f.Choices) != 3 || f.Choices[0].Value != "draft" || f.Choices[0].Label.English != "Draft" {
		t.Errorf("states %+v", f.Choices)
	}
	f, _ := k.Field("finding_codes")
	if len(f.Choices) != 16 || f.Choices[13].Label.Indonesian == "" {
		t.Errorf("findings %+v", f.Choices)
	}
}

func TestTheNilPackKnowsNothing(t *testing.T) {
	p := pack.None()
	if _, ok := p.Kind("site"); ok || p.Kinds() != nil || p.Name() != "" || p.Schema() != "" || p.Table("findings") != nil || p.Class("site") != "D" {
		t.Error("the nil pack knows something")
	}
	if got := p.Validate("site", map[string]any{"x": 1}); got != nil {
		t.Errorf("the nil pack finds %v", got)
	}
	if got := p.ClassLabel("D"); got != (pack.Label{}) || p.SensitivityLabel("S0") != got {
		t.Errorf("the nil pack has labels")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(policies))
	f.Add([]byte(version1))
	f.Add([]byte(version2))
	doc := map[string]any{"name": "x", "lww": 1, "set": []any{1, "a"}, "list": []any{map[string]any{"id": "k", "a": 1}}, "log": "y", "total": 1}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := pack.Parse(text)
		if err != nil {
			if syncproto.CodeOf(err) != syncproto.CodeBadPack {
				t.Fatalf("Parse: %v, want bad_pack", err)
			}
			return
		}
		// Whatever parses must be usable.
		for _, k := range p.Kinds() {
			p.Validate(k.Name, doc)
			w := newWriter(t, 2, noon)
			parts, err := p.Split(k.Name, doc)
			if err != nil {
				continue
			}
			w.write(k.Name, recordID(1), parts)
			got := w.project(p, recordID(1))
			if parts, err := p.Diff(got, got.Doc()); err != nil || len(parts) > 0 {
				t.Fatalf("an untouched copy writes %v, %v", paths(parts), err)
			}
		}
	})
}
