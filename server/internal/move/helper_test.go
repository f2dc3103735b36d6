package move_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/move"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

const scope syncproto.Scope = "35.24.14"

// world is a source and a target.
type world struct {
	*testing.T
	path    string
	cluster *pgtest.Cluster
	address string
	// source and target change the sides of the next run.
	source func(move.Source) move.Source
	target func(move.Target) move.Target
	config move.Config // of the next run, without its sides
	told   []string    // problems of the last run
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := pgtest.Start(t)
	w := &world{T: t, path: filepath.Join(t.TempDir(), "sambang.db"), cluster: c, address: c.Database(t)}
	w.use(func(*sqlite.Store) {})
	return w
}

// use opens the source as a server does.
func (w *world) use(do func(*sqlite.Store)) {
	w.Helper()
	s, err := sqlite.Open(w.Context(), w.path, sqlite.Options{})
	if err != nil {
		w.Fatal(err)
	}
	do(s)
	if err := s.Close(); err != nil {
		w.Fatal(err)
	}
}

// moved opens the target as a server does.
func (w *world) moved(do func(*postgres.Store)) {
	w.Helper()
	s, err := postgres.Open(w.Context(), w.address, postgres.Options{})
	if err != nil {
		w.Fatal(err)
	}
	do(s)
	if err := s.Close(); err != nil {
		w.Fatal(err)
	}
}

// run runs the move.
func (w *world) run(ctx context.Context) (r move.Result, err error) {
	w.Helper()
	w.told = nil
	source, err := sqlite.OpenSource(ctx, w.path, sqlite.Options{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := postgres.OpenTarget(ctx, w.address, postgres.Options{})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	c := w.config
	c.Source, c.Target = source, target
	if w.source != nil {
		c.Source = w.source(source)
	}
	if w.target != nil {
		c.Target = w.target(target)
	}
	c.Problem = func(p string) { w.told = append(w.told, p) }
	return move.Run(ctx, c)
}

// move runs the move, which must succeed.
func (w *world) move() move.Result {
	w.Helper()
	r, err := w.run(w.Context())
	if err != nil {
		w.Fatalf("%v; told %q", err, w.told)
	}
	return r
}

// wants runs the move, which must fail with an error.
func (w *world) wants(want error) {
	w.Helper()
	if _, err := w.run(w.Context()); !errors.Is(err, want) {
		w.Errorf("error is %v, want %v", err, want)
	}
}

// same compares the two sides in full, past the package under test.
func (w *world) same() {
	w.Helper()
	source, err := sqlite.OpenSource(w.Context(), w.path, sqlite.Options{})
	if err != nil {
		w.Fatal(err)
	}
	defer source.Close() //nolint:errcheck // only read
	target, err := postgres.OpenTarget(w.Context(), w.address, postgres.Options{})
	if err != nil {
		w.Fatal(err)
	}
	defer target.Close() //nolint:errcheck // only read
	for _, t := range tables.All() {
		a, b := w.rows(t, source.Keys, source.Row), w.rows(t, target.Keys, target.Row)
		if diff := cmp.Diff(a, b, cmpopts.EquateEmpty()); diff != "" {
			w.Errorf("table %s (-source +target):\n%s", t.Name, diff)
		}
	}
}

func (w *world) rows(t *tables.Table, keys func(context.Context, *tables.Table, []any, int) ([][]any, error), row func(context.Context, *tables.Table, []any) ([]any, error)) (out [][]any) {
	w.Helper()
	all, err := keys(w.Context(), t, nil, 1e9)
	if err != nil {
		w.Fatal(err)
	}
	for _, k := range all {
		r, err := row(w.Context(), t, k[:len(t.Key)])
		if err != nil {
			w.Fatal(err)
		}
		out = append(out, r)
	}
	return out
}

// sourceIsInForce: nobody can open the target, and the source works.
func (w *world) sourceIsInForce() {
	w.Helper()
	if s, err := postgres.Open(w.Context(), w.address, postgres.Options{}); !errors.Is(err, store.ErrUnfinished) {
		if err == nil {
			err = s.Close()
		}
		w.Errorf("opening the target of an unfinished move: %v", err)
	}
	w.use(func(s *sqlite.Store) {
		if err := write(w.Context(), s); err != nil {
			w.Errorf("write the source: %v", err)
		}
	})
}

// write raises the head of a scope by one row.
func write(ctx context.Context, s store.Store) error {
	return s.Update(ctx, store.Step{Scopes: []string{string(scope)}, Do: func(tx store.Tx) ([]store.Step, error) {
		head, err := tx.Head(scope)
		if err != nil {
			return nil, err
		}
		r := store.Row{Scope: scope, ID: syncproto.RecordID{15: 1}, Seq: head + 1, Entered: head + 1, Kind: "site", State: []byte("x")}
		return nil, errors.Join(tx.Put(scope, []store.Row{r}), tx.Append(scope, []store.Change{{Scope: scope, Seq: head + 1, ID: r.ID}}))
	}})
}

// spoil replaces bytes in the closed source file, once.
func (w *world) spoil(old, with string) {
	w.Helper()
	b, err := os.ReadFile(w.path)
	if err != nil {
		w.Fatal(err)
	}
	if bytes.Count(b, []byte(old)) == 0 || len(old) != len(with) {
		w.Fatalf("%q is not in the file, or is longer than %q", old, with)
	}
	if err := os.WriteFile(w.path, bytes.Replace(b, []byte(old), []byte(with), 1), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) dump(s store.Store) []string { return storetest.Dump(w.T, s) }
