package postgres_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/syncproto"
)

// The log of a few scopes is read from each of them, that of many from the log
// of all. Both are the same log: in the same order, page by page, where many
// records have one time.
func TestTheLogOfFewScopesIsThatOfAll(t *testing.T) {
	s := open(t, database(t), postgres.Options{})
	rng := storetest.NewRand()
	const scopes, each = 20, 12
	for n := range scopes {
		rows, changes := storetest.RowsOf(rng, each, syncproto.Scope(fmt.Sprintf("35.%02d.01", n+1)), 0)
		for i := range rows {
			rows[i].UpdatedAt = int64(1 + i/4) // ties, within scopes and between them
			rows[i].Kind = []string{"inspection", "site"}[i%2]
		}
		if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
			t.Fatal(err)
		}
	}
	read := func(f store.Filter, limit int) (out []store.LogKey) {
		f.Grants = syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D"}}}
		for {
			var page []store.Row
			var after *store.LogKey
			if len(out) > 0 {
				after = &out[len(out)-1]
			}
			if err := s.View(t.Context(), func(r store.Reader) (err error) {
				page, err = r.Log(f, after, limit)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			for _, r := range page {
				out = append(out, store.LogKey{UpdatedAt: r.UpdatedAt, Scope: r.Scope, Seq: r.Seq})
			}
			if len(page) < limit {
				return out
			}
		}
	}
	for _, kind := range []string{"", "site"} {
		all := read(store.Filter{Kind: kind}, 50)
		if want := scopes * each / map[string]int{"": 1, "site": 2}[kind]; len(all) != want {
			t.Errorf("kind %q: %d rows, want %d", kind, len(all), want)
		}
		for _, region := range []syncproto.Region{"35.07", "35.20.01"} {
			var want []store.LogKey
			for _, k := range all {
				if region.Covers(k.Scope.Region()) {
					want = append(want, k)
				}
			}
			if diff := cmp.Diff(want, read(store.Filter{Region: region, Kind: kind}, 5)); diff != "" || len(want) == 0 {
				t.Errorf("kind %q, region %s (-wide +narrow):\n%s", kind, region, diff)
			}
		}
	}
	// Of a reader who sees a few scopes, the same in one.
	var got []store.LogKey
	few := syncproto.Grants{{Region: "35.03", Classes: []syncproto.Class{"D"}}, {Region: "35.11", Classes: []syncproto.Class{"D"}}, {Region: "35.12", Classes: []syncproto.Class{"D"}}}
	err := s.View(t.Context(), func(r store.Reader) error {
		rows, err := r.Log(store.Filter{Grants: few}, nil, 2*each)
		for _, r := range rows {
			got = append(got, store.LogKey{UpdatedAt: r.UpdatedAt, Scope: r.Scope, Seq: r.Seq})
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []store.LogKey
	for _, k := range read(store.Filter{}, 100) {
		if r := k.Scope.Region(); r == "35.03.01" || r == "35.11.01" || r == "35.12.01" {
			want = append(want, k)
		}
	}
	if diff := cmp.Diff(want[:2*each], got); diff != "" {
		t.Errorf("three scopes (-wide +narrow):\n%s", diff)
	}
}
