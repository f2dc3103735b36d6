package main

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
)

// A store grows by whole batches, gives its pages and its costs, and is gone afterwards, on each engine.
func TestAStoreGrowsOnEachEngine(t *testing.T) {
	for _, name := range []string{onSQLite, onPostgres} {
		t.Run(name, func(t *testing.T) {
			f := flags{store: name, dir: ""}
			if name == onPostgres {
				f.postgres = pgtest.Start(t).URL()
			}
			keepers, err := openKeepers(t.Context(), f, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			k := keepers[0]
			g := &grown{}
			s, err := openSize(t.Context(), env{dir: t.TempDir(), keep: k, grown: g}, 2*batchItems)
			if err != nil {
				t.Fatal(err)
			}
			figures, err := s.Run(t.Context(), t.TempDir())
			if err != nil {
				t.Error(err)
			}
			for _, f := range figures {
				if f.Value <= 0 || f.Name == "" {
					t.Errorf("figure %+v", f)
				}
			}
			if want := (2 + 2*writers) * batchItems; g.n != want {
				t.Errorf("%d records, want %d", g.n, want)
			}
			if err := errors.Join(g.close(), k.tidy(t.Context()), closeKeepers(keepers)); err != nil {
				t.Error(err)
			}
			if p, ok := k.(*postgresKeeper); ok && len(p.databases) > 0 {
				t.Errorf("databases are left: %v", p.databases)
			}
		})
	}
}

func TestASizeComesAfterTheSmallerOnes(t *testing.T) {
	for greatest, want := range map[int][]int{10_000: {10_000}, 30_000: {10_000, 30_000}, 1_000_000: {10_000, 100_000, 1_000_000}} {
		var got []int
		for _, s := range sizeScenarios(greatest) {
			got = append(got, s.size)
		}
		if !slices.Equal(got, want) {
			t.Errorf("up to %d: %v, want %v", greatest, got, want)
		}
	}
	chosen, err := choose("L,N", 100_000)
	if err != nil || len(chosen) != 3 {
		t.Errorf("L and N at two sizes: %d scenarios, %v", len(chosen), err)
	}
}

func TestStoresAreNamedOnceAndKnown(t *testing.T) {
	for _, names := range []string{"oracle", "sqlite,sqlite", "sqlite,"} {
		if _, err := openKeepers(context.Background(), flags{store: names}, io.Discard); err == nil || !strings.Contains(err.Error(), "-store") {
			t.Errorf("%q: %v", names, err)
		}
	}
}
