package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func stepCases() []testCase {
	return []testCase{
		{"a step that touches a scope it did not name is refused", unnamedScopes},
		{"a step's transaction is dead after it", deadTx},
		{"a failed step leaves nothing", failedStep},
		{"an error that a step swallows does not commit the half before it", swallowedError},
		{"calls that share a commit do not share a failure", independentCalls},
		{"a step that panics takes only its call along", panickingStep},
		{"steps run in order, and those they return after them", returnedSteps},
		{"a step that runs again finds what the first run found", runsAgain},
		{"a caller may stop waiting, and a running step finishes", givingUp},
		{"what was confirmed is seen by every later view", readYourWrites},
		{"an update without steps is no error", noSteps},
	}
}

// refused are all methods that need a scope, called for one that the step did
// not name.
func refused(tx store.Tx) map[string]error {
	const dev = "device-2"
	e := map[string]error{}
	_, e["Head"] = tx.Head(next)
	_, e["Records"] = tx.Records(next, []syncproto.RecordID{id(1)})
	e["Put"] = tx.Put(next, []store.Row{row(next, id(9), 1)})
	e["Append"] = tx.Append(next, []store.Change{change(row(next, id(9), 1))})
	e["AppendHistory"] = tx.AppendHistory(next, []store.PastWrite{past(next, id(9), 1)})
	e["Erase"] = tx.Erase(next, id(9))
	e["Quarantine"] = tx.Quarantine(string(next), []store.Quarantined{message("x", string(next), 1)})
	e["SetQuarantineState"] = tx.SetQuarantineState(string(next), digest("x"), store.QuarantineClosed, "", "", 1)
	_, e["SetEpoch"] = tx.SetEpoch([16]byte{}, store.Epoch{ID: [16]byte{1}})
	_, e["Replicas"] = tx.Replicas(dev)
	e["PutReplicas"] = tx.PutReplicas(dev, []store.Replica{replica(9)})
	_, e["Steps"] = tx.Steps(dev, 9, 0, 1)
	_, e["PutSteps"] = tx.PutSteps(dev, 9, []store.ChainStep{{N: 1}})
	e["DropSteps"] = tx.DropSteps(dev, 9, 1)
	_, e["Witnesses"] = tx.Witnesses(dev)
	e["PutWitness"] = tx.PutWitness(dev, store.Witness{N: 1})
	e["PutReceipt"] = tx.PutReceipt(dev, store.Receipt{N: 1})
	e["PutSeen"] = tx.PutSeen(dev, store.Seen{At: 1})
	e["PutOfficer"] = tx.PutOfficer(store.Officer{ID: "o"})
	e["PutDevice"] = tx.PutDevice(device("d"))
	e["SetGrants"] = tx.SetGrants("d", nil, 1)
	e["AddEnrolment"] = tx.AddEnrolment(store.Enrolment{ID: "e"})
	_, _, e["UseEnrolment"] = tx.UseEnrolment("e", "d", 1)
	return e
}

// unnamedScopes: a scope that was not locked first may change under the step,
// and on a cluster it is on another machine.
func unnamedScopes(b *bench) {
	b.must(b.update(string(home), func(tx store.Tx) error {
		for method, err := range refused(tx) {
			if !errors.Is(err, store.ErrScope) {
				b.Errorf("%s: error is %v, want %v", method, err, store.ErrScope)
			}
		}
		// A row says itself where it belongs.
		return put(tx, row(home, id(1), 1))
	}))
	if err := b.update(string(home), func(tx store.Tx) error { return tx.Put(home, []store.Row{row(next, id(2), 2)}) }); !errors.Is(err, store.ErrScope) {
		b.Errorf("row of another scope: %v", err)
	}
	b.view(func(r store.Reader) error {
		st, err := r.Stats()
		if want := (store.Stats{Records: 1, Changes: 1, Scopes: 1}); st != want {
			b.Errorf("stats after refused calls: %+v, want %+v", st, want)
		}
		return err
	})
}

