package move

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Side is one of the two stores, with its rows as they are stored.
type Side interface {
	store.Store
	// Name names the store for people, without a password.
	Name() string
	// Count returns how many rows a table has.
	Count(ctx context.Context, t *tables.Table) (int64, error)
	// Keys returns the keys of a table's rows after a key (nil: from the
	// first), in order by bytes, at most limit, and after each key the row's sum.
	Keys(ctx context.Context, t *tables.Table, after []any, limit int) ([][]any, error)
	// Row returns a row with its sum, sound or not; nil if there is none.
	Row(ctx context.Context, t *tables.Table, key []any) ([]any, error)
}

// Source is the side that is moved from.
type Source interface {
	Side
	// Fence shuts out who writes until Mark, and returns the source's id, which
	// stays the same, and where it was moved to, "" if it was not. A source
	// without id gets the one that name makes, durably, before it is fenced.
	Fence(ctx context.Context, name func() string) (id, target string, err error)
	// Mark makes the source one that was moved, for ever, and ends the fence. It
	// is durable when Mark returns nil.
	Mark(ctx context.Context, target string) error
}

// Target is the side that is moved to. Its Store can be used after Begin.
type Target interface {
	Side
	// State tells the id of the source of which the target has a move, "" for
	// none, whether that is finished, and whether it holds nothing.
	State(ctx context.Context) (id string, finished, empty bool, err error)
	// Begin makes an empty target that of an unfinished move, which nobody can
	// write or open, or goes on with one; others are refused.
	Begin(ctx context.Context, id string) error
	// Fit replaces in a row what the target can't keep, and names the columns.
	Fit(t *tables.Table, row []any) (emptied []string)
	// Insert adds rows that are not there: all or none, durably.
	Insert(ctx context.Context, t *tables.Table, rows [][]any) error
	// Refused reports whether Insert failed by what the rows are.
	Refused(err error) bool
	// Delete removes the rows with these keys.
	Delete(ctx context.Context, t *tables.Table, keys [][]any) error
	// Finish makes the target a store like any other. It is durable when Finish
	// returns nil.
	Finish(ctx context.Context) error
}

// Config is what a move needs.
type Config struct {
	Source Source
	Target Target
	// Check looks for problems in a store. Default: its own Check.
	Check func(ctx context.Context, s store.Store, report func(problem string)) error
	// WithDamage takes damaged rows along, as they are. Default: a source with
	// problems is refused.
	WithDamage bool
	// Seed chooses the sample.
	Seed uint64
	// Progress is told how far the move is, often. Default: nobody is told.
	Progress func(Progress)
	// Problem is told of each problem of the source, and of each difference.
	// Default: nobody is told.
	Problem func(string)
}

// Progress is how far a move is.
type Progress struct {
	// Phase is one of those below, in that order.
	Phase string
	// Table is what is worked on, in the phases that go from table to table; Done
	// and Total are its rows.
	Table       string
	Done, Total int64
}

// The phases of a move.
const (
	PhaseFence       = "fence"        // the lock of the source is waited for
	PhaseCheckSource = "check_source" // the source is checked
	PhaseClear       = "clear"        // what the target has too much is deleted
	PhaseCopy        = "copy"         // what it lacks is copied
	PhaseCompare     = "compare"      // both are compared
	PhaseCheckTarget = "check_target" // the target is checked
	PhaseMark        = "mark"         // the source is marked
	PhaseFinish      = "finish"       // the target is opened for all
)

// Result is what a move did.
type Result struct {
	// ID names the move; both stores remember it.
	ID string `json:"id"`
	// Before says that the move was finished before and nothing was done.
	Before bool          `json:"finished_before"`
	Tables []TableResult `json:"tables"`
	// Scopes is how many scopes have the same head on both sides.
	Scopes int `json:"scopes"`
	// Seed chose the sample, of Sample rows that are the same byte for byte.
	Seed   uint64 `json:"seed"`
	Sample int    `json:"sample"`
	// Problems are those of the source, which the target has too.
	Problems []string `json:"problems"`
	// Emptied are the rows that this run copied and that have columns that the
	// target can't keep. What these held is in the source alone.
	Emptied []string `json:"emptied"`
}

