package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestFiles(t *testing.T) {
	storetest.RunFiles(t, func(ctx context.Context, path string) (store.Store, error) {
		return sqlite.Open(ctx, path, sqlite.Options{})
	})
}