// deadTx: a Tx that escapes would write outside every transaction.
func deadTx(b *bench) {
	var escaped store.Tx
	b.must(b.update(string(home), func(tx store.Tx) error {
		escaped = tx
		return nil
	}))
	if err := escaped.Put(home, []store.Row{row(home, id(1), 1)}); err == nil {
		b.Error("a Tx wrote after its step")
	}
	if _, err := escaped.Heads("35", "D"); err == nil {
		b.Error("a Tx read after its step")
	}
	var reader store.Reader
	b.view(func(r store.Reader) error {
		reader = r
		return nil
	})
	if _, err := reader.Epoch(); err == nil {
		b.Error("a Reader read after its view")
	}
	if got := b.feed(home, 0, math.MaxUint64); len(got) != 0 {
		b.Errorf("feed: %+v", got)
	}
}

// everything writes into every table that the scopes home and device/device-1
// have.
func everything(tx store.Tx) error {
	if err := put(tx, row(home, id(1), 1)); err != nil {
		return err
	}
	if err := tx.AppendHistory(home, []store.PastWrite{past(home, id(1), 1)}); err != nil {
		return err
	}
	if err := tx.Quarantine(string(home), []store.Quarantined{message("m", string(home), 1)}); err != nil {
		return err
	}
	if err := tx.PutReplicas("device-1", []store.Replica{replica(1)}); err != nil {
		return err
	}
	if _, err := tx.PutSteps("device-1", 1, []store.ChainStep{{N: 7, Step: digest("7")}}); err != nil {
		return err
	}
	if err := tx.PutWitness("device-1", store.Witness{N: 1}); err != nil {
		return err
	}
	if err := tx.PutReceipt("device-1", store.Receipt{N: 1, Body: []byte("body")}); err != nil {
		return err
	}
	return tx.PutSeen("device-1", store.Seen{At: 1})
}

var errWanted = errors.New("wanted by the test")

// failedStep: an item that is half accepted is worse than one refused: its
// journal, its row and its receipt must stand or fall together.
func failedStep(b *bench) {
	scopes := []string{string(home), store.DeviceScope("device-1")}
	run := func(err error) error {
		return b.s.Update(b.Context(), store.Step{Scopes: scopes, Do: func(tx store.Tx) ([]store.Step, error) {
			if err := everything(tx); err != nil {
				return nil, err
			}
			return nil, err
		}})
	}
	b.wants(run(errWanted), errWanted)
	b.view(func(r store.Reader) error {
		st, err := r.Stats()
		if st != (store.Stats{}) {
			b.Errorf("stats after a failed step: %+v", st)
		}
		if rs, err := r.Receipts("device-1", 10); err != nil || len(rs) != 0 {
			b.Errorf("receipts after a failed step: %v, %v", rs, err)
		}
		return err
	})
	// The same step succeeds: nothing of the failed one is in its way.
	b.must(run(nil))
	b.view(func(r store.Reader) error {
		st, err := r.Stats()
		if want := (store.Stats{Records: 1, Changes: 1, Quarantined: 1, Scopes: 1}); st != want {
			b.Errorf("stats: %+v, want %+v", st, want)
		}
		return err
	})
}

// swallowedError: a step that goes on after a failed write would commit the
// part before the failure.
func swallowedError(b *bench) {
	b.add(row(home, id(1), 0))
	for name, do := range map[string]func(store.Tx){
		"rows": func(tx store.Tx) {
			_ = tx.Put(home, []store.Row{row(home, id(2), 2), row(home, id(3), 2)}) // fails at the second
		},
		"journal": func(tx store.Tx) {
			if err := put(tx, row(home, id(2), 2)); err != nil {
				b.Error(err)
			}
			_ = tx.Append(home, []store.Change{change(row(home, id(2), 2))}) // is there already
		},
		"messages": func(tx store.Tx) {
			_ = tx.Quarantine(string(home), []store.Quarantined{message("1", string(home), 1), message("2", string(next), 1)}) // one of another scope
		},
	} {
		err := b.update(string(home), func(tx store.Tx) error {
			do(tx)
			return nil
		})
		if err == nil {
			b.Errorf("%s: a step with a failed write succeeded", name)
		}
		b.view(func(r store.Reader) error {
			got, err := r.Stats()
			if want := (store.Stats{Records: 1, Changes: 1, Scopes: 1}); got != want {
				b.Errorf("%s: stats %+v, want %+v", name, got, want)
			}
			return err
		})
	}
}

