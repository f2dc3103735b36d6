package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Target is a database into which the rows of another store are moved. It is
// not safe for concurrent use; the store that it embeds, once Begin has
// returned, is.
//
// Until the move is finished, the table of the counters has another name. Every
// step of every server locks a counter first, so none writes meanwhile, whatever
// its version and however long it has had the database open; and Open refuses.
type Target struct {
	*Store
	options  Options
	config   *pgxpool.Config
	conn     *pgx.Conn
	version  int64 // of the tables, 0 for none
	id       string
	begun    bool // the counters have their other name
	finished bool
}

const (
	// hiddenHeads is the name of the counters while a move is not finished.
	hiddenHeads = "unfinished_scopes"
	// moveLockID is the advisory lock of who moves: lockID and one.
	moveLockID = lockID + 1
)

// unfinished reports whether a move into the schema is not finished.
func unfinished(ctx context.Context, conn *pgx.Conn) (yes bool, err error) {
	err = conn.QueryRow(ctx, `SELECT to_regclass(quote_ident(current_schema()) || '.`+hiddenHeads+`') IS NOT NULL`).Scan(&yes)
	return yes, err
}

// whole refuses a schema into which a move is not finished.
func whole(ctx context.Context, conn *pgx.Conn) error {
	yes, err := unfinished(ctx, conn)
	if err == nil && yes {
		err = store.ErrUnfinished
	}
	return err
}

// OpenTarget connects to the database that url names, and finds out what it
// holds. It changes nothing. What Open refuses it refuses too, but for a
// database whose move is not finished. One process at a time has a target;
// others get store.ErrBusy.
func OpenTarget(ctx context.Context, url string, o Options) (_ *Target, err error) {
	x := &Target{options: o.withDefaults()}
	if x.config, err = pgxpool.ParseConfig(url); err != nil {
		return nil, errors.New("open store: the address of the database is not a PostgreSQL URL or connection string")
	}
	prepare(x.config)
	if err := x.open(ctx); err != nil {
		return nil, errors.Join(x.named(ctx, "open", err), x.Close())
	}
	return x, nil
}

// Name names the database for people.
func (x *Target) Name() string { return "postgres:" + nameOf(&x.config.ConnConfig.Config) }

func (x *Target) named(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s store %s: %w", what, nameOf(&x.config.ConnConfig.Config), hide(translate(ctx, err), x.config.ConnConfig.Password))
}

func (x *Target) open(ctx context.Context) (err error) {
	if x.conn, err = pgx.ConnectConfig(ctx, x.config.ConnConfig); err != nil {
		return err
	}
	if _, err := set(ctx, x.conn, x.options, planTables); err != nil {
		return err
	}
	// Nobody waits for what is done here but who moves.
	if _, err := x.conn.Exec(ctx, `SET statement_timeout = 0`); err != nil {
		return err
	}
	// The server may not know yet that a move which was killed is gone: it is
	// waited for, as long as for a lock.
	switch _, err := x.conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(moveLockID)); {
	case lockedOut(translate(ctx, err)):
		return fmt.Errorf("another process moves a store into this database: %w", store.ErrBusy)
	case err != nil:
		return err
	}
	if x.version, err = versionOf(ctx, x.conn); err != nil || x.version == 0 {
		return err
	}
	if x.version != schemaVersion {
		return fmt.Errorf("tables are of version %d, this program moves into those of %d", x.version, schemaVersion)
	}
	return x.remember(ctx)
}

// remember reads what the database remembers of a move into it.
func (x *Target) remember(ctx context.Context) (err error) {
	if x.begun, err = unfinished(ctx, x.conn); err != nil {
		return err
	}
	var there bool
	if err := x.conn.QueryRow(ctx, `SELECT to_regclass(quote_ident(current_schema()) || '.sambang_move') IS NOT NULL`).Scan(&there); err != nil || !there {
		return err
	}
	if err := x.conn.QueryRow(ctx, `SELECT id FROM sambang_move`).Scan(&x.id); err != nil {
		return err
	}
	x.finished = !x.begun
	return nil
}

// State tells whose move the database knows of, "" for none, whether that is
// finished, and whether there is no row in it that a move would replace.
func (x *Target) State(ctx context.Context) (id string, finished, empty bool, err error) {
	if x.version == 0 {
		return "", false, true, nil
	}
	empty, err = x.empty(ctx, x.conn)
	return x.id, x.finished, empty, x.named(ctx, "read", err)
}

