package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store/sqlite"
)

// cold tables are copied to every node of a cluster; their keys need no scope.
var cold = []string{"devices", "enrolments", "goose_db_version", "officers", "past_grants"}

// TestTablesFitACluster holds the rules under which the same tables can be
// distributed by scope: every key holds the scope, every table is STRICT.
func TestTablesFitACluster(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path, sqlite.Options{})
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tables := query(t, path, `SELECT name FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite_%'`)
	if len(tables) < 15 {
		t.Errorf("only %d tables: %v", len(tables), tables)
	}
	for _, table := range tables {
		if slices.Contains(cold, table) {
			continue
		}
		if !slices.Contains(query(t, path, `SELECT name FROM pragma_table_info('`+table+`') WHERE pk > 0`), "scope") {
			t.Errorf("the primary key of %s is without scope", table)
		}
		for _, index := range query(t, path, `SELECT name FROM pragma_index_list('`+table+`') WHERE "unique"`) {
			if !slices.Contains(query(t, path, `SELECT name FROM pragma_index_info('`+index+`')`), "scope") {
				t.Errorf("the unique index %s of %s is without scope", index, table)
			}
		}
		if got := query(t, path, `SELECT strict FROM pragma_table_list WHERE name = '`+table+`'`); got[0] != "1" {
			t.Errorf("%s is not STRICT", table)
		}
	}
}

// TestQueriesUseTheirIndexes: a plan that reads all records is not seen in a
// test of ten, and stops a server of a million.
func TestQueriesUseTheirIndexes(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	for name, c := range map[string]struct {
		query string
		args  []any
		want  string
		never string
	}{
		"feed":       {`SELECT state FROM records WHERE scope = ? AND seq > ? AND seq <= ? ORDER BY seq`, []any{"a", int64(1), int64(2)}, "records_seq", "TEMP B-TREE"},
		"records":    {`SELECT state FROM records WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND scope = ?`, []any{"[]", "a"}, "(id=? AND scope=?)", "SCAN records"},
		"live":       {`SELECT state FROM records WHERE id IN (SELECT unhex(value) FROM json_each(?)) AND moved_to IS NULL`, []any{"[]"}, "(id=?)", "SCAN records"},
		"log":        {`SELECT state FROM records WHERE moved_to IS NULL AND +scope IN (SELECT value FROM json_each(?)) AND (updated_at, scope, seq) < (?, ?, ?) ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT ?`, []any{"[]", int64(1), "a", int64(1), int64(1)}, "records_log", "TEMP B-TREE"},
		"kind":       {`SELECT state FROM records WHERE moved_to IS NULL AND +scope IN (SELECT value FROM json_each(?)) AND kind = ? AND deleted = 0 AND (updated_at, scope, seq) < (?, ?, ?) ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT ?`, []any{"[]", "k", int64(1), "a", int64(1), int64(1)}, "records_kind (kind=? AND (updated_at,scope,seq)<(?,?,?))", "TEMP B-TREE"},
		"agency":     {`SELECT state FROM records WHERE moved_to IS NULL AND +scope IN (SELECT value FROM json_each(?)) AND agency = ? AND deleted = 0 ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT ?`, []any{"[]", "k", int64(1)}, "records_agency (agency=?)", "TEMP B-TREE"},
		"scope":      {`SELECT state FROM records INDEXED BY records_scope WHERE moved_to IS NULL AND scope = ? AND updated_at <= ? AND kind = ? AND (updated_at, scope, seq) < (?, ?, ?) ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT ?`, []any{"a", int64(1), "k", int64(1), "a", int64(1), int64(1)}, "records_scope (scope=? AND updated_at<?)", "TEMP B-TREE"},
		"companions": {`SELECT state FROM records WHERE of_id = ? AND moved_to IS NULL`, []any{[]byte("x")}, "records_of", "SCAN"},
		"changes":    {`SELECT ops FROM changes WHERE id = ? ORDER BY at, scope, seq`, []any{[]byte("x")}, "changes_id", "SCAN"},
		"erase":      {`UPDATE changes SET ops = x'' WHERE id = ? AND scope = ? AND length(ops) > 0`, []any{[]byte("x"), "a"}, "changes_id (id=? AND scope=?)", "SCAN"},
		"past":       {`SELECT value FROM past_writes WHERE id = ? ORDER BY hlc`, []any{[]byte("x")}, "past_writes_id", "SCAN"},
		"inbox":      {`SELECT raw FROM quarantine WHERE 1 AND (at, key) < (?, ?) ORDER BY at DESC, key DESC LIMIT ?`, []any{int64(1), []byte("x"), int64(1)}, "quarantine_inbox", "TEMP B-TREE"},
		"conflicts":  {`SELECT coalesce(sum(conflicts), 0) FROM records INDEXED BY records_conflicts WHERE conflicts > 0 AND moved_to IS NULL`, nil, "records_conflicts", "SCAN records\n"},
		"replica":    {`SELECT replica FROM replicas WHERE replica IN (SELECT unhex(value) FROM json_each(?)) AND scope <> ?`, []any{"[]", "a"}, "replicas_replica", "SCAN replicas"},
	} {
		plan, err := s.Plan(t.Context(), c.query, c.args...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, c.want) || strings.Contains(text, c.never) {
			t.Errorf("%s: the plan must have %q and not %q:\n%s", name, c.want, c.never, text)
		}
	}
}