// independentCalls: with group commit, forty phones share a transaction; the
// one that sends nonsense must not cost the others their receipts.
func independentCalls(b *bench) {
	const calls = 40
	var kept atomic.Int64
	b.together(calls, func(i int) error {
		fails := i%3 == 0
		err := b.update(string(home), func(tx store.Tx) error {
			if _, err := edit(tx, home, id(i), increment); err != nil {
				return err
			}
			if fails {
				return errWanted
			}
			return nil
		})
		switch {
		case fails && !errors.Is(err, errWanted):
			return fmt.Errorf("failing call %d: %w", i, err)
		case !fails && err != nil:
			return err
		case !fails:
			kept.Add(1)
		}
		return nil
	})
	rows := b.feed(home, 0, math.MaxUint64)
	if int64(len(rows)) != kept.Load() {
		b.Errorf("%d rows of %d successful calls", len(rows), kept.Load())
	}
	for i, r := range rows {
		if r.Seq != uint64(i)+1 { //nolint:gosec // small
			b.Errorf("row %d is at sequence %d: a failed call left a hole", i, r.Seq)
		}
	}
}

// panickingStep: a bug in one request must neither hold the lock of the store
// nor be recovered by it.
func panickingStep(b *bench) {
	const calls = 12
	b.together(calls, func(i int) (err error) {
		panics := i%4 == 0
		defer func() {
			if got := recover(); panics && got != errWanted { //nolint:errorlint // the value itself
				err = fmt.Errorf("call %d: recovered %v", i, got)
			}
		}()
		return b.update(string(home), func(tx store.Tx) error {
			if _, err := edit(tx, home, id(i), increment); err != nil {
				return err
			}
			if panics {
				panic(errWanted)
			}
			return nil
		})
	})
	if rows := b.feed(home, 0, math.MaxUint64); len(rows) != calls*3/4 || b.head(home) != calls*3/4 {
		b.Errorf("%d rows, head %d, want %d", len(rows), b.head(home), calls*3/4)
	}
}

// returnedSteps: a record that turns out to live elsewhere is written by a
// step of its own, after all that were planned.
func returnedSteps(b *bench) {
	var order []string
	log := func(name string, then ...store.Step) store.Step {
		return store.Step{Scopes: []string{string(home)}, Do: func(store.Tx) ([]store.Step, error) {
			order = append(order, name)
			return then, nil
		}}
	}
	b.must(b.s.Update(b.Context(), log("a", log("a1", log("a11")), log("a2")), log("b", log("b1")), log("c")))
	if want := strings.Fields("a b c a1 a2 b1 a11"); !slices.Equal(order, want) {
		b.Errorf("steps ran in order %v, want %v", order, want)
	}
	// A failing one fails the call.
	err := b.s.Update(b.Context(), log("d", step(string(home), func(store.Tx) error { return errWanted })))
	b.wants(err, errWanted)
}

// runsAgain: an engine may run a step again after a failure of its own, and a
// phone sends its push again. Both must find the world of the first time.
func runsAgain(b *bench) {
	attempt := 0
	seen := make([]uint64, 0, 2)
	run := func() error {
		return b.update(string(home), func(tx store.Tx) error {
			head, err := tx.Head(home)
			if err != nil {
				return err
			}
			rows, err := tx.Records(home, []syncproto.RecordID{id(1)})
			if err != nil {
				return err
			}
			seen = append(seen, head, uint64(len(rows)))
			if err := put(tx, row(home, id(1), head+1)); err != nil {
				return err
			}
			if attempt++; attempt == 1 {
				return errWanted
			}
			return nil
		})
	}
	b.wants(run(), errWanted)
	b.must(run())
	if want := []uint64{0, 0, 0, 0}; !slices.Equal(seen, want) {
		b.Errorf("heads and rows found: %v, want %v", seen, want)
	}
	// What a resend brings again is there once.
	for range 2 {
		b.must(b.s.Update(b.Context(), step(string(home), func(tx store.Tx) error {
			if err := tx.AppendHistory(home, []store.PastWrite{past(home, id(1), 1)}); err != nil {
				return err
			}
			return tx.Quarantine(string(home), []store.Quarantined{message("m", string(home), 1)})
		})))
	}
	b.view(func(r store.Reader) error {
		writes, err := all(r.PastWrites(id(1)))
		if err != nil || len(writes) != 1 {
			b.Errorf("%d past writes, %v", len(writes), err)
		}
		inbox, err := r.Inbox("", nil, 10)
		if len(inbox) != 1 {
			b.Errorf("%d messages", len(inbox))
		}
		return err
	})
}

