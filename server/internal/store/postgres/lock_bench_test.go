package postgres_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/syncproto"
)

// BenchmarkTheSecondLock asks what headquarters asks, of 100,000 records in 540
// scopes, as the server and as the reader of one province, in turn.
func BenchmarkTheSecondLock(b *testing.B) {
	at := roles(b)
	prepare(b, at)
	fillRecords(b, at.admin, 100_000)
	conn := connect(b, at.server)
	reader := postgres.ReaderSetting(syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D", "T", "H"}}}, 100)
	for _, q := range lockedQueries {
		for _, role := range []string{"", at.reader} {
			name := "server"
			if role != "" {
				name = "reader"
			}
			b.Run(q.name+"/"+name, func(b *testing.B) {
				total := 0.0
				for range b.N {
					ms, plan := explain(b, conn, role, reader, q.text)
					total += ms
					if role != "" && strings.Count(plan, "sambang_reach") > 0 {
						b.Fatalf("the reach was not computed once: %s", plan)
					}
				}
				b.ReportMetric(total/float64(b.N), "ms/query")
			})
		}
	}
}

// TestTheLockLeavesThePlans: a page of the log and a feed still walk their
// indexes, and what a reader may see is computed once for a statement.
func TestTheLockLeavesThePlans(t *testing.T) {
	at := roles(t)
	prepare(t, at)
	fillRecords(t, at.admin, 10_000)
	conn := connect(t, at.server)
	reader := postgres.ReaderSetting(syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D", "T", "H"}}}, 100)
	for _, q := range lockedQueries {
		_, plan := explain(t, conn, at.reader, reader, q.text)
		if !strings.Contains(plan, q.index) || !strings.Contains(plan, "InitPlan") || !strings.Contains(plan, "?|") || strings.Contains(plan, "sambang_covers") {
			t.Errorf("%s: %s", q.name, plan)
		}
	}
}

var lockedQueries = []struct{ name, text, index string }{
	{"count", `SELECT count(*) FROM records`, ""},
	{"first page", `SELECT * FROM records WHERE moved_to IS NULL AND deleted = 0 ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT 50`, "records_log"},
	{"later page", `SELECT * FROM records WHERE moved_to IS NULL AND deleted = 0 AND (updated_at, scope, seq) < (5000, '35.20.14', 1000000) ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT 50`, "records_log"},
	{"feed", `SELECT * FROM records WHERE scope = '35.13.11' AND seq > 3 ORDER BY seq LIMIT 128`, "records_seq"},
	{"one record", `SELECT * FROM records WHERE id = (SELECT decode(lpad(to_hex(7), 32, '0'), 'hex'))`, "records_pkey"},
	{"history", `SELECT * FROM changes WHERE id = (SELECT decode(lpad(to_hex(7), 32, '0'), 'hex')) ORDER BY at, scope, seq LIMIT 128`, "changes_id"},
}

// fillRecords makes records without contents, past the store.
func fillRecords(t testing.TB, address string, n int) {
	t.Helper()
	sqlOn(t, address, fmt.Sprintf(`INSERT INTO records SELECT
		(ARRAY['35', '36', '12'])[i %% 3 + 1] || '.' || 11 + i %% 20 || '.' || 11 + i %% 9, decode(lpad(to_hex(i), 32, '0'), 'hex'), i, i, 'site', 0, 0, 0, NULL, NULL, 'a', 'o', i, i, 0, repeat('x', 300)::bytea, '{}'
		FROM generate_series(1, %d) AS i`, n))
	sqlOn(t, address, `INSERT INTO scopes SELECT scope, max(seq), 0 FROM records GROUP BY scope`)
	sqlOn(t, address, `INSERT INTO changes SELECT scope, seq, id, 'd', 'o', 'a', seq, repeat('x', 32)::bytea, 0, repeat('x', 100)::bytea FROM records`)
	sqlOn(t, address, `ANALYZE`)
}

// explain runs a query as a role and returns how long the server took, and how
// it did it.
func explain(t testing.TB, conn *pgx.Conn, role, setting, query string) (ms float64, plan string) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context()) //nolint:errcheck // it only reads
	if role != "" {
		if _, err := tx.Exec(t.Context(), `SET LOCAL ROLE `+role); err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), `SELECT set_config('sambang.reader', $1, true)`, setting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.QueryRow(t.Context(), `EXPLAIN (ANALYZE, FORMAT JSON) `+query).Scan(&plan); err != nil {
		t.Fatal(err)
	}
	var out []struct {
		Execution float64 `json:"Execution Time"`
		Planning  float64 `json:"Planning Time"`
	}
	if err := json.Unmarshal([]byte(plan), &out); err != nil || len(out) != 1 {
		t.Fatal(plan, err)
	}
	return out[0].Execution + out[0].Planning, plan
}
