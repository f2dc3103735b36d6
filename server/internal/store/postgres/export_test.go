package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// Opened returns how many connections for updates were opened.
func (s *Store) Opened() int64 { return s.writers.Stat().NewConnsCount() }

// Waiting returns how many callers wait for a scope within this process.
func (s *Store) Waiting(scope string) int {
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	return max(len(s.places.queues[scope])-1, 0)
}

// Ask asks a question in a view.
func (s *Store) Ask(ctx context.Context, text string) error {
	return s.view(ctx, func(v *session) error {
		_, err := collect(v, readText, text)
		return err
	})
}

// Lost is a step whose answer was lost.
type Lost struct {
	Conn *pgx.Conn // on which it ran; nil: it is closed
	// Crashed: the server is not what it was.
	Crashed bool
	Xid     string
	Change  *store.Change
}

// Outcome finds out what became of a step, as after a lost answer.
func (s *Store) Outcome(ctx context.Context, l Lost, cause error) (bool, error) {
	t := trace{xid: l.Xid, change: l.Change}
	conn, err := s.writers.Acquire(ctx)
	if err != nil {
		return false, err
	}
	same := backendOf(conn.Conn()).incarnation
	conn.Release()
	if l.Conn != nil {
		if err := assert(ctx, l.Conn); err != nil {
			return false, err
		}
		t.backend = backendOf(l.Conn)
	}
	if t.backend.incarnation = same; l.Crashed {
		t.backend.incarnation = "another"
	}
	return s.outcome(ctx, &t, cause)
}

// Translate makes an error of the server one that callers branch on, and tells
// whether a step runs again after it.
func Translate(code, message string) (err error, again bool) { //nolint:revive // two answers
	err = translate(context.Background(), &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: code, Message: message, Detail: "detail"})
	return err, transient(err, false)
}

// RefuseSettings asserts settings, sound ones but for what change makes of
// them.
func RefuseSettings(change func(version *int, fsync, fullPages, commit, encoding, readOnly *string, standby *bool)) error {
	of := settings{version: minVersion, fsync: "on", fullPages: "on", commit: "on", encoding: "UTF8", readOnly: "off"}
	change(&of.version, &of.fsync, &of.fullPages, &of.commit, &of.encoding, &of.readOnly, &of.standby)
	return of.refuse()
}

// Setting returns a setting of a connection of the store.
func Setting(ctx context.Context, s *Store, pool, name string) string {
	p := s.writers
	if pool == "readers" {
		p = s.readers
	}
	var v string
	if err := p.QueryRow(ctx, `SELECT current_setting($1)`, name).Scan(&v); err != nil {
		return err.Error()
	}
	return v
}

// Tables are the tables with their columns, sum among them.
func Tables() map[string]string {
	out := map[string]string{}
	for _, t := range allTables {
		out[t.Name] = t.List()
	}
	return out
}

// Statements are the writes that are made from the descriptions of the tables.
func Statements() (out []string) {
	for _, t := range allTables {
		out = append(out, t.insert, t.upsert, t.once)
	}
	return out
}

// Reseal gives every row the sum of what it holds now: what a bug of the
// server leaves, and not a bad disk.
func (s *Store) Reseal(ctx context.Context) error {
	conn, err := s.writers.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	v := &session{store: s, conn: conn, ctx: ctx}
	for _, t := range allTables {
		type row struct {
			id  string
			sum int64
		}
		rows, err := collect(v, func(c *tables.Cursor[any]) row {
			id := c.Text(len(c.Row) - 1)
			return row{id, tables.Sum(t.Table, c.Row[:len(c.Row)-2])}
		}, `SELECT `+t.list+`, ctid::text FROM `+t.Name)
		if err != nil {
			return err
		}
		for _, r := range rows {
			if err := v.send(command{text: `UPDATE ` + t.Name + ` SET sum = $2 WHERE ctid = $1::text::tid`, args: []any{r.id, r.sum}}); err != nil {
				return err
			}
		}
	}
	return nil
}
