package postgres

import (
	"fmt"
	"iter"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// Append implements [store.RecordTx].
func (t *tx) Append(scope syncproto.Scope, changes []store.Change) error {
	h, err := t.head(string(scope))
	if err != nil {
		return err
	}
	values := make([][]any, len(changes))
	for i := range changes {
		c := &changes[i]
		if c.Scope != "" && c.Scope != scope {
			return t.keep(fmt.Errorf("change of scope %q in scope %q: %w", c.Scope, scope, store.ErrScope))
		}
		if err := h.take(c.Seq); err != nil {
			return t.keep(err)
		}
		if values[i], err = tables.Change(scope, c); err != nil {
			return t.keep(fmt.Errorf("append change %d in scope %q: %w", c.Seq, scope, err))
		}
	}
	if n := len(changes); n > 0 {
		t.change = &store.Change{Scope: scope, Seq: changes[n-1].Seq, ID: changes[n-1].ID, Digest: changes[n-1].Digest}
	}
	return t.write(changesTable, changesTable.insert, string(scope), values, func() string {
		return fmt.Sprintf("append %d changes in scope %q", len(changes), scope)
	})
}

// AppendHistory implements [store.RecordTx].
func (t *tx) AppendHistory(scope syncproto.Scope, writes []store.PastWrite) error {
	if err := t.holds(string(scope)); err != nil {
		return err
	}
	values := make([][]any, len(writes))
	for i := range writes {
		w := &writes[i]
		if w.Scope != "" && w.Scope != scope {
			return t.keep(fmt.Errorf("past write of scope %q in scope %q: %w", w.Scope, scope, store.ErrScope))
		}
		var err error
		if values[i], err = tables.PastWrite(scope, w); err != nil {
			return t.keep(fmt.Errorf("append past write %s in scope %q: %w", w.Dot, scope, err))
		}
	}
	return t.write(pastWritesTable, pastWritesTable.once, string(scope), values, func() string {
		return fmt.Sprintf("append %d past writes in scope %q", len(writes), scope)
	})
}

// Statements of an erasure. What is damaged is erased as it is, and stays
// damaged.
const (
	sqlEraseChanges = `UPDATE changes c SET ops = '', sum = u.sum FROM unnest($2::bigint[], $3::bigint[]) AS u (seq, sum) WHERE c.scope = $1 AND c.seq = u.seq`
	sqlEmptyChanges = `UPDATE changes SET ops = '' WHERE scope = $1 AND id = $2 AND length(ops) > 0`
	sqlErasePast    = `UPDATE past_writes p SET value = '', sum = u.sum FROM unnest($2::bytea[], $3::bigint[], $4::bigint[]) AS u (replica, n, sum)
		WHERE p.scope = $1 AND p.replica = u.replica AND p.n = u.n`
	sqlEmptyPast = `UPDATE past_writes SET value = '' WHERE scope = $1 AND id = $2 AND length(value) > 0`
)

// Erase implements [store.RecordTx].
func (t *tx) Erase(scope syncproto.Scope, id syncproto.RecordID) error {
	if err := t.holds(string(scope)); err != nil {
		return err
	}
	var changes []store.Change
	var writes []store.PastWrite
	if err := t.send(
		into(&changes, tables.ReadChange[any], `SELECT `+changesTable.list+` FROM changes WHERE scope = $1 AND id = $2 AND length(ops) > 0`, string(scope), id[:]),
		into(&writes, tables.ReadPastWrite[any], `SELECT `+pastWritesTable.list+` FROM past_writes WHERE scope = $1 AND id = $2 AND length(value) > 0`, string(scope), id[:]),
	); err != nil {
		return fmt.Errorf("find the journal of %s: %w", id, err)
	}
	what := func() string { return fmt.Sprintf("erase the journal of %s", id) }
	var seqs, sums []int64
	for i := range changes {
		if changes[i].Damaged {
			continue
		}
		changes[i].Ops = nil
		row, err := tables.Change(scope, &changes[i])
		if err != nil {
			return t.keep(err)
		}
		seqs, sums = append(seqs, row[tables.Changes.SeqAt].(int64)), append(sums, row[len(row)-1].(int64))
	}
	var replicas [][]byte
	var ns, pastSums []int64
	for i := range writes {
		if writes[i].Damaged {
			continue
		}
		writes[i].Value = nil
		row, err := tables.PastWrite(scope, &writes[i])
		if err != nil {
			return t.keep(err)
		}
		replicas, ns, pastSums = append(replicas, row[1].([]byte)), append(ns, row[2].(int64)), append(pastSums, row[len(row)-1].(int64))
	}
	for _, c := range []command{
		{text: sqlEraseChanges, args: []any{string(scope), seqs, sums}},
		{text: sqlEmptyChanges, args: []any{string(scope), id[:]}},
		{text: sqlErasePast, args: []any{string(scope), replicas, ns, pastSums}},
		{text: sqlEmptyPast, args: []any{string(scope), id[:]}},
	} {
		c.what = what
		if err := t.later(c); err != nil {
			return err
		}
	}
	return nil
}

// Changes implements [store.LogReader].
func (s *session) Changes(id syncproto.RecordID) iter.Seq2[store.Change, error] {
	var at, seq int64
	scope, began := "", false
	return pages(s, tables.ReadChange[any], func(c *cursor) int {
		at, scope, seq, began = c.LooseInt(6), c.LooseText(0), c.LooseInt(1), true
		return len(c.LooseBlob(8))
	}, func(limit int64) (string, []any) {
		if !began {
			return `SELECT ` + changesTable.list + ` FROM changes WHERE id = $1 ORDER BY at, scope, seq LIMIT $2`, []any{id[:], limit}
		}
		return `SELECT ` + changesTable.list + ` FROM changes WHERE id = $1 AND (at, scope, seq) > ($3, $4, $5) ORDER BY at, scope, seq LIMIT $2`, []any{id[:], limit, at, scope, seq}
	})
}

// PastWrites implements [store.LogReader].
func (s *session) PastWrites(id syncproto.RecordID) iter.Seq2[store.PastWrite, error] {
	var hlc, replica []byte
	var n int64
	scope, began := "", false
	return pages(s, tables.ReadPastWrite[any], func(c *cursor) int {
		hlc, replica, n, scope, began = c.LooseBlob(5), c.LooseBlob(1), c.LooseInt(2), c.LooseText(0), true
		return len(c.LooseBlob(11))
	}, func(limit int64) (string, []any) {
		if !began {
			return `SELECT ` + pastWritesTable.list + ` FROM past_writes WHERE id = $1 ORDER BY hlc, replica, n, scope LIMIT $2`, []any{id[:], limit}
		}
		return `SELECT ` + pastWritesTable.list + ` FROM past_writes WHERE id = $1 AND (hlc, replica, n, scope) > ($3, $4, $5, $6) ORDER BY hlc, replica, n, scope LIMIT $2`,
			[]any{id[:], limit, hlc, replica, n, scope}
	})
}
