package postgres_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// servers are the tables that are not of the contract.
var servers = []string{"servers", "used_tokens"}

// TestTablesAreThoseOfTheDescription: the columns, their types and the keys of
// the database are those of package tables, so that a row is the same on every
// engine. Names sort by bytes.
func TestTablesAreThoseOfTheDescription(t *testing.T) {
	address := database(t, "LOCALE 'C.UTF-8'")
	open(t, address, postgres.Options{})
	got := query(t, address, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname NOT LIKE 'sambang%' ORDER BY 1`)
	var want []string
	for _, table := range tables.All() {
		want = append(want, table.Name)
		kinds := map[tables.Kind]string{tables.Int: "bigint", tables.Text: "text", tables.Blob: "bytea", tables.JSON: "json"}
		columns := append(slices.Clone(table.Columns), tables.Column{Name: tables.SumColumn, Kind: tables.Int})
		var described []string
		for _, c := range columns {
			line := c.Name + " " + kinds[c.Kind]
			if c.Kind == tables.Text {
				line += " C"
			}
			if !c.Null {
				line += " not null"
			}
			described = append(described, line)
		}
		slices.Sort(described)
		there := query(t, address, `SELECT attname || ' ' || format_type(atttypid, NULL) || coalesce(' ' || collname, '') || CASE WHEN attnotnull THEN ' not null' ELSE '' END
			FROM pg_attribute LEFT JOIN pg_collation c ON c.oid = attcollation WHERE attrelid = $1::text::regclass AND attnum > 0`, table.Name)
		slices.Sort(there)
		if !slices.Equal(there, described) {
			t.Errorf("columns of %s\nare  %v\nwant %v", table.Name, there, described)
		}
		key := query(t, address, `SELECT attname::text FROM pg_constraint, unnest(conkey) WITH ORDINALITY AS k (attnum, n) JOIN pg_attribute a USING (attnum)
			WHERE conrelid = $1::text::regclass AND attrelid = conrelid AND contype = 'p' ORDER BY n`, table.Name)
		if !slices.Equal(key, table.Key) {
			t.Errorf("primary key of %s is %v, want %v", table.Name, key, table.Key)
		}
	}
	want = append(want, servers...)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("tables\nare  %v\nwant %v", got, want)
	}
}

// TestOrderIsByBytesInAnyLanguage: the language of the database changes
// nothing.
func TestOrderIsByBytesInAnyLanguage(t *testing.T) {
	address := database(t, `LOCALE_PROVIDER icu ICU_LOCALE 'id' LOCALE 'C.UTF-8'`)
	open(t, address, postgres.Options{})
	sqlOn(t, address, `INSERT INTO officers SELECT v, '', '', '', 0, 0 FROM unnest(ARRAY['a', 'B', 'ä', 'a-b', 'ab', '_']) AS v`)
	got := query(t, address, `SELECT id FROM officers ORDER BY id`)
	if want := []string{"B", "_", "a", "a-b", "ab", "ä"}; !slices.Equal(got, want) {
		t.Errorf("order is %v, want %v", got, want)
	}
}

// TestQueriesUseTheirIndexes: a plan that reads all records is not seen in a
// test of ten, and stops a server of a million.
func TestQueriesUseTheirIndexes(t *testing.T) {
	address := database(t)
	s := open(t, address, postgres.Options{})
	for head := uint64(0); head < 4*storetest.BatchRows; head += storetest.BatchRows {
		rows, changes := storetest.RowsOf(storetest.NewRand(), storetest.BatchRows, scope, head)
		if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
			t.Fatal(err)
		}
	}
	sqlOn(t, address, `INSERT INTO replicas SELECT 'device/' || n, decode(lpad(to_hex(n), 16, '0'), 'hex'), decode(repeat('00', 16), 'hex'), 1, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'), 0, 0
		FROM generate_series(1, 3000) AS n`)
	sqlOn(t, address, `ANALYZE`)
	conn := connect(t, address)
	for name, c := range map[string]struct{ query, want, never string }{
		"feed":    {`SELECT state FROM records WHERE scope = '35.24.14' AND seq > 100 AND seq <= 2000 ORDER BY seq LIMIT 128`, "records_seq", "Sort"},
		"records": {`SELECT state FROM records WHERE scope = '35.24.14' AND id = ANY(ARRAY['\x01'::bytea, '\x02'])`, "records_pkey", "Seq Scan"},
		"live":    {`SELECT state FROM records WHERE id = ANY(ARRAY['\x01'::bytea, '\x02'])`, "records_pkey", "Seq Scan"},
		"log":     {`SELECT state FROM records WHERE moved_to IS NULL AND scope = ANY(ARRAY['35.24.14', '35.24.02']) AND (updated_at, scope, seq) < (1000, 'x', 1) ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT 50`, "records_log", "Sort"},
		"few scopes": {`SELECT state FROM ((SELECT state, updated_at, scope, seq FROM records WHERE moved_to IS NULL AND scope = '35.24.14' AND deleted = 0 ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT 50)
			UNION ALL (SELECT state, updated_at, scope, seq FROM records WHERE moved_to IS NULL AND scope = '35.24.02' AND deleted = 0 ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT 50)) AS newest
			ORDER BY updated_at DESC, scope DESC, seq DESC LIMIT 50`, "Merge Append", "Seq Scan"},
		"companions": {`SELECT state FROM records WHERE of_id = '\x01' AND moved_to IS NULL`, "records_of", "Seq Scan"},
		"changes":    {`SELECT ops FROM changes WHERE id = '\x01' ORDER BY at, scope, seq LIMIT 128`, "changes_id", "Seq Scan"},
		"past":       {`SELECT value FROM past_writes WHERE id = '\x01' ORDER BY hlc LIMIT 128`, "past_writes_id", ""},
		"inbox":      {`SELECT raw FROM quarantine WHERE true AND (at, key) < (1, '\x01') ORDER BY at DESC, key DESC LIMIT 50`, "quarantine_inbox", ""},
		"conflicts":  {`SELECT coalesce(sum(conflicts), 0)::bigint FROM records WHERE conflicts > 0 AND moved_to IS NULL`, "records_conflicts", "Seq Scan"},
		"replica":    {`SELECT replica FROM replicas WHERE replica = ANY(ARRAY['\x01'::bytea]) AND scope <> 'x'`, "replicas_replica", "Seq Scan"},
	} {
		if c.never == "" { // an empty table, which nobody asks an index of
			if _, err := conn.Exec(t.Context(), `SET enable_seqscan = off`); err != nil {
				t.Fatal(err)
			}
			c.never = "Seq Scan"
		}
		rows, err := conn.Query(t.Context(), `EXPLAIN `+c.query)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var plan []string
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan = append(plan, line)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(plan, "\n")
		if !strings.Contains(text, c.want) || strings.Contains(text, c.never) {
			t.Errorf("%s: the plan must have %q and not %q:\n%s", name, c.want, c.never, text)
		}
		if _, err := conn.Exec(t.Context(), `RESET enable_seqscan`); err != nil {
			t.Fatal(err)
		}
	}
}

// A plan that was made while the tables were empty, and nobody has counted their
// rows yet, must not read them from end to end: that takes ten times as long
// after ten thousand records, until the database counts.
func TestAYoungDatabaseIsNotReadFromEndToEnd(t *testing.T) {
	address := database(t)
	s, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	sqlOn(t, address, `ALTER TABLE records SET (autovacuum_enabled = false)`)
	rng := storetest.NewRand()
	for _, home := range []syncproto.Scope{storetest.Home, "35.25.01"} {
		for head := range uint64(40) {
			rows, changes := storetest.RowsOf(rng, 1, home, head)
			if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
				t.Fatal(err)
			}
			if err := s.Update(t.Context(), store.Step{Scopes: []string{string(home)}, Do: func(tx store.Tx) ([]store.Step, error) {
				_, err := tx.Locate([]syncproto.RecordID{{9}, {8}, {7}})
				return nil, err
			}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil { // the connections tell what they read
		t.Fatal(err)
	}
	got := query(t, address, `SELECT relname || ' ' || seq_tup_read FROM pg_stat_user_tables WHERE seq_tup_read > 0 AND relname IN ('records', 'changes')`)
	if len(got) > 0 {
		t.Errorf("rows that were read from end to end: %v", got)
	}
	// By what fits best, one row is read of each record that is there, and none of what else the scope has.
	got = query(t, address, `SELECT indexrelname || ' ' || idx_tup_read FROM pg_stat_user_indexes WHERE idx_tup_read > 80 AND relname = 'records'`)
	if len(got) > 0 {
		t.Errorf("rows that were read by an index: %v", got)
	}
}
