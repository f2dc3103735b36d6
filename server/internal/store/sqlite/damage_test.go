package sqlite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

func TestDamagedRows(t *testing.T) {
	storetest.RunDamaged(t, func(t *testing.T) (store.Store, func(store.Damage)) {
		path := filepath.Join(t.TempDir(), "store.db")
		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]string{
			"records": `doc = replace(doc, '1', '2'), state = CAST(state || x'00' AS BLOB)`, "changes": `ops = CAST(ops || x'00' AS BLOB)`, "past_writes": `value = CAST(value || x'00' AS BLOB)`,
			"quarantine": `raw = CAST(raw || x'00' AS BLOB)`, "receipts": `body = CAST(body || x'00' AS BLOB)`,
		}
		number := map[string]string{"records": "seq", "changes": "seq", "past_writes": "n", "receipts": "n", "quarantine": "0"}
		return s, func(d store.Damage) {
			sqlOn(t, path, `UPDATE `+d.Table+` SET `+content[d.Table]+` WHERE scope = ? AND `+number[d.Table]+` = ?`, d.Scope, int64(d.Seq)) //nolint:gosec // a test's
		}
	})
}

// TestEveryChangedColumnIsFoundByCheck changes each column of each table in
// turn, as a bad disk would, past the store. Check names the row each time.
func TestEveryChangedColumnIsFoundByCheck(t *testing.T) {
	whole, err := os.ReadFile(wellFilled(t))
	if err != nil {
		t.Fatal(err)
	}
	filled := 0
	for table, columns := range sqlite.Tables() {
		path := filepath.Join(t.TempDir(), "store.db")
		writeFile(t, path, string(whole))
		if query(t, path, `SELECT count(*) FROM `+table)[0] == "0" {
			continue
		}
		filled++
		keys := strings.Join(query(t, path, `SELECT name FROM pragma_table_info('`+table+`') WHERE pk > 0`), ", ")
		for _, column := range columns {
			path := filepath.Join(t.TempDir(), "store.db")
			writeFile(t, path, string(whole))
			other := map[string]string{"INTEGER": column + ` + 1`, "TEXT": `coalesce(` + column + `, '') || 'x'`, "BLOB": `CAST(coalesce(` + column + `, x'') || x'01' AS BLOB)`}
			declared := query(t, path, `SELECT type FROM pragma_table_info('`+table+`') WHERE name = '`+column+`'`)[0]
			// The constraints are off: a disk knows none. The greatest value, so
			// that no other row has the key that it gets.
			sqlOn(t, path, `PRAGMA ignore_check_constraints = 1; UPDATE `+table+` SET `+column+` = `+other[declared]+`
				WHERE (`+keys+`) IN (SELECT `+keys+` FROM `+table+` ORDER BY `+column+` DESC LIMIT 1)`)
			got := problems(t, path)
			if !strings.Contains(strings.Join(got, "\n"), "damaged row: table "+table+",") {
				t.Errorf("a change of %s.%s is not found: %q", table, column, got)
			}
		}
	}
	if filled != len(sqlite.Tables()) {
		t.Errorf("%d tables of %d have rows", filled, len(sqlite.Tables()))
	}
}
