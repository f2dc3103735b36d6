package postgres_test

import (
	"embed"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

//go:embed migrations/*.sql
var migrations embed.FS

// TestEveryStatementFitsACluster reads the SQL of the engine and holds the
// rules of STORAGE 4, so that what no test here runs on Citus stays in what
// Citus takes. It is as good as what it looks for; see the positive control.
func TestEveryStatementFitsACluster(t *testing.T) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("migrations: %v, %v", files, err)
	}
	for _, name := range files {
		text, err := migrations.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range lintSchema(string(text)) {
			t.Errorf("%s: %s", name, v)
		}
	}
	statements := append(postgres.Statements(), literals(t)...)
	if len(statements) < 60 {
		t.Fatalf("only %d statements were found", len(statements))
	}
	used := map[string]bool{}
	for _, s := range statements {
		for _, v := range lintStatement(s, used) {
			t.Errorf("%s: %s", v, s)
		}
	}
	for _, a := range acrossScopes {
		if !used[a] {
			t.Errorf("the list of reads across scopes has one that nobody makes: %s", a)
		}
	}
}

// literals are the SQL texts of the package's sources. What is added to a text
// by the program stands as "…".
func literals(t *testing.T) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if text := joined(n); isSQL(text) {
					out = append(out, text)
					return false
				}
			case *ast.BasicLit:
				if text := joined(n); isSQL(text) {
					out = append(out, text)
				}
			}
			return true
		})
	}
	return out
}

func joined(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BinaryExpr:
		return joined(e.X) + joined(e.Y)
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil {
			return s
		}
	}
	return "…"
}

var sqlBegin = regexp.MustCompile(`^(SELECT|INSERT INTO|UPDATE|DELETE FROM|MERGE|CREATE|DROP|ALTER|WITH|LOCK|TRUNCATE|COPY) `)

func isSQL(s string) bool { return sqlBegin.MatchString(s) && !strings.HasSuffix(s, "INSERT INTO …") }

// acrossScopes are the reads that ask all nodes of a cluster, by their
// beginning. Each has its reason.
var acrossScopes = []string{
	`SELECT … FROM records WHERE id = ANY($1)`,       // a record wherever it is
	`SELECT … FROM records WHERE moved_to IS NULL`,   // the log of headquarters
	`SELECT … FROM records WHERE of_id = $1`,         // companions, in the scopes of other classes
	`SELECT … FROM scopes WHERE …`,                   // what exists in a region
	`SELECT scope, max(seq) FROM (`,                  // the same, if the counters are damaged
	`SELECT … FROM changes WHERE id = $1`,            // the life of a record
	`SELECT … FROM past_writes WHERE id = $1`,        //
	`SELECT … FROM replicas WHERE replica = ANY($1)`, // whose a replica id is
	`SELECT replica FROM replicas WHERE replica = ANY($1)`,
	`SELECT … FROM replicas ORDER BY scope`,             // the list of devices
	`SELECT … FROM device_seen`,                         //
	`SELECT key FROM quarantine WHERE key = ANY($1)`,    // whether a message came before
	`SELECT … FROM quarantine WHERE key = $1`,           // one message
	`SELECT … FROM quarantine WHERE true`,               // the inbox
	`SELECT at FROM quarantine WHERE key = $1`,          // a place in it
	`SELECT count(*) FROM `,                             // numbers for the wall
	`SELECT coalesce(sum(conflicts), 0)`,                //
	`SELECT scope FROM scopes WHERE seq > 0 UNION`,      // check, from here on
	`SELECT … FROM changes WHERE length(ops) > 0`,       //
	`SELECT … FROM past_writes WHERE length(value) > 0`, //
	`SELECT … FROM …`,                                   // all tables
	`SELECT scope || ' ' || seq FROM records GROUP BY`,  //
	`SELECT r.scope || ' ' || r.seq FROM records r LEFT JOIN scopes s ON s.scope = r.scope`,
	`SELECT c.scope || ' ' || c.seq FROM changes c LEFT JOIN scopes s ON s.scope = c.scope`,
	`SELECT s.scope || ' ' || s.seq FROM scopes s`,
	`SELECT scope || ' ' || seq FROM records WHERE entered_seq`,
	`SELECT encode(id, 'hex') || ': '`,
	`SELECT scope || ' ' || encode(id, 'hex') || ' to itself'`,
	`SELECT encode(id, 'hex') || ' to ' || place`,
	`SELECT scope || ' ' || encode(replica, 'hex') || ': held`,
	`SELECT encode(replica, 'hex') FROM replicas`,
	`SELECT c.scope || ' ' || encode(c.replica, 'hex')`,
	`SELECT encode(key, 'hex') FROM quarantine`,
	`SELECT scope || ': ' || count(*) FROM witnesses`,
	`SELECT 'epochs: '`,
}

