package sqlite_test

import (
	"database/sql"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store/sqlite"
)

// open opens a store that the test's end closes.
func open(t testing.TB, path string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// sqlOn runs a statement on the file, past the store.
func sqlOn(t testing.TB, path, text string, args ...any) {
	t.Helper()
	if err := trySQL(t, path, text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

func trySQL(t testing.TB, path, text string, args ...any) error {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(t.Context(), text, args...)
	return err
}

// query returns the one column of a query on the file.
func query(t testing.TB, path, text string) []string {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var v string
		if err := rows.Scan(&v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
