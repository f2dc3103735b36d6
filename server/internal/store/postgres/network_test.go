package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/syncproto"
)

// A phone's push of a season costs as many crossings of the network as one of a
// record: the lock, the rows, the commit.
func TestThePushOfAnySizeCrossesTheNetworkThreeTimes(t *testing.T) {
	p, address := throughProxy(t, database(t))
	s := open(t, address, postgres.Options{Writers: 1})
	head := uint64(0)
	for _, n := range []int{1, 1, 50, 500, 3000} { // the first prepares the statements
		rows, changes := storetest.RowsOf(storetest.NewRand(), n, scope, head)
		head += uint64(n)
		got := p.count(func() {
			if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
				t.Fatal(err)
			}
		})
		if head > 1 && got != 3 {
			t.Errorf("a push of %d records crossed the network %d times, want 3", n, got)
		}
	}
	// The step with which a device's push ends: what is read and must be known
	// crosses once each, the rest goes along.
	const dev = "device-1"
	for n := range uint64(2) {
		got := p.count(func() {
			if err := s.Update(t.Context(), store.Step{Scopes: []string{store.DeviceScope(dev)}, Do: func(tx store.Tx) ([]store.Step, error) {
				if _, err := tx.Replicas(dev); err != nil {
					return nil, err
				}
				if err := tx.PutReplicas(dev, make([]store.Replica, 1, 20)); err != nil {
					return nil, err
				}
				if err := tx.PutWitness(dev, store.Witness{N: n + 1}); err != nil {
					return nil, err
				}
				return nil, errors.Join(tx.PutReceipt(dev, store.Receipt{N: n + 1}), tx.PutSeen(dev, store.Seen{}))
			}}); err != nil {
				t.Fatal(err)
			}
		})
		if n > 0 && got != 6 {
			t.Errorf("the end of a push crossed the network %d times, want 6", got)
		}
	}
}

// A view costs one crossing for each question, and one to end it.
func TestAViewCrossesTheNetworkOnceForEachQuestion(t *testing.T) {
	p, address := throughProxy(t, database(t))
	s := open(t, address, postgres.Options{Readers: 1})
	for i := range 2 {
		got := p.count(func() {
			err := s.View(t.Context(), func(r store.Reader) error {
				_, err := r.Epoch()
				_, err2 := r.Heads("35", "D")
				return errors.Join(err, err2)
			})
			if err != nil {
				t.Fatal(err)
			}
		})
		if i > 0 && got != 3 {
			t.Errorf("a view of two questions crossed the network %d times, want 3", got)
		}
	}
	if got := p.count(func() {
		if err := s.View(t.Context(), func(store.Reader) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("an empty view crossed the network %d times", got)
	}
}

// The network is cut at every crossing of a step, before the question and
// before its answer, so that the server learns of it and so that it does not. The
// step is kept once and its caller told so: the answer to a COMMIT that was lost
// is found out.
func TestACutAtEveryCrossingLosesAndDoublesNothing(t *testing.T) {
	direct := database(t)
	p, address := throughProxy(t, direct)
	s := open(t, address, postgres.Options{Writers: 2, LockTimeout: time.Minute})
	id := syncproto.RecordID{1, 15: 1}
	edit := func() error {
		return s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
			head, err := tx.Head(scope)
			if err != nil {
				return err
			}
			rows, err := tx.Records(scope, []syncproto.RecordID{id})
			if err != nil {
				return err
			}
			r := store.Row{Scope: scope, ID: id, Seq: head + 1, Entered: 1, Doc: []byte(`{}`)}
			if len(rows) == 1 {
				r = rows[0]
				r.Seq = head + 1
			}
			r.Conflicts++
			if err := tx.Put(scope, []store.Row{r}); err != nil {
				return err
			}
			return tx.Append(scope, []store.Change{{Seq: r.Seq, ID: id}})
		}))
	}
	done := 0
	for range 2 {
		if err := edit(); err != nil {
			t.Fatal(err)
		}
		done++
	}
	for turn := 1; turn <= 4; turn++ {
		for _, kind := range []cut{{before: true}, {}, {before: true, hole: true}, {hole: true}} {
			p.cutAt(turn, kind.before, kind.hole)
			err := edit()
			if !p.wasCut() {
				if turn <= 3 {
					t.Errorf("no cut at crossing %d", turn)
				}
			}
			if err != nil {
				t.Errorf("cut at crossing %d, %+v: %v", turn, kind, err)
				continue
			}
			done++
			if got := query(t, direct, `SELECT conflicts::text FROM records`); len(got) != 1 || got[0] != fmt.Sprint(done) {
				t.Fatalf("cut at crossing %d, %+v: %v edits are kept of %d", turn, kind, got, done)
			}
		}
	}
	p.cutAt(0, false, false)
	if got := query(t, direct, `SELECT count(*)::text FROM changes`); got[0] != fmt.Sprint(done) {
		t.Errorf("%s changes of %d", got[0], done)
	}
}