var (
	volatile = regexp.MustCompile(`(?i)\b(clock_timestamp|timeofday|random|nextval|gen_random_uuid|statement_timestamp|now|current_timestamp|txid_current|pg_current_xact_id)\b`)
	oneScope = regexp.MustCompile(`(?:\b|\.)scope = \$\d+`)
	written  = regexp.MustCompile(`^(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)`)
	read     = regexp.MustCompile(`\b(?:FROM|JOIN) (\w+)`)
	rescoped = regexp.MustCompile(`(?i)SET (?:[^W]|W[^H])*\bscope = `)
)

// hasScope tells whether a table is distributed by scope.
func hasScope(name string) bool {
	return slices.Contains(servers, name) || slices.ContainsFunc(tables.All(), func(t *tables.Table) bool { return t.Name == name && t.ScopeAt >= 0 })
}

func lintStatement(s string, used map[string]bool) (out []string) {
	if m := written.FindStringSubmatch(s); m != nil {
		if volatile.MatchString(s) {
			out = append(out, "a write with a volatile function")
		}
		if rescoped.MatchString(s) {
			out = append(out, "a write that moves a row to another scope")
		}
		if strings.Contains(s, "SELECT") && strings.HasPrefix(s, "INSERT") && !strings.Contains(s, "FROM scopes s, unnest(") {
			out = append(out, "an INSERT of rows that is not one task on the shard of its scope")
		}
		values := strings.Contains(s, "(scope, ") && strings.Contains(s, "VALUES ($1,")
		if hasScope(m[1]) && !oneScope.MatchString(s) && !values {
			out = append(out, "a write that does not name one scope")
		}
		return out
	}
	if strings.HasPrefix(s, "MERGE") || strings.HasPrefix(s, "WITH RECURSIVE") || strings.Contains(s, "GROUPING SETS") {
		out = append(out, "a statement that a cluster refuses")
	}
	if strings.Contains(s, "FOR UPDATE") && !oneScope.MatchString(s) {
		out = append(out, "locks in more than one scope")
	}
	distributed := strings.Contains(s, "FROM …")
	for _, m := range read.FindAllStringSubmatch(s, -1) {
		distributed = distributed || hasScope(m[1])
	}
	if !distributed || oneScope.MatchString(s) {
		return out
	}
	for _, a := range acrossScopes {
		if strings.HasPrefix(s, a) {
			used[a] = true
			return out
		}
	}
	return append(out, "a read across scopes that is not in the list")
}

