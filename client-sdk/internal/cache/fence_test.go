package cache_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

var errDisk = errors.New("input/output error")

// faults fails chosen steps of a store: before they take effect, or after.
type faults struct {
	mu     sync.Mutex
	before map[cache.Op]error
	after  map[cache.Op]error
	count  map[cache.Op]int
}

func (f *faults) options() cache.Options {
	f.before, f.after, f.count = map[cache.Op]error{}, map[cache.Op]error{}, map[cache.Op]int{}
	o := sealedOptions()
	o.Fault = func(op cache.Op, do func() error) error {
		f.mu.Lock()
		f.count[op]++
		before, after := f.before[op], f.after[op]
		f.mu.Unlock()
		if before != nil {
			return before
		}
		return errors.Join(do(), after)
	}
	return o
}

func (f *faults) heal() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.before)
	clear(f.after)
}

func TestAFailedCommitIsSettledByAFence(t *testing.T) {
	var f faults
	o := f.options()
	db := open(t, t.TempDir(), o)
	put(t, db, records, "a", "1")
	clear(o.Key) // the app may wipe its copy: a fence does without

	t.Run("it left no trace", func(t *testing.T) {
		f.before[cache.OpCommit] = errDisk
		fences := f.count[cache.OpFence]
		err := db.Update(func(tx *cache.Tx) error { return tx.Put(records, []byte("a"), []byte("2")) })
		if !errors.Is(err, cache.ErrNotCommitted) || !errors.Is(err, errDisk) || errors.Is(err, cache.ErrNoSpace) {
			t.Errorf("Update: %v", err)
		}
		f.heal()
		if f.count[cache.OpFence] != fences+1 {
			t.Errorf("%d fences", f.count[cache.OpFence]-fences)
		}
		if got := get(t, db, records, "a"); got != "1" {
			t.Errorf("row = %s", got)
		}
		put(t, db, records, "b", "the store goes on")
	})
	t.Run("it took effect after all", func(t *testing.T) {
		f.after[cache.OpCommit] = errDisk
		put(t, db, records, "a", "3") // fails the test on an error
		f.heal()
		if got := get(t, db, records, "a"); got != "3" {
			t.Errorf("row = %s", got)
		}
	})
	t.Run("many times in a row, with readers beside", func(t *testing.T) {
		rnd := seeded(t)
		stop := make(chan struct{})
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				for last := 0; ; {
					select {
					case <-stop:
						return
					default:
					}
					n := 0
					if _, err := fmt.Sscan(get(t, db, heads, "n"), &n); err != nil && last > 0 || n < last {
						t.Errorf("read %d after %d: %v", n, last, err)
						return
					}
					last = n
				}
			})
		}
		want := 0
		for i := 1; i <= 60; i++ {
			f.heal()
			f.mu.Lock()
			switch rnd.IntN(3) {
			case 0:
				f.before[cache.OpCommit] = errDisk
			case 1:
				f.after[cache.OpCommit] = errDisk
			}
			lost := f.before[cache.OpCommit] != nil
			f.mu.Unlock()
			err := db.Update(func(tx *cache.Tx) error { return tx.Put(heads, []byte("n"), []byte(fmt.Sprint(i))) })
			if lost != errors.Is(err, cache.ErrNotCommitted) || lost != (err != nil) {
				t.Fatalf("update %d, lost %v: %v", i, lost, err)
			}
			if !lost {
				want = i
			}
		}
		close(stop)
		readers.Wait()
		f.heal()
		if got := get(t, db, heads, "n"); got != fmt.Sprint(want) {
			t.Errorf("n = %s, want %d", got, want)
		}
		if damages, err := db.Check(); err != nil || len(damages) > 0 {
			t.Errorf("Check: %v, %v", damages, err)
		}
	})
}

func TestAFailedFenceClosesTheStore(t *testing.T) {
	for name, committed := range map[string]bool{"and the transaction is there": true, "and the transaction is not there": false} {
		t.Run(name, func(t *testing.T) {
			var f faults
			dir := t.TempDir()
			db := open(t, dir, f.options())
			put(t, db, records, "a", "1")
			if committed {
				f.after[cache.OpCommit] = errDisk
			} else {
				f.before[cache.OpCommit] = errDisk
			}
			f.before[cache.OpFence] = errDisk
			err := db.Update(func(tx *cache.Tx) error { return tx.Put(records, []byte("a"), []byte("2")) })
			if !errors.Is(err, cache.ErrUnknown) || errors.Is(err, cache.ErrNotCommitted) || !errors.Is(err, errDisk) {
				t.Errorf("Update: %v", err)
			}
			nothing := func(*cache.Tx) error { t.Error("a transaction began"); return nil }
			for _, err := range []error{db.Update(nothing), db.View(nothing), db.WriteMark(cache.Mark{})} {
				if !errors.Is(err, cache.ErrClosed) {
					t.Errorf("after the failed fence: %v", err)
				}
			}
			db = open(t, dir, f.options())
			if f.count[cache.OpFence] != 2 {
				t.Errorf("Open fenced %d files, want cache.db and mark", f.count[cache.OpFence])
			}
			want := "1"
			if committed {
				want = "2"
			}
			if got := get(t, db, records, "a"); got != want {
				t.Errorf("row = %s, want %s", got, want)
			}
		})
	}
}

func TestReopenSettlesWhatTheFenceCouldNot(t *testing.T) {
	var f faults
	dir := t.TempDir()
	o := f.options()
	db := open(t, dir, o)
	put(t, db, records, "a", "1")
	f.after[cache.OpCommit], f.before[cache.OpFence] = errDisk, errDisk
	if err := db.Update(func(tx *cache.Tx) error { return tx.Put(records, []byte("a"), []byte("2")) }); !errors.Is(err, cache.ErrUnknown) {
		t.Fatal(err)
	}
	if _, err := cache.Open(dir, o); !errors.Is(err, errDisk) {
		t.Errorf("Open on the broken disk: %v", err)
	}
	f.heal()
	db = open(t, dir, o)
	if got := get(t, db, records, "a"); got != "2" {
		t.Errorf("row = %s", got)
	}
}

// TestAViewSeesOnlyWhatIsOnTheDisk stops a commit between its last write and its last sync, as a reader may find it.
func TestAViewSeesOnlyWhatIsOnTheDisk(t *testing.T) {
	written, sync := make(chan struct{}), make(chan struct{})
	o := sealedOptions()
	armed := false
	o.Fault = func(op cache.Op, do func() error) error {
		err := do()
		if op == cache.OpCommit && armed {
			close(written)
			<-sync
		}
		return err
	}
	db := open(t, t.TempDir(), o)
	put(t, db, records, "a", "1")
	armed = true

	release := make(chan struct{})
	viewing, done := make(chan struct{}), make(chan error, 3)
	go func() {
		done <- db.View(func(tx *cache.Tx) error {
			close(viewing)
			<-release
			v, err := tx.Get(records, []byte("a"))
			if err != nil || string(v) != "1" {
				return fmt.Errorf("the older View reads %q, %w", v, err)
			}
			return nil
		})
	}()
	<-viewing
	go func() {
		done <- db.Update(func(tx *cache.Tx) error { return tx.Put(records, []byte("a"), []byte("2")) })
	}()
	<-written
	read := make(chan string, 1)
	go func() { read <- get(t, db, records, "a") }()
	select {
	case v := <-read:
		t.Errorf("a View read %q while the commit was not synced", v)
	case <-time.After(50 * time.Millisecond):
	}
	close(release)
	close(sync)
	for range 2 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if v := <-read; v != "2" {
		t.Errorf("after the sync: %q", v)
	}
}
