package storetest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// The scopes of the cases: two districts of one regency, one of another whose
// code begins with the same characters as a shorter one, and two classes.
const (
	home   syncproto.Scope = "35.24.14"
	task   syncproto.Scope = "35.24.14/T"
	secret syncproto.Scope = "35.24.14/H"
	next   syncproto.Scope = "35.24.02"
	far    syncproto.Scope = "35.02.14"
	other  syncproto.Scope = "36.01.01"
)

// bench is a store under test.
type bench struct {
	*testing.T
	s store.Store
}

// id returns the n-th record id.
func id(n int) syncproto.RecordID {
	sum := sha256.Sum256([]byte("record " + strconv.Itoa(n)))
	var out syncproto.RecordID
	binary.BigEndian.PutUint32(out[:], uint32(n)) //nolint:gosec // small
	copy(out[4:], sum[:])
	out[6], out[8] = out[6]&0x0f|0x70, out[8]&0x3f|0x80
	return out
}

func digest(text string) syncproto.Digest { return sha256.Sum256([]byte(text)) }

// must ends the case if err is not nil. It is for the case's own goroutine.
func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// wants reports an error that is not the wanted one.
func (b *bench) wants(err, want error) {
	b.Helper()
	if !errors.Is(err, want) {
		b.Errorf("error is %v, want %v", err, want)
	}
}

// step makes a step of one scope.
func step(scope string, do func(store.Tx) error) store.Step {
	return store.Step{Scopes: []string{scope}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, do(tx) }}
}

// update runs one step of one scope.
func (b *bench) update(scope string, do func(store.Tx) error) error {
	return b.s.Update(b.Context(), step(scope, do))
}

// view runs fn on a snapshot.
func (b *bench) view(fn func(store.Reader) error) {
	b.Helper()
	b.must(b.s.View(b.Context(), fn))
}

// all collects what an iterator yields.
func all[T any](seq iter.Seq2[T, error]) ([]T, error) {
	var out []T
	for v, err := range seq {
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// feed returns the rows of a scope in (after, upTo].
func (b *bench) feed(scope syncproto.Scope, after, upTo uint64) []store.Row {
	b.Helper()
	var rows []store.Row
	b.view(func(r store.Reader) (err error) {
		rows, err = all(r.Feed(scope, after, upTo))
		return err
	})
	return rows
}

// head returns the head of a scope.
func (b *bench) head(scope syncproto.Scope) uint64 {
	b.Helper()
	var seq uint64
	b.must(b.update(string(scope), func(tx store.Tx) (err error) {
		seq, err = tx.Head(scope)
		return err
	}))
	return seq
}

// row is a plain live row.
func row(scope syncproto.Scope, id syncproto.RecordID, seq uint64) store.Row {
	return store.Row{
		Scope: scope, ID: id, Kind: "inspection", Seq: seq, Entered: seq, State: []byte("state"), Doc: []byte(`{"a":1}`),
		Agency: "imigrasi", Officer: "officer-1", CreatedAt: 1_000, UpdatedAt: 1_000,
	}
}

// change is the journal entry of a row.
func change(r store.Row) store.Change {
	ops := fmt.Appendf(nil, "ops of %s at %d", r.ID, r.Seq)
	return store.Change{
		Scope: r.Scope, Seq: r.Seq, ID: r.ID, Device: "device-1", Officer: r.Officer, Agency: r.Agency, Ops: ops, Digest: sha256.Sum256(ops), At: r.UpdatedAt,
	}
}

// put writes rows with their journal entries, at the sequences that they have.
func put(tx store.Tx, rows ...store.Row) error {
	changes := make([]store.Change, len(rows))
	for i, r := range rows {
		changes[i] = change(r)
	}
	if err := tx.Put(rows[0].Scope, rows); err != nil {
		return err
	}
	return tx.Append(rows[0].Scope, changes)
}

// add writes rows of one scope at the sequences after its head, in order.
func (b *bench) add(rows ...store.Row) {
	b.Helper()
	scope := rows[0].Scope
	b.must(b.update(string(scope), func(tx store.Tx) error {
		head, err := tx.Head(scope)
		if err != nil {
			return err
		}
		out := make([]store.Row, len(rows))
		for i, r := range rows {
			r.Seq = head + 1 + uint64(i) //nolint:gosec // small
			r.Entered = r.Seq
			out[i] = r
		}
		return put(tx, out...)
	}))
}

// edit changes the live row that a scope has of a record, or a fresh one, as
// the engine does: head, row, write. It reports where the record is if it is
// not at home here.
func edit(tx store.Tx, scope syncproto.Scope, id syncproto.RecordID, change func(*store.Row)) (movedTo syncproto.Scope, err error) {
	head, err := tx.Head(scope)
	if err != nil {
		return "", err
	}
	rows, err := tx.Records(scope, []syncproto.RecordID{id})
	if err != nil {
		return "", err
	}
	r := row(scope, id, head+1)
	r.State = nil
	if len(rows) == 1 {
		if rows[0].MovedTo != "" {
			return rows[0].MovedTo, nil
		}
		entered := rows[0].Entered
		r = rows[0]
		r.Seq, r.Entered = head+1, entered
	}
	change(&r)
	return "", put(tx, r)
}

// counter reads and writes a number in the state of a row.
func counter(r *store.Row) int {
	n, _ := strconv.Atoi(string(r.State)) // a fresh row counts from 0
	return n
}

func increment(r *store.Row) { r.State = strconv.AppendInt(nil, int64(counter(r)+1), 10) }

// together runs n functions at once and returns when all have returned. Errors
// are reported.
func (b *bench) together(n int, do func(i int) error) {
	b.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := do(i); err != nil {
				b.Error(err)
			}
		})
	}
	wg.Wait()
}