// All connections die again and again, as at a failover, while many write. Each
// confirmed change is there once.
func TestDyingConnectionsUnderLoadLoseAndDoubleNothing(t *testing.T) {
	address := database(t)
	underLoad(t, address, 25, 12, 40*time.Millisecond, func(int) {
		sqlOn(t, address, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	})
}

// The server is killed and started again under load. After a crash it gives
// numbers of transactions again that were not written down, so its word on a
// lost commit may be about another one: in three of four runs of this test, a
// change that was confirmed by that word was not there.
func TestACrashOfTheServerUnderLoadLosesAndDoublesNothing(t *testing.T) {
	c := pgtest.StartOwn(t, pgtest.Options{})
	underLoad(t, c.Database(t), 150, 6, 500*time.Millisecond, func(n int) {
		if err := c.Restart([]pgtest.Mode{pgtest.Crash, pgtest.Immediate, pgtest.Fast}[n%3]); err != nil {
			t.Error(err)
		}
	})
}

// underLoad writes with many writers while kill is called again and again, and
// counts what is there.
func underLoad(t *testing.T, address string, writes, deaths int, every time.Duration, kill func(n int)) {
	t.Helper()
	s := open(t, address, postgres.Options{})
	const writers = 8
	stop := make(chan struct{})
	var wg, killer sync.WaitGroup
	killer.Go(func() {
		for n := range deaths {
			select {
			case <-stop:
				return
			case <-time.After(every):
			}
			kill(n)
		}
	})
	for i := range writers {
		wg.Go(func() {
			at := syncproto.Scope(fmt.Sprintf("35.24.%02d", i%3+1))
			id := syncproto.RecordID{byte(i), 15: 1}
			for range writes {
				err := s.Update(t.Context(), store.Step{Scopes: []string{string(at)}, Do: func(tx store.Tx) ([]store.Step, error) {
					head, err := tx.Head(at)
					if err != nil {
						return nil, err
					}
					rows, err := tx.Records(at, []syncproto.RecordID{id})
					if err != nil {
						return nil, err
					}
					r := store.Row{Scope: at, ID: id, Seq: head + 1, Entered: head + 1, Doc: []byte(`{}`)}
					if len(rows) == 1 {
						r.Entered, r.Conflicts = rows[0].Entered, rows[0].Conflicts
					}
					r.Conflicts++
					return nil, errors.Join(tx.Put(at, []store.Row{r}), tx.Append(at, []store.Change{{Seq: head + 1, ID: id}}))
				}})
				if err != nil {
					t.Error(err)
				}
				err = s.View(t.Context(), func(r store.Reader) error {
					_, err := r.Live([]syncproto.RecordID{id})
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	killer.Wait()
	if got := query(t, address, `SELECT conflicts::text FROM records`); len(got) != writers {
		t.Errorf("%d records, want %d", len(got), writers)
	} else {
		for _, n := range got {
			if n != fmt.Sprint(writes) {
				t.Errorf("a record has %s changes, want %d", n, writes)
			}
		}
	}
	if err := s.Check(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Error(err)
	}
}

// Two servers lock two scopes in opposite order past the rule: the database
// ends one of them, and it runs again.
func TestADeadlockRunsAgain(t *testing.T) {
	address := database(t)
	s := open(t, address, postgres.Options{LockTimeout: 20 * time.Second})
	for _, of := range []string{"a", "b"} {
		if err := s.Update(t.Context(), store.Step{Scopes: []string{of}, Do: func(store.Tx) ([]store.Step, error) { return nil, nil }}); err != nil {
			t.Fatal(err)
		}
	}
	other := connect(t, address)
	ctx := t.Context()
	exec := func(text string) error { _, err := other.Exec(ctx, text); return err }
	if err := errors.Join(exec(`SET deadlock_timeout = '1h'`), exec(`BEGIN`), exec(`SELECT seq FROM scopes WHERE scope = 'b' FOR UPDATE`)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	runs := 0
	go func() {
		done <- s.Update(ctx, store.Step{Scopes: []string{"b", "a"}, Do: func(store.Tx) ([]store.Step, error) { runs++; return nil, nil }})
	}()
	waitFor(t, address, `SELECT 'x' FROM pg_locks WHERE NOT granted`)
	if err := errors.Join(exec(`SELECT seq FROM scopes WHERE scope = 'a' FOR UPDATE`), exec(`COMMIT`)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || runs != 1 {
		t.Errorf("the step ran %d times: %v", runs, err)
	}
}

// waitFor waits until a query has rows.
func waitFor(t *testing.T, address, text string) {
	t.Helper()
	for range 500 {
		if len(query(t, address, text)) > 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("never: %s", text)
}

// A server that hangs with a scope in hand must not stop the others for ever,
// and who has waited in vain is told to come back.
func TestAScopeThatAnotherServerKeepsIsBusy(t *testing.T) {
	address := database(t)
	s := open(t, address, postgres.Options{LockTimeout: 20 * time.Millisecond})
	other := open(t, address, postgres.Options{})
	err := other.Update(t.Context(), storetest.OneStep(func(store.Tx) error {
		return s.Update(t.Context(), storetest.OneStep(storetest.Next))
	}))
	if !errors.Is(err, store.ErrBusy) {
		t.Errorf("error is %v, want %v", err, store.ErrBusy)
	}
	if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); err != nil {
		t.Error(err)
	}
}

// Who gives up waits no longer, at no place: within the process, or in the
// database. The connection he had is as good as before.
func TestWhoGivesUpWaitsNoLonger(t *testing.T) {
	address := database(t)
	s := open(t, address, postgres.Options{LockTimeout: time.Minute, Writers: 1})
	other := open(t, address, postgres.Options{})
	err := other.Update(t.Context(), storetest.OneStep(func(store.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := s.Update(ctx, storetest.OneStep(storetest.Next))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waiting for the database: %v", err)
		}
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); err != nil {
		t.Error(err)
	}
	if got := s.Opened(); got != 1 {
		t.Errorf("%d connections were opened for one place", got)
	}
}

// A question that takes long is dropped with its caller, at the server too.
func TestALongQuestionEndsWithItsContext(t *testing.T) {
	address := database(t)
	s := open(t, address, postgres.Options{Readers: 1})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		waitFor(t, address, `SELECT 'x' FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()`)
		cancel()
	}()
	err := s.Ask(ctx, `SELECT pg_sleep(30)::text`)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if got := query(t, address, `SELECT query FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND state = 'active' AND pid <> pg_backend_pid()`); len(got) != 0 {
		t.Errorf("still running: %q", got)
	}
	if err := s.View(t.Context(), func(r store.Reader) error { _, err := r.Epoch(); return err }); err != nil {
		t.Error(err)
	}
}

// While one scope is busy, its callers hold no connections.
func TestABusyScopeLeavesConnectionsToOthers(t *testing.T) {
	s := open(t, database(t), postgres.Options{Writers: 2})
	var wg sync.WaitGroup
	err := s.Update(t.Context(), storetest.OneStep(func(store.Tx) error {
		for range 10 {
			wg.Go(func() {
				if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); err != nil {
					t.Error(err)
				}
			})
		}
		for s.Waiting(string(scope)) < 10 {
			time.Sleep(time.Millisecond)
		}
		return s.Update(t.Context(), store.Step{Scopes: []string{"35.24.02"}, Do: func(store.Tx) ([]store.Step, error) { return nil, nil }})
	}))
	if err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// Closing waits for who runs and turns away who waits.
func TestClosingWaitsForTheRunningStep(t *testing.T) {
	address := database(t)
	s, err := postgres.Open(t.Context(), address, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	started, goOn, done, turned, closed := make(chan struct{}), make(chan struct{}), make(chan error), make(chan error), make(chan error)
	go func() {
		done <- s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
			close(started)
			<-goOn
			return storetest.Next(tx)
		}), storetest.OneStep(storetest.Next))
	}()
	<-started
	go func() { turned <- s.Update(t.Context(), storetest.OneStep(storetest.Next)) }()
	for s.Waiting(string(scope)) < 1 {
		time.Sleep(time.Millisecond)
	}
	go func() { closed <- s.Close() }()
	if err := <-turned; !errors.Is(err, store.ErrClosed) {
		t.Errorf("who waited got %v", err)
	}
	select {
	case err := <-closed:
		t.Errorf("closed while a step runs: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(goOn)
	if err := errors.Join(<-done, <-closed); err != nil {
		t.Error(err)
	}
	if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); !errors.Is(err, store.ErrClosed) {
		t.Errorf("update of a closed store: %v", err)
	}
	if err := s.View(t.Context(), func(store.Reader) error { return nil }); !errors.Is(err, store.ErrClosed) {
		t.Errorf("view of a closed store: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := query(t, address, `SELECT count(*)::text FROM records`); got[0] != "2" {
		t.Errorf("%s records, want the 2 of the call that ran", got[0])
	}
}

// What PostgreSQL keeps in no text is refused by name, and the error shows
// nothing of it; what asks for it finds nothing.
func TestTextThatCantBeKeptIsRefusedByName(t *testing.T) {
	address := database(t)
	s := open(t, address, postgres.Options{})
	for _, bad := range []string{"very secret\x00", "very secret\xff"} {
		err := s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
			if err := storetest.Next(tx); err != nil {
				return err
			}
			return tx.Quarantine(string(scope), []store.Quarantined{{Key: syncproto.Digest{1}, Device: bad}})
		}))
		if err == nil || strings.Contains(err.Error(), "very secret\x00") || !strings.Contains(err.Error(), "column device") {
			t.Errorf("error is %v", err)
		}
		err = s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
			return tx.Put(scope, []store.Row{{ID: syncproto.RecordID{1}, Seq: 1, Doc: []byte(`{"a":"` + bad)}})
		}))
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("error is %v", err)
		}
		err = s.View(t.Context(), func(r store.Reader) error {
			_, err := r.Device(bad)
			_, err2 := r.DeviceStatus(bad)
			if !errors.Is(err, store.ErrNotFound) || !errors.Is(err2, store.ErrNotFound) {
				t.Errorf("asked for: %v, %v", err, err2)
			}
			rows, err := r.Log(store.Filter{Kind: bad, Grants: syncproto.Grants{{Region: "35", Classes: []syncproto.Class{"D"}}}}, nil, 5)
			if len(rows) > 0 {
				t.Errorf("%d rows", len(rows))
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	// Its own refusal quotes the text around the mistake.
	err := s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
		return tx.Put(scope, []store.Row{{ID: syncproto.RecordID{1}, Seq: 1, Doc: []byte(`{"a":"very secret`)}})
	}))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error is %v", err)
	}
	if got := query(t, address, `SELECT count(*)::text FROM records`); got[0] != "0" {
		t.Errorf("%s records are left", got[0])
	}
}

// A document comes back byte for byte, with its spaces, its doubled names and
// the way its numbers were written.
func TestADocumentComesBackByteForByte(t *testing.T) {
	s := open(t, database(t), postgres.Options{})
	doc := "{ \"b\" :  1.0e+2,\n\t\"a\": \"\\u0000\\ud800 \\/é\", \"a\": 2 }"
	if err := s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
		return errors.Join(tx.Put(scope, []store.Row{{ID: syncproto.RecordID{1}, Seq: 1, Doc: []byte(doc)}}), tx.Append(scope, []store.Change{{Seq: 1}}))
	})); err != nil {
		t.Fatal(err)
	}
	err := s.View(t.Context(), func(r store.Reader) error {
		for row, err := range r.Feed(scope, 0, 1) {
			if err != nil || string(row.Doc) != doc {
				t.Errorf("document is %q, %v", row.Doc, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
