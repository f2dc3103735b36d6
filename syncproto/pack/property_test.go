package pack_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// rounds of the property tests: about a second together.
const rounds = 150

// generator makes documents of the pack policies.
type generator struct{ *rand.Rand }

func (g generator) value() any {
	switch g.IntN(7) {
	case 0:
		return g.IntN(5)
	case 1:
		return fmt.Sprint(g.IntN(5))
	case 2:
		return g.IntN(2) == 0
	case 3:
		return map[string]any{"lat": g.IntN(3), "lng": 1, "accuracy_m": g.IntN(4)}
	case 4:
		return map[string]any{"value": g.IntN(3), "at": fmt.Sprintf("2026-03-%02dT10:00:00+07:00", 1+g.IntN(28))}
	case 5:
		return []any{g.IntN(3), "é"}
	}
	return float64(g.IntN(100)) / 8
}

func (g generator) document() map[string]any {
	doc := map[string]any{}
	g.touch(doc)
	return doc
}

// touch changes a document as a user might.
func (g generator) touch(doc map[string]any) {
	for range 1 + g.IntN(4) {
		switch name := []string{"lww", "obs", "max", "min", "or", "best", "first", "frozen", "fsm", "review", "manual", "set", "log", "list", "new_one", "other/a/b"}[g.IntN(16)]; name {
		case "set", "log":
			l, _ := doc[name].([]any)
			if len(l) > 0 && g.IntN(3) == 0 {
				doc[name] = l[1:]
			} else if v := g.value(); !slices.ContainsFunc(l, func(x any) bool { return same(x, v) }) {
				doc[name] = append(slices.Clone(l), v)
			}
		case "list":
			l, _ := doc[name].([]any)
			switch {
			case len(l) > 0 && g.IntN(3) == 0:
				l[0].(map[string]any)["a"] = g.value()
			case len(l) > 0 && g.IntN(3) == 0:
				doc[name] = l[1:]
			default:
				key := fmt.Sprintf("k%d", g.IntN(4))
				if !slices.ContainsFunc(l, func(x any) bool { return x.(map[string]any)["id"] == key }) {
					doc[name] = append(slices.Clone(l), map[string]any{"id": key, "a": g.value(), "b": g.value()})
				}
			}
		default:
			if g.IntN(5) == 0 {
				delete(doc, name)
			} else {
				doc[name] = g.value()
			}
		}
	}
}

func same(a, b any) bool { return syncproto.MustValue(a) == syncproto.MustValue(b) }

// shownForm is the document as a projection shows it: sets and lists in their
// order, observations as their values, nothing empty.
func shownForm(t *testing.T, doc map[string]any) string {
	out := map[string]any{}
	for name, v := range doc {
		if l, ok := v.([]any); ok && (name == "set" || name == "list") {
			l = slices.Clone(l)
			for i, x := range l {
				if item, ok := x.(map[string]any); ok && name == "list" {
					l[i] = map[string]any{"id": item["id"], "a": item["a"], "b": plainOf(item["b"])}
				}
			}
			slices.SortFunc(l, func(a, b any) int {
				if name == "list" {
					return strings.Compare(a.(map[string]any)["id"].(string), b.(map[string]any)["id"].(string))
				}
				return strings.Compare(canonical(t, a), canonical(t, b))
			})
			v = l
		}
		if l, ok := v.([]any); ok && len(l) == 0 {
			continue
		}
		if name == "obs" || name == "review" {
			v = plainOf(v)
		}
		out[name] = v
	}
	return canonical(t, out)
}

// plainOf returns the value of an observation.
func plainOf(v any) any {
	if o, ok := v.(map[string]any); ok && o["at"] != nil {
		return o["value"]
	}
	return v
}

func TestSplitThenProjectGivesTheDocument(t *testing.T) {
	p := mustParse(t, policies)
	for seed := range uint64(rounds) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		w, id := newWriter(t, 2, noon), recordID(1)
		doc := g.document()
		for range 4 {
			g.touch(doc)
		}
		w.split(p, "thing", id, doc)
		got := w.project(p, id)
		if a, b := string(got.DocJSON()), shownForm(t, doc); a != b {
			t.Fatalf("seed %d: shows\n%s\nwant\n%s", seed, a, b)
		}
		if len(got.Conflicts) > 0 {
			t.Fatalf("seed %d: conflicts %v", seed, got.Conflicts)
		}
	}
}

func TestEveryEditShowsWhatTheUserWanted(t *testing.T) {
	p := mustParse(t, policies)
	for seed := range uint64(rounds) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		w, id := newWriter(t, 2, noon), recordID(1)
		w.split(p, "thing", id, g.document())
		for range 8 {
			var want string
			w.edit(p, id, func(doc map[string]any) {
				g.touch(doc)
				want = shownForm(t, doc)
			})
			if got := string(w.project(p, id).DocJSON()); got != want {
				t.Fatalf("seed %d: shows\n%s\nwant\n%s", seed, got, want)
			}
		}
	}
}

// Devices of different knowledge, one of them without the pack, edit and meet
// at random. In the end all show the same, whatever the order of meetings, and
// no write that nobody replaced is missing from the registers.
func TestProjectionDoesNotDependOnTheOrderOfJoins(t *testing.T) {
	known := mustParse(t, policies)
	for seed := range uint64(rounds) {
		g := generator{rand.New(rand.NewPCG(seed, 3))}
		id := recordID(1)
		var ws []*writer
		for i := range uint64(4) {
			ws = append(ws, newWriter(t, 2+i, noon+int64(g.IntN(10_000))))
		}
		ws[0].split(known, "thing", id, g.document())
		for _, w := range ws[1:] {
			w.learn(ws[0])
		}
		for range 12 {
			w := ws[g.IntN(len(ws))]
			p := known
			if w == ws[3] {
				p = pack.None()
			}
			if g.IntN(2) == 0 {
				w.learn(ws[g.IntN(len(ws))])
				continue
			}
			before := w.project(p, id)
			doc := before.Doc()
			if p != nil {
				g.touch(doc)
			} else {
				doc["lww"], doc["new_one"] = g.value(), g.value()
			}
			parts, err := p.Diff(before, doc)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			w.write("thing", id, parts)
		}
		var want, state string
		for i := range 5 {
			order := g.Perm(len(ws))
			all := newWriter(t, 99, noon)
			for _, n := range order {
				all.learn(ws[n])
			}
			got := canonical(t, all.project(known, id))
			if i == 0 {
				want, state = got, string(all.project(known, id).DocJSON())
			}
			if got != want {
				t.Fatalf("seed %d: order %v shows\n%s\nnot\n%s", seed, order, got, want)
			}
		}
		// Nobody's projection writes: a look is not a change.
		all := newWriter(t, 99, noon)
		for _, w := range ws {
			all.learn(w)
		}
		shown := all.project(known, id)
		if parts, err := known.Diff(shown, shown.Doc()); err != nil || len(parts) > 0 {
			t.Fatalf("seed %d: looking writes %v, %v", seed, paths(parts), err)
		}
		if state == "" {
			t.Fatal("no document")
		}
	}
}
