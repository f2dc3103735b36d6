package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Check verifies every invariant of the store: the engine's own of its file,
// and those of the states in it. It calls report with each violation, which
// names ids and never contents.
func (e *Engine) Check(ctx context.Context, report func(problem string)) error {
	if err := e.store.Check(ctx, report); err != nil {
		return fmt.Errorf("check the store: %w", err)
	}
	for _, class := range []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ} {
		if err := e.checkClass(ctx, class, report); err != nil {
			return fmt.Errorf("check the records: %w", err)
		}
	}
	return nil
}

// checkClass looks at the records of all scopes of a class. Damage that ends
// the reading of one scope keeps none of the others from being looked at.
func (e *Engine) checkClass(ctx context.Context, class syncproto.Class, report func(string)) error {
	var heads []store.Head
	err := e.store.View(ctx, func(r store.Reader) (err error) {
		heads, err = r.Heads("", class)
		return err
	})
	for i := 0; err == nil && i < len(heads); i++ {
		err = e.store.View(ctx, func(r store.Reader) error { return e.checkScope(r, heads[i], report) })
		if errors.Is(err, store.ErrDamaged) {
			report(fmt.Sprintf("scope %s can't be read to the end: %v", heads[i].Scope, err))
			err = nil
		}
	}
	if errors.Is(err, store.ErrDamaged) {
		report(fmt.Sprintf("scopes of class %s can't be read: %v", class, err))
		return nil
	}
	return err
}

func (e *Engine) checkScope(r store.Reader, h store.Head, report func(string)) error {
	var last uint64
	for row, err := range r.Feed(h.Scope, 0, h.Seq) {
		if err != nil {
			return err
		}
		if row.Seq <= last {
			report(fmt.Sprintf("scope %s: sequence %d after %d", h.Scope, row.Seq, last))
		}
		last = row.Seq
		if row.Damaged {
			continue // the store's own check has named it
		}
		for _, problem := range e.checkRow(row) {
			report(fmt.Sprintf("scope %s, record %s: %s", h.Scope, row.ID, problem))
		}
	}
	return nil
}

// checkRow returns what is wrong with one row.
func (e *Engine) checkRow(row store.Row) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	if row.MovedTo != "" {
		if ctx, err := wire.DecodeContext(row.State); err != nil || ctx.IsEmpty() {
			bad("marker without a readable context")
		}
		if row.MovedTo == row.Scope {
			bad("marker points to its own scope")
		}
		return problems
	}
	cur, err := decodeCurrent(row)
	if err != nil {
		bad("state can't be read (%s)", syncproto.CodeOf(err))
		return problems
	}
	rec := cur.record
	if rec.ID() != row.ID {
		bad("state is of record %s", rec.ID())
	}
	if rec.Home() != row.Scope {
		bad("home is %s", rec.Home())
	}
	if cur.entered != row.Entered || row.Entered > row.Seq {
		bad("entered at %d, row says %d of %d", cur.entered, row.Entered, row.Seq)
	}
	changedAtSeq := false
	for path, stamp := range cur.stamps {
		if stamp > row.Seq || stamp == 0 {
			bad("stamp %d of a path is not within 1..%d", stamp, row.Seq)
		}
		changedAtSeq = changedAtSeq || stamp == row.Seq
		_ = path
	}
	if !changedAtSeq && !rec.IsPurged() && rec.Len() > 0 {
		bad("no path has the row's sequence %d", row.Seq)
	}
	if rec.IsPurged() != row.Purged {
		bad("purged is %t, row says %t", rec.IsPurged(), row.Purged)
	}
	doc, err := e.project(rec)
	switch {
	case err != nil:
		bad("state can't be projected")
	case !bytes.Equal(doc.json, row.Doc):
		bad("document is not the projection of the state")
	case doc.conflicts != row.Conflicts || doc.deleted != row.Deleted:
		bad("conflicts or deletion differ from the projection")
	}
	if of, ok := rec.Of(); ok && of != row.Of {
		bad("companion of %s, row says %s", of, row.Of)
	}
	return problems
}
