package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// wellFilled is a database with a bit of everything.
func wellFilled(t *testing.T) string {
	t.Helper()
	address := database(t)
	s, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(storetest.Sample(t.Context(), s), s.Close()); err != nil {
		t.Fatal(err)
	}
	return address
}

// copyOf makes a database of its own that is as another one.
func copyOf(t *testing.T, address string) string {
	t.Helper()
	return database(t, "TEMPLATE "+query(t, address, `SELECT current_database()::text`)[0])
}

// problems returns what Check reports, its own error included.
func problems(t *testing.T, s *postgres.Store) (out []string) {
	t.Helper()
	if err := s.Check(t.Context(), func(p string) { out = append(out, p) }); err != nil {
		out = append(out, err.Error())
	}
	return out
}

// TestCheckFindsSeededDamage is the positive control: a check that never
// complains protects nothing. The sums are made right again, as a bug of the
// server would write them, so that each rule is seen to look by itself.
func TestCheckFindsSeededDamage(t *testing.T) {
	good := wellFilled(t)
	s, err := postgres.Open(t.Context(), good, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := problems(t, s)
	if err := s.Close(); err != nil { // nobody may be in a database that is copied
		t.Fatal(err)
	}
	if len(got) != 0 {
		t.Fatalf("problems of an undamaged store: %q", got)
	}
	for name, c := range map[string]struct{ damage, want string }{
		"row above the head":         {`UPDATE records SET seq = 900 WHERE scope = '35.24.14' AND seq = 7`, "row is beyond the head"},
		"row at a taken sequence":    {`DROP INDEX records_seq; UPDATE records SET seq = 8 WHERE scope = '35.24.14' AND seq = 7`, "two rows have the same sequence"},
		"row of no scope":            {`DELETE FROM scopes WHERE scope = '35.24.02'`, "row is beyond the head"},
		"head above the rows":        {`UPDATE scopes SET seq = 900 WHERE scope = '35.24.14'`, "head of a scope is beyond"},
		"head of no rows":            {`UPDATE scopes SET seq = 1 WHERE scope = 'registry'`, "head of a scope is beyond"},
		"head below the changes":     {`UPDATE scopes SET seq = 3 WHERE scope = '35.24.14'`, "change is beyond the head"},
		"entered after its change":   {`UPDATE records SET entered_seq = 9 WHERE scope = '35.24.14' AND seq = 8`, "row entered its scope after"},
		"no live row":                {`UPDATE records SET moved_to = '35.24.02' WHERE scope = '35.24.14' AND seq = 3`, "not exactly one live row"},
		"two live rows":              {`UPDATE records SET moved_to = NULL WHERE moved_to IS NOT NULL`, "not exactly one live row"},
		"marker to nowhere":          {`UPDATE records SET moved_to = '35.24.99' WHERE moved_to IS NOT NULL`, "marker points at no row"},
		"marker to itself":           {`UPDATE records SET moved_to = scope WHERE moved_to IS NOT NULL`, "marker points at no row"},
		"more held than claimed":     {`UPDATE replicas SET held_n = 10 WHERE claimed_n = 9`, "device holds more than it claimed"},
		"replica of two devices":     {`INSERT INTO replicas SELECT 'device/x', replica, key_nonce, claimed_n, claimed_head, held_n, held_head, broken, sum FROM replicas`, "replica belongs to two devices"},
		"chain step that is held":    {`UPDATE chain_steps SET n = 3`, "chain step waits though it is held"},
		"chain step of no replica":   {`UPDATE chain_steps SET scope = 'device/x'`, "chain step waits though it is held"},
		"too many witnesses":         {`INSERT INTO witnesses SELECT 'device/device-1', n, decode(repeat('00', 16), 'hex'), 0 FROM generate_series(2, 70) AS n`, "more witnesses than are kept"},
		"two epochs":                 {`INSERT INTO epochs VALUES ('other', decode(repeat('00', 16), 'hex'), 1, 0, 0)`, "more than one epoch"},
		"message twice":              {`INSERT INTO quarantine SELECT 'device/device-1', key, id, device, code, at, state, reason, by, decided_at, sum, raw FROM quarantine`, "message is kept twice"},
		"change rewritten":           {`UPDATE changes SET ops = '\x00' WHERE seq = 5`, "change is not what was appended"},
		"digest rewritten":           {`UPDATE changes SET digest = decode(repeat('00', 32), 'hex') WHERE seq = 5`, "change is not what was appended"},
		"past write rewritten":       {`UPDATE past_writes SET value = '\x31'`, "past write is not what was appended"},
		"past write of another path": {`UPDATE past_writes SET path = 'b'`, "past write is not what was appended"},
		"scope that is none":         {`UPDATE scopes SET scope = '35.2' WHERE scope = '35.24.02'`, "scope: "},
		"grants that are none":       {`UPDATE devices SET grants = 'x'`, "is not grants"},
		"device without a key":       {`UPDATE devices SET public_key = ''`, "device without id or key"},
		"chain that begins anywhere": {`UPDATE replicas SET held_head = decode(repeat('07', 32), 'hex') WHERE held_n = 0`, "chain of nothing held has a head"},
		"index that is missing":      {`DROP INDEX records_log`, "index records_log is missing"},
		"index that does not hold":   {`UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'records_of'::regclass`, "index records_of is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			address := copyOf(t, good)
			sqlOn(t, address, c.damage)
			s := open(t, address, postgres.Options{})
			if err := s.Reseal(t.Context()); err != nil {
				t.Fatal(err)
			}
			got := problems(t, s)
			if !strings.Contains(strings.Join(got, "\n"), c.want) {
				t.Errorf("problems are %q, want one with %q", got, c.want)
			}
		})
	}
}

