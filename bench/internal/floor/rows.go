package floor

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Row is one accepted record: its row in records and its entry in the journal.
type Row struct {
	Scope  string // a district, with a class where the record has one
	Seq    int64  // position in the scope's feed; with the scope it is unique
	ID     [16]byte
	Kind   string
	State  []byte // the encoded record
	Doc    []byte // its projection, JSON
	Ops    []byte // the encoded writes
	Device string
	Actor  string
	At     time.Time // kept to the millisecond
}

// Twin returns the tables records and changes of STORAGE section 3 for SQLite, with the indexes that
// every push maintains, and the rows in them.
func Twin(rows []Row) []Table {
	records := Table{
		Schema: []string{
			`CREATE TABLE records (scope TEXT NOT NULL, id BLOB NOT NULL, kind TEXT NOT NULL, seq INTEGER NOT NULL,
				state BLOB NOT NULL, doc TEXT NOT NULL, conflicts INTEGER NOT NULL DEFAULT 0, deleted INTEGER NOT NULL DEFAULT 0,
				moved_to TEXT, updated_at INTEGER NOT NULL, PRIMARY KEY (scope, id)) STRICT`,
			`CREATE UNIQUE INDEX records_seq ON records (scope, seq)`,
			`CREATE INDEX records_id ON records (id)`,
		},
		Insert: `INSERT INTO records (scope, id, kind, seq, state, doc, conflicts, deleted, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 0, 0, $7)`,
	}
	changes := Table{
		Schema: []string{
			`CREATE TABLE changes (scope TEXT NOT NULL, seq INTEGER NOT NULL, id BLOB NOT NULL, device TEXT NOT NULL, actor TEXT NOT NULL,
				ops BLOB NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (scope, seq)) STRICT, WITHOUT ROWID`,
		},
		Insert: `INSERT INTO changes (scope, seq, id, device, actor, ops, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
	}
	for _, r := range rows {
		at := r.At.UnixMilli()
		records.Rows = append(records.Rows, []any{r.Scope, r.ID[:], r.Kind, r.Seq, r.State, string(r.Doc), at})
		changes.Rows = append(changes.Rows, []any{r.Scope, r.Seq, r.ID[:], r.Device, r.Actor, r.Ops, at})
	}
	return []Table{records, changes}
}

// Load reads tables of a finished SQLite database, such as the server's after a push, so that the floor
// inserts the very rows that the server did, into the same tables with the same indexes. Rows come in the
// order of the table's rowid or primary key. The database is opened for reading only.
func Load(ctx context.Context, path string, names ...string) (tables []Table, err error) {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro")
	if err != nil {
		return nil, fmt.Errorf("load rows of %q: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, name := range names {
		t, err := load(ctx, db, name)
		if err != nil {
			return nil, fmt.Errorf("load table %s of %q: %w", name, path, err)
		}
		tables = append(tables, t)
	}
	return tables, nil
}

func load(ctx context.Context, db *sql.DB, name string) (t Table, err error) {
	if t.Schema, err = strs(ctx, db, `SELECT sql FROM sqlite_schema WHERE tbl_name = $1 AND type IN ('table', 'index') AND sql IS NOT NULL
		ORDER BY type = 'table' DESC, rowid`, name); err != nil {
		return t, err
	}
	columns, err := strs(ctx, db, `SELECT '"' || name || '"' FROM pragma_table_xinfo($1) WHERE hidden = 0 ORDER BY cid`, name)
	if err != nil {
		return t, err
	}
	if len(t.Schema) == 0 || len(columns) == 0 {
		return t, errors.New("no such table")
	}
	places := make([]string, len(columns))
	for i := range places {
		places[i] = fmt.Sprintf("$%d", i+1)
	}
	list := strings.Join(columns, ", ")
	t.Insert = fmt.Sprintf(`INSERT INTO "%s" (%s) VALUES (%s)`, name, list, strings.Join(places, ", "))
	rows, err := db.QueryContext(ctx, fmt.Sprintf(`SELECT %s FROM "%s"`, list, name))
	if err != nil {
		return t, err
	}
	defer rows.Close()
	for rows.Next() {
		row, to := make([]any, len(columns)), make([]any, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := rows.Scan(to...); err != nil {
			return t, err
		}
		t.Rows = append(t.Rows, row)
	}
	return t, rows.Err()
}

// strs returns the one column of a query.
func strs(ctx context.Context, db *sql.DB, query string, args ...any) (out []string, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
