package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// tx is one step. It implements [store.Tx].
type tx struct {
	session
	trace
	scopes []string
	heads  []*head
	// homes are the scopes where records are that the step asked about; "" is
	// nowhere.
	homes map[syncproto.RecordID]syncproto.Scope
}

// head is the counter of a scope within a step.
type head struct {
	scope  string
	before uint64 // as the step found it
	now    uint64
	stored uint64 // as the table has it
	known  bool   // before is right; otherwise the rows are asked
	// taken marks the sequences after before that a row or a change took.
	taken []bool
}

const (
	sqlBegin  = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`
	sqlXid    = `SELECT pg_current_xact_id()::text`
	sqlCommit = `COMMIT`
	// sqlLock takes the counter of a scope until the end of the transaction, and
	// shows it as the last holder left it. It writes no new row, as an upsert
	// would, so a step that changes nothing leaves nothing to clean up.
	sqlLock    = `SELECT scope, seq, sum FROM scopes WHERE scope = $1 FOR UPDATE`
	sqlNewHead = `INSERT INTO scopes (scope, seq, sum) VALUES ($1, $2, $3) ON CONFLICT (scope) DO NOTHING`
	sqlHead    = `UPDATE scopes SET seq = $2, sum = $3 WHERE scope = $1`
)

// stepPatience is longer than what the server allows a statement.
const stepPatience = 2 * statementTime

// begin begins a step's transaction and locks its scopes, in sorted order: one
// round trip, and two more for a scope that is named for the first time. What
// is read afterwards sees all that the last holders committed.
func (s *Store) begin(ctx context.Context, scopes []string) (*tx, error) {
	conn, err := s.writers.Acquire(ctx)
	if err != nil {
		return nil, translate(ctx, err)
	}
	t := &tx{session: session{store: s, conn: conn, ctx: ctx, patience: stepPatience}, trace: trace{backend: backendOf(conn.Conn())}, scopes: scopes}
	missing, err := t.lock()
	if err == nil && len(missing) > 0 {
		err = t.create(missing)
		if err == nil {
			missing, err = t.lock()
		}
		if err == nil && len(missing) > 0 {
			err = fmt.Errorf("scope %q has no counter after it was made", missing[0])
		}
	}
	if err != nil {
		t.leave()
		if broken(err) {
			s.end(ctx, t.backend)
		}
		return nil, err
	}
	return t, nil
}

// lock begins the transaction and takes the counters. It returns the scopes
// that have none.
func (t *tx) lock() (missing []string, err error) {
	t.heads = t.heads[:0]
	var xids []string
	commands := []command{{text: sqlBegin}}
	if t.store.citus.Load() {
		// The number would be that of the coordinator, which writes nothing else.
		commands = append(commands, stepSettings(&t.store.options)...)
	} else {
		commands = append(commands, into(&xids, readText, sqlXid))
	}
	for _, scope := range t.scopes {
		if err := scopesTable.checkText(scope, "scope"); err != nil {
			return nil, err
		}
		h := &head{scope: scope}
		commands = append(commands, command{text: sqlLock, args: []any{scope}, scan: func(c *cursor) bool {
			if h.known = c.Sound(tables.Scopes); h.known {
				h.before = c.Uint(1)
			}
			// A counter that was never raised may be one whose row lost its name.
			h.known = h.known && h.before > 0
			h.now, h.stored = h.before, h.before
			t.heads = append(t.heads, h)
			return true
		}})
	}
	if err := t.send(commands...); err != nil {
		return nil, err
	}
	if len(xids) == 1 {
		t.xid = xids[0]
	}
	for _, scope := range t.scopes {
		if t.find(scope) == nil {
			missing = append(missing, scope)
		}
	}
	return missing, nil
}

// create makes counters in a transaction of their own, so that no step holds
// one scope while it waits for another that is before it in order.
func (t *tx) create(scopes []string) error {
	commands := []command{{text: `ROLLBACK`}}
	for _, scope := range scopes {
		row, err := tables.Head(scope, 0)
		if err != nil {
			return err
		}
		commands = append(commands, command{text: sqlNewHead, args: row})
	}
	return t.send(commands...)
}

func (t *tx) find(scope string) *head {
	i := slices.IndexFunc(t.heads, func(h *head) bool { return h.scope == scope })
	if i < 0 {
		return nil
	}
	return t.heads[i]
}

// holds returns an error if the step did not name the scope.
func (t *tx) holds(scope string) error {
	if t.err != nil {
		return t.err
	}
	if t.find(scope) == nil {
		return fmt.Errorf("scope %q: %w", scope, store.ErrScope)
	}
	return nil
}

// end checks the sequences of the step, stores the heads and commits. Sent says
// that the COMMIT went out, so that an error does not say what became of it.
func (t *tx) end() (sent bool, err error) {
	for _, h := range t.heads {
		if got := uint64(len(h.taken)); got != h.now-h.before || slices.Contains(h.taken, false) {
			return false, t.keep(fmt.Errorf("scope %q from %d to %d: %w", h.scope, h.before, h.now, store.ErrSequence))
		}
	}
	if err := t.storeHeads(); err != nil {
		return false, err
	}
	var tag pgconn.CommandTag
	err = t.send(command{text: sqlCommit, done: func(got pgconn.CommandTag) { tag = got }})
	if err == nil && tag.String() != sqlCommit {
		return false, errors.New("the transaction was undone at its commit")
	}
	return true, err
}

func (t *tx) storeHeads() error {
	for _, h := range t.heads {
		if h.now == h.stored {
			continue
		}
		row, err := tables.Head(h.scope, h.now)
		if err != nil {
			return t.keep(err)
		}
		if err := t.later(command{text: sqlHead, args: row}); err != nil {
			return err
		}
		h.stored = h.now
	}
	return t.err
}

// head returns the counter of a scope that the step holds.
func (t *tx) head(scope string) (*head, error) {
	if err := t.holds(scope); err != nil {
		return nil, err
	}
	h := t.find(scope)
	if !h.known {
		seq, err := one(&t.session, store.ErrNotFound, readInt, sqlCounted, scope)
		if err != nil {
			return nil, err
		}
		h.known = true
		h.before, h.now = uint64(seq), uint64(seq) //nolint:gosec // not negative: the tables check it
	}
	return h, nil
}

// sqlCounted is the greatest sequence that a row or a change of the scope has.
const sqlCounted = `SELECT greatest(coalesce((SELECT max(seq) FROM records WHERE scope = $1), 0), coalesce((SELECT max(seq) FROM changes WHERE scope = $1), 0))`

// maxStep bounds how many sequences one step takes.
const maxStep = 1 << 20

// take marks a sequence as that of a row or a change of the step.
func (h *head) take(seq uint64) error {
	if seq <= h.before || seq-h.before > maxStep || seq > math.MaxInt64 {
		return fmt.Errorf("sequence %d in scope %q at head %d: %w", seq, h.scope, h.before, store.ErrSequence)
	}
	if n := int(seq - h.before); n > len(h.taken) { //nolint:gosec // at most maxStep
		h.taken = append(h.taken, make([]bool, n-len(h.taken))...)
	}
	h.taken[seq-h.before-1] = true
	return nil
}

// write adds rows of one scope to the next round trip: one statement, whatever
// their number.
func (t *tx) write(table *table, text, scope string, rows [][]any, what func() string) error {
	c, err := table.rows(text, scope, rows)
	if err != nil {
		return t.keep(fmt.Errorf("%s: %w", what(), err))
	}
	if len(rows) == 0 {
		return t.err
	}
	c.what = what
	return t.later(c)
}

// Head implements [store.RecordTx].
func (t *tx) Head(scope syncproto.Scope) (uint64, error) {
	h, err := t.head(string(scope))
	if err != nil {
		return 0, err
	}
	return h.now, nil
}

// Heads implements [store.HeadReader].
func (t *tx) Heads(region syncproto.Region, class syncproto.Class) ([]store.Head, error) {
	if err := t.storeHeads(); err != nil {
		return nil, err
	}
	return t.session.Heads(region, class)
}