// TableResult is what was done with one table.
type TableResult struct {
	Name string `json:"name"`
	// Rows is how many rows both sides have, Copied and Deleted how many this run
	// wrote.
	Rows    int64 `json:"rows"`
	Copied  int64 `json:"copied"`
	Deleted int64 `json:"deleted"`
}

// mover is a move that runs.
type mover struct {
	Config
	result   Result
	problems map[string]bool // of the source
}

// Run moves the source to the target, or brings a move that was begun to its
// end. Errors have the codes store_moved (the source was moved elsewhere),
// store_occupied (the target is of something else, and was left as it is),
// store_damaged (the source has problems) and store_differs (after copying, the
// two are not the same); after each of them, and all others, the source is as it
// was and in force.
func Run(ctx context.Context, c Config) (Result, error) {
	if c.Check == nil {
		c.Check = func(ctx context.Context, s store.Store, report func(string)) error { return s.Check(ctx, report) }
	}
	if c.Progress == nil {
		c.Progress = func(Progress) {}
	}
	if c.Problem == nil {
		c.Problem = func(string) {}
	}
	m := &mover{Config: c, result: Result{Seed: c.Seed, Tables: []TableResult{}, Problems: []string{}, Emptied: []string{}}, problems: map[string]bool{}}
	if err := m.run(ctx); err != nil {
		return m.result, fmt.Errorf("move %s to %s: %w", c.Source.Name(), c.Target.Name(), err)
	}
	return m.result, nil
}

func (m *mover) run(ctx context.Context) error {
	had, finished, empty, err := m.Target.State(ctx)
	if err != nil {
		return err
	}
	if had == "" && !empty {
		return occupied("it holds rows that no move brought")
	}
	m.Progress(Progress{Phase: PhaseFence})
	id, moved, err := m.Source.Fence(ctx, rand.Text)
	if err != nil {
		return err
	}
	m.result.ID = id
	switch {
	case moved != "" && had != id:
		return fmt.Errorf("to %s: %w", moved, store.ErrMoved)
	case had != "" && had != id:
		return occupied("it holds the move of another store")
	case moved != "" && finished:
		m.result.Before = true
		return nil
	case finished:
		return occupied("this store was moved into it before, and put back from a backup since")
	}
	if err := m.checkSource(ctx); err != nil {
		return err
	}
	if err := m.Target.Begin(ctx, id); err != nil {
		return err
	}
	for _, t := range tables.All() {
		if err := m.table(ctx, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	if err := m.verify(ctx); err != nil {
		return err
	}
	// From here on, nobody writes the source. Until the next line but one,
	// nobody can write the target.
	if moved == "" {
		m.Progress(Progress{Phase: PhaseMark})
		if err := m.Source.Mark(ctx, m.Target.Name()); err != nil {
			return err
		}
	}
	m.Progress(Progress{Phase: PhaseFinish})
	return m.Target.Finish(ctx)
}

func occupied(why string) error {
	return syncproto.Errorf(syncproto.CodeStoreOccupied, "%s", why)
}

// checkSource looks for problems of the source before anything is written.
func (m *mover) checkSource(ctx context.Context) error {
	m.Progress(Progress{Phase: PhaseCheckSource})
	err := m.Check(ctx, m.Source, func(problem string) {
		if m.problems[problem] {
			return
		}
		m.problems[problem] = true
		m.result.Problems = append(m.result.Problems, problem)
		m.Problem(problem)
	})
	if err != nil {
		return err
	}
	if n := len(m.problems); n > 0 && !m.WithDamage {
		return syncproto.Errorf(syncproto.CodeStoreDamaged, "%d problems of the source", n)
	}
	return nil
}