var (
	createTable = regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\)`)
	inlineKey   = regexp.MustCompile(`(?m)^\s*(\w+) .*\b(PRIMARY KEY|UNIQUE)\b`)
	tableKey    = regexp.MustCompile(`(?m)^\s*(?:PRIMARY KEY|UNIQUE) \(([^)]*)\)`)
	uniqueIndex = regexp.MustCompile(`CREATE UNIQUE INDEX (?:CONCURRENTLY )?\w+ ON (\w+) \(([^)]*)\)`)
	dropMany    = regexp.MustCompile(`(?i)DROP \w+(?: IF EXISTS)? \w+\s*,`)
	placed      = regexp.MustCompile(`create_(distributed|reference)_table\('(\w+)'`)
	comments    = regexp.MustCompile(`(?m)--.*$`)
)

// lintSchema looks at a migration.
func lintSchema(text string) (out []string) {
	text = comments.ReplaceAllString(text, "")
	where := map[string]string{}
	for _, m := range placed.FindAllStringSubmatch(text, -1) {
		where[m[2]] = m[1]
	}
	key := func(table, columns string) {
		if where[table] == "distributed" && !slices.Contains(strings.Split(columns, ", "), "scope") {
			out = append(out, "a key of "+table+" without scope: "+columns)
		}
	}
	for _, m := range createTable.FindAllStringSubmatch(text, -1) {
		table, body := m[1], m[2]
		if strings.HasPrefix(table, "sambang_") { // of the node that the servers speak to
			continue
		}
		if want := map[bool]string{true: "distributed", false: "reference"}[strings.Contains(body, "\n  scope ")]; where[table] != want {
			out = append(out, "table "+table+" is placed as "+where[table]+", want "+want)
		}
		for _, k := range inlineKey.FindAllStringSubmatch(body, -1) {
			if k[1] != "PRIMARY" && k[1] != "UNIQUE" {
				key(table, k[1])
			}
		}
		for _, k := range tableKey.FindAllStringSubmatch(body, -1) {
			key(table, k[1])
		}
		if strings.Contains(body, "REFERENCES") {
			out = append(out, "table "+table+" has a foreign key")
		}
	}
	for _, m := range uniqueIndex.FindAllStringSubmatch(text, -1) {
		if hasScope(m[1]) && !slices.Contains(strings.Split(m[2], ", "), "scope") {
			out = append(out, "a unique index of "+m[1]+" without scope: "+m[2])
		}
	}
	if m := dropMany.FindString(text); m != "" {
		out = append(out, "several objects in one DROP: "+m)
	}
	if strings.Contains(text, "CREATE TRIGGER") {
		out = append(out, "a trigger")
	}
	return out
}

// TestTheLintFindsViolations is the positive control.
func TestTheLintFindsViolations(t *testing.T) {
	for text, want := range map[string]string{
		"CREATE TABLE x (\n  scope text NOT NULL,\n  id bytea NOT NULL PRIMARY KEY\n);\ncreate_distributed_table('x', 'scope')":                                 "a key of x without scope",
		"CREATE TABLE x (\n  scope text NOT NULL,\n  id bytea NOT NULL,\n  PRIMARY KEY (id)\n);\ncreate_distributed_table('x', 'scope')":                        "a key of x without scope",
		"CREATE TABLE x (\n  scope text NOT NULL PRIMARY KEY,\n  id bytea NOT NULL UNIQUE\n);\ncreate_distributed_table('x', 'scope')":                          "a key of x without scope: id",
		"CREATE TABLE x (\n  scope text NOT NULL,\n  id bytea NOT NULL,\n  PRIMARY KEY (id, scope),\n  UNIQUE (id)\n);\ncreate_distributed_table('x', 'scope')": "a key of x without scope",
		"CREATE TABLE x (\n  scope text NOT NULL PRIMARY KEY\n);":                                                                                               "table x is placed as",
		"CREATE UNIQUE INDEX y ON records (seq);":           "a unique index of records",
		"DROP INDEX a, b;":                                  "several objects",
		"DROP TABLE IF EXISTS a, b;":                        "several objects",
		"CREATE TRIGGER x AFTER INSERT ON records":          "a trigger",
		"CREATE TABLE x (\n  id text REFERENCES y (id)\n);": "foreign key",
	} {
		if got := lintSchema(text); !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"UPDATE records SET deleted = 1 WHERE id = $1":                           "does not name one scope",
		"DELETE FROM changes WHERE seq = $1":                                     "does not name one scope",
		"INSERT INTO records (id, scope) VALUES ($1, $2)":                        "does not name one scope",
		"INSERT INTO records (scope) SELECT $1 FROM unnest($2::bigint[]) AS u":   "not one task",
		"UPDATE scopes SET seq = random() WHERE scope = $1":                      "volatile",
		"UPDATE scopes SET seq = extract(epoch FROM now()) WHERE scope = $1":     "volatile",
		"UPDATE records SET scope = $2 WHERE scope = $1":                         "another scope",
		"SELECT seq FROM scopes WHERE scope = ANY($1) ORDER BY scope FOR UPDATE": "locks in more than one scope",
		"SELECT state FROM records WHERE seq = $1":                               "not in the list",
		"SELECT 1 FROM devices d JOIN replicas r ON true":                        "not in the list",
		"MERGE INTO records USING x":                                             "refuses",
	} {
		if got := lintStatement(text, map[string]bool{}); !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