// empty reports whether no table has a row, but for counters that were never
// raised: a server that only started makes some.
func (x *Target) empty(ctx context.Context, q interface {
	QueryRow(context.Context, string, ...any) pgx.Row
}) (bool, error) {
	for _, from := range append(x.relations(), `servers`) { // or a server has made it its own
		if from == scopesTable.Name || from == hiddenHeads {
			from += ` WHERE seq > 0`
		}
		// Not EXISTS (SELECT FROM …), which Citus does not take.
		var one int
		switch err := q.QueryRow(ctx, `SELECT 1 FROM `+from+` LIMIT 1`).Scan(&one); {
		case err == nil:
			return false, nil
		case !errors.Is(err, pgx.ErrNoRows):
			return false, err
		}
	}
	return true, nil
}

// relations are the present names of the tables.
func (x *Target) relations() (out []string) {
	for _, t := range allTables {
		out = append(out, x.relation(t.Table))
	}
	return out
}

// relation is the present name of a table.
func (x *Target) relation(t *tables.Table) string {
	if t == tables.Scopes && x.begun {
		return hiddenHeads
	}
	return t.Name
}

// Begin makes the database that of an unfinished move with that id, or goes on
// with it. A database that holds rows of anything else is refused with the code
// store_occupied, and left as it is.
func (x *Target) Begin(ctx context.Context, id string) error {
	if !x.begun {
		if err := x.begin(ctx, id); err != nil {
			return x.named(ctx, "move into", err)
		}
	}
	if x.id != id || x.finished {
		return x.named(ctx, "move into", errOccupied())
	}
	return x.named(ctx, "move into", x.openStore(ctx))
}

func (x *Target) begin(ctx context.Context, id string) error {
	if x.finished {
		return errOccupied()
	}
	if x.version == 0 {
		if err := migrate(ctx, x.config.ConnConfig); err != nil {
			return err
		}
		x.version = schemaVersion
	}
	err := pgx.BeginFunc(ctx, x.conn, func(tx pgx.Tx) error {
		// Who holds a counter has written; who comes later waits here.
		if _, err := tx.Exec(ctx, `LOCK TABLE scopes IN ACCESS EXCLUSIVE MODE`); err != nil {
			return err
		}
		switch empty, err := x.empty(ctx, tx); {
		case err != nil:
			return err
		case !empty:
			return errOccupied()
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE sambang_move (id text COLLATE "C" NOT NULL PRIMARY KEY)`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO sambang_move (id) VALUES ($1)`, id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `ALTER TABLE scopes RENAME TO `+hiddenHeads)
		return err
	})
	if err != nil {
		return err
	}
	x.id, x.begun = id, true
	return nil
}

// openStore opens the store for reading: on its connections a view has the
// counters' usual name.
func (x *Target) openStore(ctx context.Context) (err error) {
	s := newStore(x.config, x.options)
	x.Store = s
	for _, p := range []**pgxpool.Pool{&s.writers, &s.readers} {
		if *p, err = s.pool(ctx, x.config, 1, planTables, `CREATE TEMP VIEW scopes AS SELECT * FROM `+hiddenHeads); err != nil {
			return err
		}
	}
	return nil
}

// errOccupied is the refusal of a database with other rows.
func errOccupied() error {
	return syncproto.Errorf(syncproto.CodeStoreOccupied, "the database holds rows that are not of this move")
}

// Finish makes the database a store like any other.
func (x *Target) Finish(ctx context.Context) error {
	if x.Store != nil { // its views of the counters would go on under the old name
		if err := x.Store.Close(); err != nil {
			return err
		}
		x.Store = nil
	}
	// The first pages are planned by what is there, and not by what an empty
	// table is taken for.
	_, err := x.conn.Exec(ctx, `ANALYZE `+hiddenHeads+`, `+strings.Join(counted(), `, `))
	if err == nil {
		_, err = x.conn.Exec(ctx, `ALTER TABLE `+hiddenHeads+` RENAME TO scopes`)
	}
	if err == nil {
		x.begun, x.finished = false, true
	}
	return x.named(ctx, "finish the move into", err)
}

// counted are the tables of the contract but for the counters.
func counted() (names []string) {
	for _, t := range tables.All() {
		if t != tables.Scopes {
			names = append(names, t.Name)
		}
	}
	return names
}

// Close closes the connections. What was not finished stays so.
func (x *Target) Close() error {
	var errs []error
	if x.Store != nil {
		errs = append(errs, x.Store.Close())
	}
	if x.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), cancelTime)
		defer cancel()
		errs = append(errs, x.conn.Close(ctx))
	}
	return errors.Join(errs...)
}

