package sqlite_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// hold runs a step that holds the turn until all n others wait, runs them, and
// returns their errors. The holder joins their group and writes nothing.
func hold(t *testing.T, s *sqlite.Store, n int, do func(i int, tx store.Tx) error) []error {
	t.Helper()
	errs := make([]error, n)
	var wg sync.WaitGroup
	_ = s.Update(t.Context(), storetest.OneStep(func(store.Tx) error {
		for i := range n {
			wg.Go(func() {
				errs[i] = s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error { return do(i, tx) }))
			})
			for s.Waiting() <= i {
				runtime.Gosched()
			}
		}
		return nil
	}))
	wg.Wait()
	return errs
}

const scope = storetest.Home

// commits counts the commit frames in the log: those that say how large the
// file is after them (https://sqlite.org/fileformat2.html#walformat).
func commits(t *testing.T, path string) (n int) {
	t.Helper()
	log, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	const header, frame, page = 32, 24, 4096
	salt := log[16:24]
	for at := header; at+frame+page <= len(log); at += frame + page {
		if string(log[at+8:at+16]) == string(salt) && binary.BigEndian.Uint32(log[at+4:]) != 0 {
			n++
		}
	}
	return n
}

func TestWaitingCallsShareACommit(t *testing.T) {
	for _, c := range []struct {
		name          string
		options       sqlite.Options
		calls, groups int
	}{
		// The first group is the holder and who waited for him.
		{"all at once", sqlite.Options{GroupTime: time.Hour}, 40, 1},
		{"bounded by calls", sqlite.Options{GroupCalls: 10, GroupTime: time.Hour}, 39, 4},
		{"bounded by rows", sqlite.Options{GroupRows: 20, GroupTime: time.Hour}, 40, 4},
		{"each alone", sqlite.Options{GroupCalls: 1}, 7, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			s := open(t, path, c.options)
			before := commits(t, path)
			for _, err := range hold(t, s, c.calls, func(_ int, tx store.Tx) error { return storetest.Next(tx) }) {
				if err != nil {
					t.Error(err)
				}
			}
			if got := commits(t, path) - before; got != c.groups {
				t.Errorf("%d commits for %d calls, want %d", got, c.calls, c.groups)
			}
		})
	}
}

func TestAGroupEndsAfterItsTime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, sqlite.Options{GroupTime: time.Millisecond})
	before := commits(t, path)
	const calls = 5
	for _, err := range hold(t, s, calls, func(_ int, tx store.Tx) error {
		time.Sleep(20 * time.Millisecond)
		return storetest.Next(tx)
	}) {
		if err != nil {
			t.Error(err)
		}
	}
	if got := commits(t, path) - before; got < calls-1 {
		t.Errorf("%d commits for %d calls that each outlast the time of a group", got, calls)
	}
}

// One fsync for all means one failure for all.
func TestAFailedCommitFailsItsGroupAndNoOther(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{GroupTime: time.Hour})
	for i, err := range hold(t, s, 9, func(i int, tx store.Tx) error {
		if i == 4 {
			if err := s.BreakCommit(t.Context()); err != nil {
				return err
			}
		}
		return storetest.Next(tx)
	}) {
		if err == nil || !strings.Contains(err.Error(), "commit") {
			t.Errorf("call %d of the failed group: %v", i, err)
		}
	}
	for i, err := range hold(t, s, 3, func(_ int, tx store.Tx) error { return storetest.Next(tx) }) {
		if err != nil {
			t.Errorf("call %d after the failed group: %v", i, err)
		}
	}
	verify(t, s, 3)
}

// Whatever the moment at which the disk is full: who is confirmed is kept, who
// is not leaves nothing, and with space the store goes on.
func TestAFullDiskLosesNoConfirmedCall(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{GroupTime: time.Hour})
	kept := 0
	for pages := range int64(8) {
		full := 0
		for _, err := range hold(t, s, 8, func(i int, tx store.Tx) error {
			if i == 0 {
				if err := s.LimitPages(t.Context(), pages); err != nil {
					return err
				}
			}
			return storetest.Next(tx)
		}) {
			switch {
			case err == nil:
				kept++
			case errors.Is(err, store.ErrFull):
				full++
			default:
				t.Errorf("%d pages: %v", pages, err)
			}
		}
		if full == 0 {
			t.Errorf("%d pages were enough for 8 records", pages)
		}
		if err := s.Update(t.Context(), storetest.OneStep(func(store.Tx) error { return s.LimitPages(t.Context(), -1) })); err != nil {
			t.Fatal(err)
		}
		verify(t, s, kept)
	}
}

// verify checks the store and counts its records.
func verify(t *testing.T, s *sqlite.Store, records int) {
	t.Helper()
	if err := s.Check(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
		t.Error(err)
	}
	err := s.View(t.Context(), func(r store.Reader) error {
		stats, err := r.Stats()
		if stats.Records != uint64(records) || stats.Changes != uint64(records) { //nolint:gosec // small
			t.Errorf("stats %+v, want %d records", stats, records)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// Another process, such as a copy tool, may hold the file.
func TestALockOfAnotherProcessIsBusy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, sqlite.Options{BusyTimeout: 20 * time.Millisecond})
	other := open(t, path, sqlite.Options{})
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

// A long view of another caller must not delay a cancelled one for ever.
func TestAViewWaitsForAPlaceNoLongerThanItsContext(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{Readers: 1})
	err := s.View(t.Context(), func(store.Reader) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		return s.View(ctx, func(store.Reader) error { return fmt.Errorf("two views in one place") })
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}

// A question that takes long is dropped with its caller.
func TestALongQueryEndsWithItsContext(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), sqlite.Options{})
	for range 6 {
		if err := s.Update(t.Context(), storetest.OneStep(func(tx store.Tx) error {
			head, err := tx.Head(scope)
			if err != nil {
				return err
			}
			rows, changes := storetest.RowsOf(storetest.NewRand(), 50, scope, head)
			if err := tx.Put(scope, rows); err != nil {
				return err
			}
			return tx.Append(scope, changes)
		})); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	err := s.View(ctx, func(r store.Reader) error {
		for _, err := range r.Feed(scope, 0, 1<<40) {
			if err != nil {
				return err
			}
			if n++; n == 10 {
				cancel()
			}
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || n > 11 {
		t.Errorf("after %d rows: %v", n, err)
	}
	verify(t, s, 300)
}

// A hand on the commit sees each of them; when it fails one, nothing of it is
// there, and when it fails one afterwards, all of it is.
func TestAHandOnTheCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var before, after error
	s := open(t, path, sqlite.Options{Commit: func(do func() error) error {
		if before != nil {
			return before
		}
		return errors.Join(do(), after)
	}})
	put := func() error { return s.Update(t.Context(), storetest.OneStep(storetest.Next)) }
	before = fmt.Errorf("write: %w", syscall.ENOSPC)
	if err := put(); !errors.Is(err, store.ErrFull) {
		t.Errorf("a full disk: %v", err)
	}
	before, after = nil, errors.New("the power went")
	if err := put(); !errors.Is(err, after) {
		t.Errorf("failed afterwards: %v", err)
	}
	after = nil
	if err := put(); err != nil {
		t.Errorf("the next: %v", err)
	}
	if got := query(t, path, `SELECT CAST(count(*) AS TEXT) FROM records`); got[0] != "2" {
		t.Errorf("%s records, want 2", got[0])
	}
}
