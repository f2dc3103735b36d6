package pack_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

func TestTheEmbeddedPackIsAValidPack(t *testing.T) {
	p, err := pack.Parse(pack.TimporaJSON())
	if err != nil {
		t.Fatal(err)
	}
	if got := len(p.Kinds()); got != 9 {
		t.Errorf("%d kinds, want 9", got)
	}
	fields := 0
	for _, k := range p.Kinds() {
		for _, f := range k.Fields {
			fields++
			if f.Label.Indonesian == "" || f.Label.English == "" || f.Type == "" || f.Sensitivity == "" {
				t.Errorf("%s.%s lacks a label, a type or a sensitivity", k.Name, f.Name)
			}
			for _, c := range f.Choices {
				if c.Label.Indonesian == "" || c.Label.English == "" {
					t.Errorf("%s.%s: choice %s has no label", k.Name, f.Name, c.Value)
				}
			}
		}
	}
	if fields != 110 {
		t.Errorf("%d fields, want 110", fields)
	}
	if got := len(p.Table("findings")); got != 16 {
		t.Errorf("%d findings, want 16", got)
	}
	for kind, want := range map[string]syncproto.Class{
		"site": "D", "foreigner": "T", "document": "T", "sponsor": "T", "mandate": "D",
		"inspection": "D", "encounter": "T", "follow_up": "D", "meeting": "D", "of_a_later_pack": "T",
	} {
		if got := p.Class(kind); got != want {
			t.Errorf("class of %s is %s, want %s", kind, got, want)
		}
	}
}

// normal brings a sample's document into the form that a projection shows: the
// sample writes single values where the pack has lists.
func normal(t *testing.T, p *pack.Pack, kind string, doc map[string]any) map[string]any {
	k, ok := p.Kind(kind)
	if !ok {
		t.Fatalf("kind %s", kind)
	}
	out := map[string]any{}
	for name, v := range doc {
		f, _ := k.Field(name)
		list, isList := v.([]any)
		switch {
		case isList && len(list) == 0:
			continue
		case f.Shape != pack.ShapeRegister && !isList:
			v = []any{v}
		case f.Shape == pack.ShapeSet:
			slices.SortFunc(list, func(a, b any) int { return strings.Compare(canonical(t, a), canonical(t, b)) })
		}
		out[name] = v
	}
	return out
}

func TestSamplesSplitAndProjectToThemselves(t *testing.T) {
	p := pack.Timpora()
	for _, s := range samples(t) {
		at, err := time.Parse(time.RFC3339, s.CapturedAt)
		if err != nil {
			t.Fatal(err)
		}
		w := newWriter(t, 7, at.UnixMilli())
		for _, r := range s.Records {
			id, err := syncproto.ParseRecordID(r.ID)
			if err != nil {
				t.Fatal(err)
			}
			w.split(p, r.Kind, id, r.Fields)
			got := w.project(p, id)
			shown := got.Doc()
			k, _ := p.Kind(r.Kind)
			for _, f := range k.Fields {
				if f.Policy == pack.PolicyDerived {
					delete(shown, f.Name)
				}
			}
			if a, b := canonical(t, shown), canonical(t, normal(t, p, r.Kind, r.Fields)); a != b {
				t.Errorf("%s %s: got\n%s\nwant\n%s", s.ID, r.Kind, a, b)
			}
			if len(got.Conflicts) > 0 || len(got.Flags) > 0 {
				t.Errorf("%s %s: conflicts %v, flags %v", s.ID, r.Kind, got.Conflicts, got.Flags)
			}
			var again any
			if err := json.Unmarshal(got.DocJSON(), &again); err != nil {
				t.Error(err)
			}
			parts, err := p.Diff(got, got.Doc())
			if err != nil || len(parts) > 0 {
				t.Errorf("%s %s: a copy differs from its projection: %v, %v", s.ID, r.Kind, parts, err)
			}
			for _, problem := range p.Validate(r.Kind, got.Doc()) {
				if s.ID != "TS-19" || problem.Rule != "site_or_sponsor" { // a person met in the street
					t.Errorf("%s %s: %+v", s.ID, r.Kind, problem)
				}
			}
		}
	}
}