// Count returns how many rows a table has.
func (x *Target) Count(ctx context.Context, t *tables.Table) (int64, error) {
	found, err := x.ask(ctx, `SELECT count(*) FROM `+x.relation(t))
	if err != nil {
		return 0, err
	}
	n, _ := found[0][0].(int64)
	return n, nil
}

// Keys returns the keys of a table's rows after a key (nil: from the first), in
// order, at most limit, and after each key the row's sum.
func (x *Target) Keys(ctx context.Context, t *tables.Table, after []any, limit int) ([][]any, error) {
	key := strings.Join(t.Key, ", ")
	text := `SELECT ` + key + `, ` + tables.SumColumn + ` FROM ` + x.relation(t)
	if after != nil {
		text += ` WHERE (` + key + `) > (` + slots(len(after), ", ") + `)`
	}
	text += ` ORDER BY ` + key + ` LIMIT $` + strconv.Itoa(len(after)+1)
	return x.ask(ctx, text, append(slices.Clone(after), int64(limit))...)
}

func slots(n int, sep string) string {
	out := make([]string, n)
	for i := range out {
		out[i] = "$" + strconv.Itoa(i+1)
	}
	return strings.Join(out, sep)
}

// Row returns a row with its sum as it is stored, sound or not; nil if there is
// none.
func (x *Target) Row(ctx context.Context, t *tables.Table, key []any) ([]any, error) {
	rows, err := x.ask(ctx, `SELECT `+describedAs(t).list+` FROM `+x.relation(t)+` WHERE `+keyIs(t), key...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

func describedAs(described *tables.Table) *table {
	i := slices.IndexFunc(allTables[:], func(t *table) bool { return t.Table == described })
	return allTables[i]
}

// keyIs is the condition that a row has a key.
func keyIs(t *tables.Table) string {
	var all []string
	for i, name := range t.Key {
		all = append(all, name+" = $"+strconv.Itoa(i+1))
	}
	return strings.Join(all, " AND ")
}

func (x *Target) ask(ctx context.Context, text string, args ...any) ([][]any, error) {
	var out [][]any
	err := exchange(ctx, x.conn, nil, []command{{text: text, args: args, scan: func(c *cursor) bool {
		out = append(out, slices.Clone(c.Row))
		return true
	}}})
	return out, x.named(ctx, "read", err)
}

// Insert adds rows that are not there, with their sums as they are. All of them
// are added, or none.
func (x *Target) Insert(ctx context.Context, t *tables.Table, rows [][]any) error {
	_, err := x.conn.CopyFrom(ctx, pgx.Identifier{x.relation(t)}, append(t.Names(), tables.SumColumn), pgx.CopyFromRows(rows))
	return x.named(ctx, "write table "+t.Name+" of", err)
}

// Delete removes the rows with these keys.
func (x *Target) Delete(ctx context.Context, t *tables.Table, keys [][]any) error {
	commands := make([]command, len(keys))
	for i, key := range keys {
		commands[i] = command{text: `DELETE FROM ` + x.relation(t) + ` WHERE ` + keyIs(t), args: key}
	}
	return x.named(ctx, "clear table "+t.Name+" of", exchange(ctx, x.conn, nil, commands))
}

// Refused reports whether the database said of rows that they can't be kept, and
// that will be so again.
func (x *Target) Refused(err error) bool {
	var e *pgconn.PgError
	var f *failure
	code := ""
	switch {
	case errors.As(err, &f):
		code = f.code
	case errors.As(err, &e):
		code = e.Code
	}
	return strings.HasPrefix(code, "22") || strings.HasPrefix(code, "23")
}

// Fit puts something else into the columns of a row that have what no column
// here can have, and names them. Only a row that is damaged, or holds U+0000,
// has any. Its sum stays, so that the row is known as damaged here too.
func (x *Target) Fit(t *tables.Table, row []any) (emptied []string) {
	for i, c := range t.Columns {
		if fits(c, row[i]) {
			continue
		}
		row[i] = map[tables.Kind]any{tables.Int: int64(0), tables.Text: "?", tables.Blob: []byte{}, tables.JSON: "null"}[c.Kind]
		emptied = append(emptied, c.Name)
	}
	if _, ok := row[len(t.Columns)].(int64); !ok {
		row[len(t.Columns)] = int64(0)
	}
	return emptied
}

func fits(c tables.Column, v any) bool {
	switch v := v.(type) {
	case nil:
		return c.Null
	case int64:
		return c.Kind == tables.Int
	case []byte:
		return c.Kind == tables.Blob
	case string:
		return !unheard(v) && (c.Kind == tables.Text || c.Kind == tables.JSON && json.Valid([]byte(v)))
	}
	return false
}