// TestEveryChangedColumnIsFoundByCheck changes each column of each table in
// turn, past the store. Check names the row each time.
func TestEveryChangedColumnIsFoundByCheck(t *testing.T) {
	whole := wellFilled(t)
	address := copyOf(t, whole)
	s := open(t, address, postgres.Options{})
	// The constraints are off: a disk knows none.
	for _, drop := range query(t, address, `SELECT format('ALTER TABLE %I DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0`) {
		sqlOn(t, address, drop)
	}
	for table, list := range postgres.Tables() {
		if query(t, address, `SELECT count(*)::text FROM `+table)[0] == "0" {
			t.Errorf("table %s is empty", table)
		}
		for column := range strings.SplitSeq(list, ", ") {
			kind := query(t, address, `SELECT data_type::text FROM information_schema.columns WHERE table_name = $1 AND column_name = $2`, table, column)[0]
			other := map[string]string{
				"bigint": column + ` + 1`, "text": `coalesce(` + column + `, '') || 'x'`, "bytea": `coalesce(` + column + `, '') || '\x01'`,
				"json": `('[' || coalesce(` + column + `::text, '0') || ']')::json`,
			}[kind]
			// The row with the greatest value, so that no other has the key that it
			// gets.
			by := map[bool]string{true: column + "::text", false: column}[kind == "json"]
			row := query(t, address, `SELECT ctid::text FROM `+table+` ORDER BY `+by+` DESC, ctid LIMIT 1`)[0]
			conn := connect(t, address)
			var now string
			err := conn.QueryRow(t.Context(), `UPDATE `+table+` SET `+column+` = `+other+` WHERE ctid = $1::text::tid RETURNING ctid::text`, row).Scan(&now)
			if err = errors.Join(err, conn.Close(t.Context())); err != nil {
				t.Fatalf("%s.%s: %v", table, column, err)
			}
			if got := problems(t, s); !strings.Contains(strings.Join(got, "\n"), "damaged row: table "+table+",") {
				t.Errorf("a change of %s.%s is not found: %q", table, column, got)
			}
			// As it was: from the copy.
			restore(t, whole, address, table)
		}
	}
}

// restore makes a table as it is in another database.
func restore(t *testing.T, from, to, table string) {
	t.Helper()
	source, target := connect(t, from), connect(t, to)
	ctx := t.Context()
	defer source.Close(ctx) // there are many
	defer target.Close(ctx)
	var rows string
	if err := source.QueryRow(ctx, `SELECT coalesce(json_agg(t), '[]')::text FROM `+table+` t`).Scan(&rows); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Exec(ctx, `TRUNCATE `+table); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Exec(ctx, `INSERT INTO `+table+` SELECT * FROM json_populate_recordset(NULL::`+table+`, $1::text::json)`, rows); err != nil {
		t.Fatal(err)
	}
	source.Close(ctx)
	target.Close(ctx)
}
