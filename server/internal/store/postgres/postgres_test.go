package postgres_test

import (
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := postgres.Open(t.Context(), database(t), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestDamagedRows(t *testing.T) {
	storetest.RunDamaged(t, func(t *testing.T) (store.Store, func(store.Damage)) {
		address := database(t)
		s, err := postgres.Open(t.Context(), address, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]string{
			"records": `doc = replace(doc::text, '1', '2')::json, state = state || '\x00'`, "changes": `ops = ops || '\x00'`, "past_writes": `value = value || '\x00'`,
			"quarantine": `raw = raw || '\x00'`, "receipts": `body = body || '\x00'`,
		}
		number := map[string]string{"records": "seq", "changes": "seq", "past_writes": "n", "receipts": "n", "quarantine": "0"}
		return s, func(d store.Damage) {
			sqlOn(t, address, `UPDATE `+d.Table+` SET `+content[d.Table]+` WHERE scope = $1 AND `+number[d.Table]+` = $2`, d.Scope, int64(d.Seq)) //nolint:gosec // a test's
		}
	})
}