// givingUp: a request whose phone is gone must not wait for its turn, and a
// step that began must not stop half way.
func givingUp(b *bench) {
	ended, cancel := context.WithCancel(b.Context())
	cancel()
	ran := false
	err := b.s.Update(ended, step(string(home), func(store.Tx) error {
		ran = true
		return nil
	}))
	b.wants(err, context.Canceled)
	if ran {
		b.Error("a step ran for a caller who was gone")
	}
	b.wants(b.s.View(ended, func(store.Reader) error { return nil }), context.Canceled)

	running, cancel := context.WithCancel(b.Context())
	defer cancel()
	started, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- b.s.Update(running, step(string(home), func(tx store.Tx) error {
			close(started)
			<-goOn
			return put(tx, row(home, id(1), 1))
		}))
	}()
	<-started
	waiting, stop := context.WithCancel(b.Context())
	gaveUp := make(chan error)
	go func() {
		gaveUp <- b.s.Update(waiting, step(string(home), func(store.Tx) error {
			ran = true
			return nil
		}))
	}()
	stop()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) || ran { // while the first still runs
		b.Errorf("waiting caller: %v, ran: %v", err, ran)
	}
	cancel() // the running caller's context ends in the middle of his only step
	close(goOn)
	err = <-done
	rows := b.feed(home, 0, math.MaxUint64)
	if (err == nil) != (len(rows) == 1) {
		b.Errorf("answer %v, but %d rows are there", err, len(rows))
	}
}

// readYourWrites: a phone pulls right after its push, on another connection.
func readYourWrites(b *bench) {
	b.together(6, func(i int) error {
		scope := syncproto.Scope(fmt.Sprintf("35.24.%02d", i+1))
		for n := range uint64(15) {
			if err := b.update(string(scope), func(tx store.Tx) error { return put(tx, row(scope, scopedID(scope, id(int(n))), n+1)) }); err != nil { //nolint:gosec // small
				return err
			}
			err := b.s.View(b.Context(), func(r store.Reader) error {
				rows, err := all(r.Feed(scope, n, math.MaxUint64))
				if err == nil && (len(rows) != 1 || rows[0].Seq != n+1) {
					err = fmt.Errorf("after the update of %s to %d: %+v", scope, n+1, rows)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func noSteps(b *bench) { b.must(b.s.Update(b.Context())) }

func viewCases() []testCase {
	return []testCase{
		{"a view sees one moment, and does not block a writer", snapshot},
		{"a view gives back the error of its function", viewError},
		{"more views than places wait for each other", manyViews},
	}
}

// snapshot: a response is made of several reads; a row that moves between them
// would be in it twice or never.
func snapshot(b *bench) {
	b.add(row(home, id(1), 0))
	b.view(func(r store.Reader) error {
		before, err := all(r.Feed(home, 0, math.MaxUint64))
		if err != nil {
			return err
		}
		b.add(row(home, id(2), 0)) // within the view: must not wait for it
		after, err := all(r.Feed(home, 0, math.MaxUint64))
		if diff := cmp.Diff(before, after); diff != "" {
			b.Errorf("a view changed while it was open (-before +after):\n%s", diff)
		}
		hs, herr := r.Heads("35", "D")
		if want := []store.Head{{Scope: home, Seq: 1}}; !slices.Equal(hs, want) {
			b.Errorf("heads within the view: %v, want %v", hs, want)
		}
		return errors.Join(err, herr)
	})
	if got := b.feed(home, 0, math.MaxUint64); len(got) != 2 {
		b.Errorf("a later view has %d rows, want 2", len(got))
	}
}

func viewError(b *bench) {
	b.wants(b.s.View(b.Context(), func(store.Reader) error { return errWanted }), errWanted)
	b.feed(home, 0, 1) // and its place is free again
}

// manyViews: fifty phones pull at once.
func manyViews(b *bench) {
	b.add(row(home, id(1), 0))
	b.together(50, func(int) error {
		return b.s.View(b.Context(), func(r store.Reader) error {
			rows, err := all(r.Feed(home, 0, 1))
			if err == nil && len(rows) != 1 {
				err = fmt.Errorf("%d rows", len(rows))
			}
			return err
		})
	})
}
