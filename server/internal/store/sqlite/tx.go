package sqlite

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// tx is one step. It implements [store.Tx].
type tx struct {
	session
	scopes []string
	heads  []*head
	rows   int // written, for the bound of a group
}

// head is the counter of a scope within a step.
type head struct {
	scope  string
	before uint64 // as the step found it
	now    uint64
	stored uint64 // as the table has it
	// taken marks the sequences after before that a row or a change took.
	taken []bool
}

// holds returns an error if the step did not name the scope.
func (t *tx) holds(scope string) error {
	if t.err != nil {
		return t.err
	}
	if !slices.Contains(t.scopes, scope) {
		return fmt.Errorf("scope %q: %w", scope, store.ErrScope)
	}
	return nil
}

// end checks the sequences of the step and stores the heads.
func (t *tx) end() error {
	for _, h := range t.heads {
		if got := uint64(len(h.taken)); got != h.now-h.before || slices.Contains(h.taken, false) {
			return fmt.Errorf("scope %q from %d to %d: %w", h.scope, h.before, h.now, store.ErrSequence)
		}
	}
	if err := t.storeHeads(); err != nil {
		return err
	}
	return t.err
}

func (t *tx) storeHeads() error {
	for _, h := range t.heads {
		if h.now == h.stored {
			continue
		}
		values, err := tables.Head(h.scope, h.now)
		if err != nil {
			return t.keep(err)
		}
		if _, err := t.exec(scopesTable.upsert, values...); err != nil {
			return err
		}
		h.stored = h.now
	}
	return nil
}

// head returns the counter of a scope that the step holds. The transaction
// holds the file's write lock, so what it reads is the last commit.
func (t *tx) head(scope string) (*head, error) {
	if err := t.holds(scope); err != nil {
		return nil, err
	}
	for _, h := range t.heads {
		if h.scope == scope {
			return h, nil
		}
	}
	seq, err := t.counter(scope)
	stored := seq
	if isNotFound(err) || errors.Is(err, store.ErrDamaged) {
		// Also of a counter whose row is under a damaged name.
		seq, err = t.counted(scope)
	}
	if err != nil {
		return nil, err
	}
	h := &head{scope: scope, before: seq, now: seq, stored: stored}
	t.heads = append(t.heads, h)
	return h, nil
}

// counter returns the stored counter of a scope.
func (t *tx) counter(scope string) (seq uint64, err error) {
	err = t.attempt(func() (err error) {
		seq, err = one(&t.session, store.ErrNotFound, func(c *cursor) uint64 {
			c.Must(tables.Scopes)
			return c.Uint(1)
		}, `SELECT `+scopesTable.list+` FROM scopes WHERE scope = ?`, scope)
		return err
	})
	return seq, err
}

// counted returns the greatest sequence that a row or a change of the scope
// has.
func (t *tx) counted(scope string) (uint64, error) {
	return one(&t.session, store.ErrNotFound, func(c *cursor) uint64 { return c.Uint(0) },
		`SELECT max(coalesce((SELECT max(seq) FROM records WHERE scope = ?), 0), coalesce((SELECT max(seq) FROM changes WHERE scope = ?), 0))`, scope, scope)
}

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
