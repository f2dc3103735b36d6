package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
)

// Source is a file whose rows are moved to another engine. It is not safe for
// concurrent use; the store that it embeds is.
//
// While it is fenced, nobody writes the file, and everybody reads it: a server
// that has it open refuses writes with store.ErrBusy.
type Source struct {
	*Store
	conn   *conn // has the fence's transaction
	fenced bool
}

// fenceTime is how long a fence waits for a writer to end its transaction.
const fenceTime = time.Minute

// sqlMoves is what a file remembers of its move: one row. target is empty until
// the file was moved there.
const sqlMoves = `CREATE TABLE IF NOT EXISTS sambang_move (id TEXT NOT NULL PRIMARY KEY, target TEXT NOT NULL) STRICT`

// OpenSource opens a file to move its rows. It makes no file, and it opens one
// that was moved before, so that its move can be brought to an end.
func OpenSource(ctx context.Context, path string, o Options) (*Source, error) {
	info, err := os.Stat(path)
	if err == nil && info.Size() == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("open store %q: %w", path, err)
	}
	o.source = true
	if o.BusyTimeout <= 0 {
		o.BusyTimeout = fenceTime
	}
	s, err := Open(ctx, path, o)
	if err != nil {
		return nil, err
	}
	c, err := s.connect(ctx, false)
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	c.damages = nil
	return &Source{Store: s, conn: c}, nil
}

// Name names the file for people.
func (x *Source) Name() string { return "sqlite:" + x.path }

// Fence shuts out who writes, until Mark or Close. It names the move and tells
// where the file was moved to, "" if it was not. The name is durable before
// anything is fenced, is a new one for a file that was never moved from, and
// stays the same ever after.
func (x *Source) Fence(ctx context.Context, name func() string) (id, target string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("fence store %q: %w", x.path, err)
		}
	}()
	if id, target, err = x.begin(ctx); err != nil || id != "" {
		return id, target, err
	}
	s := x.session(ctx)
	if _, err := s.exec(sqlMoves); err != nil {
		return "", "", err
	}
	if _, err := s.exec(`INSERT INTO sambang_move (id, target) VALUES (?, '')`, name()); err != nil {
		return "", "", err
	}
	if err := x.end(sqlCommit); err != nil {
		return "", "", err
	}
	return x.begin(ctx)
}

// begin takes the file's lock and reads what the file remembers.
func (x *Source) begin(ctx context.Context) (id, target string, err error) {
	s := x.session(ctx)
	if _, err := s.exec(sqlBegin); err != nil {
		return "", "", err
	}
	x.fenced = true
	there, err := one(s, store.ErrNotFound, func(c *cursor) int64 { return c.Int(0) }, `SELECT count(*) FROM sqlite_schema WHERE name = 'sambang_move'`)
	if err != nil || there == 0 {
		return "", "", err
	}
	err = s.each(`SELECT id, target FROM sambang_move`, nil, func(c *cursor) bool {
		id, target = c.Text(0), c.Text(1)
		return true
	})
	return id, target, err
}

func (x *Source) session(ctx context.Context) *session { return &session{conn: x.conn, ctx: ctx} }

// end ends the fence's transaction.
func (x *Source) end(text string) error {
	if !x.fenced {
		return nil
	}
	_, err := x.conn.exec(context.Background(), text)
	if err == nil || noTransaction(err) {
		x.fenced = false
	}
	return err
}

// Mark ends the fence and makes the file one that was moved to target, in one
// transaction: no program that has it open or opens it writes its tables again.
// When Mark returns nil, that is durable.
func (x *Source) Mark(ctx context.Context, target string) error {
	s := x.session(ctx)
	for _, t := range allTables {
		for _, event := range [...]string{"INSERT", "UPDATE", "DELETE"} {
			if _, err := s.exec(`CREATE TRIGGER IF NOT EXISTS moved_` + t.Name + `_` + strings.ToLower(event) + ` BEFORE ` + event + ` ON ` + t.Name + ` BEGIN SELECT RAISE(ABORT, 'moved'); END`); err != nil {
				return fmt.Errorf("mark store %q as moved: %w", x.path, err)
			}
		}
	}
	_, err := s.exec(`UPDATE sambang_move SET target = ?`, target)
	if err == nil {
		_, err = s.exec(`PRAGMA user_version = ` + strconv.Itoa(movedVersion+schemaVersion))
	}
	if err == nil {
		err = x.options.Commit(func() error { return x.end(sqlCommit) })
	}
	if err != nil {
		return fmt.Errorf("mark store %q as moved: %w", x.path, err)
	}
	return nil
}

// Close ends the fence, and closes the file.
func (x *Source) Close() error {
	return errors.Join(x.end(sqlRollback), x.conn.close(), x.Store.Close())
}

// Count returns how many rows a table has.
func (x *Source) Count(ctx context.Context, t *tables.Table) (int64, error) {
	return one(x.session(ctx), store.ErrNotFound, func(c *cursor) int64 { return c.Int(0) }, `SELECT count(*) FROM `+t.Name)
}

// Keys returns the keys of a table's rows after a key (nil: from the first), in
// order, at most limit, and after each key the row's sum.
func (x *Source) Keys(ctx context.Context, t *tables.Table, after []any, limit int) ([][]any, error) {
	key := strings.Join(t.Key, ", ")
	text := `SELECT ` + key + `, ` + tables.SumColumn + ` FROM ` + t.Name
	if after != nil {
		text += ` WHERE (` + key + `) > (?` + strings.Repeat(`, ?`, len(t.Key)-1) + `)`
	}
	text += ` ORDER BY ` + key + ` LIMIT ?`
	return collect(x.session(ctx), rowOf, text, append(append([]any{}, after...), int64(limit))...)
}

// Row returns a row with its sum as it is stored, sound or not; nil if there is
// none.
func (x *Source) Row(ctx context.Context, t *tables.Table, key []any) ([]any, error) {
	rows, err := collect(x.session(ctx), rowOf, `SELECT `+t.List()+` FROM `+t.Name+` WHERE `+strings.Join(t.Key, ` = ? AND `)+` = ?`, key...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	return rows[0], nil
}

// rowOf copies the row under the cursor. No bytes are nil for the driver, and
// nothing is.
func rowOf(c *cursor) []any {
	out := make([]any, len(c.Row))
	for i, v := range c.Row {
		if b, ok := v.([]byte); ok && b == nil {
			v = []byte{}
		}
		out[i] = v
	}
	return out
}
