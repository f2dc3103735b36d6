package syncproto_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
)

// TestAnEditThatTheDeleterDidNotKnowSurvives compares Life with what the
// oracle knows that the deleters knew.
func TestAnEditThatTheDeleterDidNotKnowSurvives(t *testing.T) {
	var deleted, survived int
	eachHistory(t, 80, 80, func(t *testing.T, h *history) {
		for _, r := range append(slices.Clone(h.past), h.records...) {
			for del, prefix := range map[string]string{syncproto.PathDel: "", "foreigners/9c1f/$del": "foreigners/9c1f/"} {
				life := r.Life()
				if prefix != "" {
					life = r.ItemLife("foreigners/9c1f")
				}
				want := h.life(t, r, del, prefix)
				if life.Deleted != want.Deleted || !slices.Equal(life.Survivors, want.Survivors) {
					t.Fatalf("%s of\n%v\nis %+v, want %+v", del, r, life, want)
				}
				if life.Deleted {
					deleted++
				}
				survived += len(life.Survivors)
			}
		}
	})
	if deleted == 0 || survived == 0 {
		t.Errorf("%d deletions, %d survivors: a case was never reached", deleted, survived)
	}
}

func (h *history) life(t *testing.T, r syncproto.Record, del, prefix string) syncproto.Life {
	f, ok := r.Field(del)
	if !ok {
		return syncproto.Life{}
	}
	says := func(s syncproto.Sibling) bool { return strings.Contains(s.Value.JSON(), `"deleted":true`) }
	latest := f.Siblings[0]
	for _, s := range f.Siblings[1:] {
		if s.HLC > latest.HLC || s.HLC == latest.HLC && latest.Dot.Less(s.Dot) {
			latest = s
		}
	}
	if !says(latest) {
		return syncproto.Life{}
	}
	var survivors []string
	for g := range r.Fields() {
		if g.Path[0] == '$' || g.Path == del || !strings.HasPrefix(g.Path, prefix) {
			continue
		}
		for _, s := range g.Siblings {
			knew := false
			for _, d := range f.Siblings {
				e, ok := h.events[d.Dot]
				if !ok {
					t.Fatalf("dot %s was never minted", d.Dot)
				}
				knew = knew || says(d) && e.seen[s.Dot]
			}
			if !knew && !slices.Contains(survivors, g.Path) {
				survivors = append(survivors, g.Path)
			}
		}
	}
	return syncproto.Life{Deleted: len(survivors) == 0, Survivors: survivors}
}

func TestTombstonesAreReadStrictly(t *testing.T) {
	seen := vv(t, syncproto.Dot{Replica: 0xa1, N: 3})
	for _, d := range []syncproto.Deletion{{}, {Deleted: true}, {Deleted: true, Seen: seen}, {Seen: seen}} {
		back, err := syncproto.ParseDeletion(d.Value())
		if err != nil || back.Deleted != d.Deleted || !back.Seen.Equal(d.Seen) {
			t.Errorf("%s reads as %+v, %v", d.Value().JSON(), back, err)
		}
	}
	if d, err := syncproto.ParseDeletion(syncproto.Null); err != nil || d.Deleted {
		t.Errorf("null is %+v, %v", d, err)
	}
	for _, s := range []string{
		`true`, `"deleted"`, `[]`, `{}`, `{"deleted":true}`, `{"seen":{}}`, `{"Deleted":true,"seen":{}}`, `{"deleted":null,"seen":{}}`,
		`{"deleted":true,"seen":null}`, `{"deleted":1,"seen":{}}`, `{"deleted":true,"seen":[]}`, `{"deleted":true,"seen":{"a1":1}}`,
		`{"deleted":true,"seen":{"00000000000000A1":1}}`, `{"deleted":true,"seen":{"00000000000000a1":0}}`,
		`{"deleted":true,"seen":{"00000000000000a1":-1}}`, `{"deleted":true,"seen":{"00000000000000a1":1.5}}`,
		`{"deleted":true,"seen":{"00000000000000a1":"1"}}`, `{"deleted":true,"seen":{"0000000000000000":1}}`,
		`{"deleted":true,"seen":{"00000000000000a1":9007199254740993}}`,
	} {
		v, err := syncproto.Canonicalize([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		if d, err := syncproto.ParseDeletion(v); syncproto.CodeOf(err) != syncproto.CodeBadValue {
			t.Errorf("%s reads as %+v, %v", s, d, err)
		}
	}
	if _, err := syncproto.ParseDeletion(syncproto.MustValue(map[string]any{"deleted": true, "seen": map[string]any{}, "why": "twice"})); err != nil {
		t.Errorf("a key of a later version: %v", err)
	}
}

func vv(t *testing.T, dots ...syncproto.Dot) syncproto.VV {
	t.Helper()
	v, err := syncproto.NewVV(dots...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}
