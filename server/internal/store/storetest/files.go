package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// RunFiles runs the cases of an engine that keeps a store in files: path, and
// files beside it whose names begin with path. open opens or creates a store.
func RunFiles(t *testing.T, open func(ctx context.Context, path string) (store.Store, error)) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*files)
	}{
		{"a closed store is closed", closed},
		{"closing waits for the running step and turns the others away", closing},
		{"everything is there after a restart", reopened},
		{"a process that dies in a transaction leaves what was confirmed", died},
		{"a backup made under writes is one moment of the store", backup},
		{"a backup replaces the one before, or leaves it", backupReplaces},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run(&files{T: t, dir: t.TempDir(), open: open})
		})
	}
}

// files is a directory in which a case opens stores.
type files struct {
	*testing.T
	dir  string
	open func(ctx context.Context, path string) (store.Store, error)
}

func (f *files) path(name string) string { return filepath.Join(f.dir, name) }

// bench opens a store that is checked and closed at the end of the case.
func (f *files) bench(name string) *bench {
	f.Helper()
	s, err := f.open(f.Context(), f.path(name))
	if err != nil {
		f.Fatal(err)
	}
	return newBench(f.T, s)
}

// dump is everything that a store shows.
func (b *bench) dump() []string {
	b.Helper()
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	b.view(func(r store.Reader) error {
		epoch, err := r.Epoch()
		if err != nil {
			return err
		}
		add("epoch %+v", epoch)
		ids := map[syncproto.RecordID]bool{}
		for _, class := range []syncproto.Class{"D", "T", "H"} {
			heads, err := r.Heads("", class)
			if err != nil {
				return err
			}
			for _, h := range heads {
				add("head %+v", h)
				for row, err := range r.Feed(h.Scope, 0, math.MaxUint64) {
					if err != nil {
						return err
					}
					ids[row.ID] = true
					add("row %+v", row)
				}
			}
		}
		for n := range 40 {
			if !ids[id(n)] {
				continue
			}
			changes, err := all(r.Changes(id(n)))
			if err != nil {
				return err
			}
			past, err := all(r.PastWrites(id(n)))
			if err != nil {
				return err
			}
			add("changes %+v past writes %+v", changes, past)
		}
		inbox, err := r.Inbox("", nil, 100)
		if err != nil {
			return err
		}
		devices, err := r.Devices()
		if err != nil {
			return err
		}
		for _, d := range devices {
			receipts, err := r.Receipts(d.Device.ID, 100)
			if err != nil {
				return err
			}
			add("device %+v receipts %+v", d, receipts)
		}
		officers, err := r.Officers()
		if err != nil {
			return err
		}
		add("inbox %+v officers %+v", inbox, officers)
		stats, err := r.Stats()
		add("stats %+v", stats)
		return err
	})
	return out
}

// fill writes something into every table.
func (b *bench) fill() {
	b.Helper()
	b.must(b.s.Update(b.Context(),
		store.Step{Scopes: []string{string(home), store.DeviceScope("device-1")}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, everything(tx) }},
		step(store.EpochScope, func(tx store.Tx) error {
			_, err := tx.SetEpoch([16]byte{}, store.Epoch{ID: [16]byte{1}, Since: 5})
			return err
		}),
		step(store.RegistryScope, func(tx store.Tx) error {
			return errors.Join(tx.PutOfficer(store.Officer{ID: "officer-1"}), tx.PutDevice(device("device-1")), tx.SetGrants("device-1", nil, 3), tx.AddEnrolment(enrolment("code-1")))
		})))
	b.add(row(next, id(3), 0))
	b.must(b.s.Update(b.Context(), store.Step{Scopes: []string{string(home), string(next)}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, move(tx, next, home, id(3))
	}}))
}

// closed: a server that shuts down answers late requests with an error, not
// with a crash.
func closed(f *files) {
	s, err := f.open(f.Context(), f.path("store"))
	if err != nil {
		f.Fatal(err)
	}
	b := &bench{T: f.T, s: s}
	b.fill()
	for range 2 {
		b.must(s.Close())
	}
	b.wants(s.Update(f.Context(), step(string(home), func(store.Tx) error { return nil })), store.ErrClosed)
	b.wants(s.View(f.Context(), func(store.Reader) error { return nil }), store.ErrClosed)
	b.wants(s.Check(f.Context(), func(string) {}), store.ErrClosed)
	b.wants(s.Backup(f.Context(), f.path("backup")), store.ErrClosed)
}

// closing: what a step wrote before the server stopped is confirmed or not,
// but never half there.
func closing(f *files) {
	s, err := f.open(f.Context(), f.path("store"))
	if err != nil {
		f.Fatal(err)
	}
	b := &bench{T: f.T, s: s}
	started, goOn := make(chan struct{}), make(chan struct{})
	running, shut := make(chan error, 1), make(chan error, 1)
	go func() {
		running <- b.update(string(home), func(tx store.Tx) error {
			close(started)
			<-goOn
			return put(tx, row(home, id(1), 1))
		})
	}()
	<-started
	go func() { shut <- s.Close() }()
	var late error
	for late == nil || !errors.Is(late, store.ErrClosed) { // until Close has begun
		ended, cancel := context.WithCancel(f.Context())
		answer := make(chan error, 1)
		go func() { answer <- s.Update(ended, step(string(home), func(store.Tx) error { return nil })) }()
		cancel()
		late = <-answer
	}
	close(goOn)
	b.must(<-running)
	b.must(<-shut)
	again := f.bench("store")
	if got := again.feed(home, 0, math.MaxUint64); len(got) != 1 {
		f.Errorf("rows after closing: %+v", got)
	}
}

// reopened: the plainest promise.
func reopened(f *files) {
	s, err := f.open(f.Context(), f.path("store"))
	if err != nil {
		f.Fatal(err)
	}
	b := &bench{T: f.T, s: s}
	b.fill()
	want := b.dump()
	b.must(s.Close())
	again := f.bench("store")
	if diff := cmp.Diff(want, again.dump()); diff != "" {
		f.Errorf("after a restart (-before +after):\n%s", diff)
	}
	// What it had remembered still counts.
	again.must(again.s.Update(f.Context(), step(store.RegistryScope, func(tx store.Tx) error {
		again.wants(tx.AddEnrolment(enrolment("code-1")), store.ErrExists)
		past, err := tx.GrantHistory("device-1")
		if len(past) != 1 {
			f.Errorf("grant history after a restart: %+v", past)
		}
		return err
	}), step(store.DeviceScope("device-1"), func(tx store.Tx) error {
		witnesses, err := tx.Witnesses("device-1")
		if err != nil {
			return err
		}
		steps, err := tx.Steps("device-1", 1, 0, 9)
		if len(witnesses) != 1 || len(steps) != 1 {
			f.Errorf("after a restart: %d witnesses, %d chain steps", len(witnesses), len(steps))
		}
		return err
	})))
	again.add(row(home, id(8), 0))
}

// died: the files as a killed process leaves them are copied from within a
// step, when nothing else can write. Each copy opens, holds all that was
// confirmed before, nothing of the running step, and accepts writes.
func died(f *files) {
	b := f.bench("store")
	const copies, writes, others = 3, 40, 2
	heads := make([]uint64, copies) // as the dying step saw them
	b.together(1+others, func(i int) error {
		if i > 0 {
			for n := range writes {
				if err := b.update(string(home), func(tx store.Tx) error {
					_, err := edit(tx, home, id(i*100+n%7), increment)
					return err
				}); err != nil {
					return err
				}
			}
			return nil
		}
		for n := range copies {
			err := b.update(string(home), func(tx store.Tx) error {
				head, err := tx.Head(home)
				if err != nil {
					return err
				}
				heads[n] = head
				var rows []store.Row
				for k := range 60 { // 24 MB, so that an engine writes some before it commits
					r := row(home, id(1000+n*100+k), head+1+uint64(k)) //nolint:gosec // small
					r.State = []byte(strings.Repeat("unconfirmed ", 400<<10/12))
					rows = append(rows, r)
				}
				if err := put(tx, rows...); err != nil {
					return err
				}
				return errors.Join(copyFiles(f.dir, "store", fmt.Sprintf("copy-%d", n)), errWanted)
			})
			if !errors.Is(err, errWanted) {
				return err
			}
		}
		return nil
	})
	for n, head := range heads {
		f.survived(fmt.Sprintf("copy-%d", n), head, others)
	}
}

// survived checks a copy: the changes that were confirmed are there, in order,
// and nothing else. At most the last ones, of the callers who shared the dead
// transaction, are missing.
func (f *files) survived(name string, head, sharing uint64) {
	f.Helper()
	b := f.bench(name)
	got, total := b.head(home), 0
	for _, r := range b.feed(home, 0, math.MaxUint64) {
		if strings.HasPrefix(string(r.State), "unconfirmed") {
			f.Errorf("%s has a row of the step in which the process died", name)
			break
		}
		total += counter(&r)
	}
	if got > head || got+sharing < head || uint64(total) != got { //nolint:gosec // small
		f.Errorf("%s has head %d and %d changes; the dying step saw head %d, of which %d may have been unconfirmed", name, got, total, head, sharing)
	}
	b.add(row(next, id(1), 0))
}

// copyFiles copies path and the files beside it whose names begin with it.
func copyFiles(dir, from, to string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		suffix, ok := strings.CutPrefix(e.Name(), from)
		if !ok || e.IsDir() {
			continue
		}
		if err := copyFile(filepath.Join(dir, e.Name()), filepath.Join(dir, to+suffix)); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// backup: the copy on which everything will rest one day is made while the
// server runs. It must be one moment: a row without its journal, or a head
// without its row, is found when it is too late.
func backup(f *files) {
	b := f.bench("store")
	b.fill()
	const writes = 60
	var done atomic.Bool
	var confirmed atomic.Uint64
	confirmed.Store(b.head(home))
	var before []uint64 // what was confirmed when each backup began
	b.together(2, func(i int) error {
		if i == 0 {
			defer done.Store(true)
			for n := range writes {
				if err := b.update(string(home), func(tx store.Tx) error {
					_, err := edit(tx, home, id(100+n%9), increment)
					return err
				}); err != nil {
					return err
				}
				confirmed.Add(1)
			}
			return nil
		}
		for n := 0; !done.Load() || n == 0; n++ {
			before = append(before, confirmed.Load())
			if err := b.s.Backup(f.Context(), f.path(fmt.Sprintf("backup-%d", n))); err != nil {
				return err
			}
		}
		return nil
	})
	for n, atLeast := range before {
		copied := f.bench(fmt.Sprintf("backup-%d", n))
		rows, head := copied.feed(home, 0, math.MaxUint64), copied.head(home)
		if head < atLeast || len(rows) == 0 || rows[len(rows)-1].Seq != head {
			f.Errorf("backup %d has head %d and %d rows; %d changes were confirmed before it began", n, head, len(rows), atLeast)
		}
	}
	// With nobody writing, it is equal.
	b.must(b.s.Backup(f.Context(), f.path("last")))
	if diff := cmp.Diff(b.dump(), f.bench("last").dump()); diff != "" {
		f.Errorf("backup (-store +backup):\n%s", diff)
	}
}

// backupReplaces: the nightly backup has one name. One that fails must leave
// that of yesterday, and nothing else.
func backupReplaces(f *files) {
	b := f.bench("store")
	b.fill()
	b.must(b.s.Backup(f.Context(), f.path("nightly")))
	b.add(row(home, id(5), 0))
	ended, cancel := context.WithCancel(f.Context())
	cancel()
	if err := b.s.Backup(ended, f.path("nightly")); err == nil {
		f.Error("a cancelled backup reports success")
	}
	if err := b.s.Backup(f.Context(), filepath.Join(f.dir, "missing", "nightly")); err == nil {
		f.Error("a backup into no directory reports success")
	}
	b.must(b.s.Backup(f.Context(), f.path("nightly")))
	if diff := cmp.Diff(b.dump(), f.bench("nightly").dump()); diff != "" {
		f.Errorf("second backup (-store +backup):\n%s", diff)
	}
	entries, err := os.ReadDir(f.dir)
	b.must(err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "store") && !strings.HasPrefix(e.Name(), "nightly") {
			f.Errorf("a backup left %s", e.Name())
		}
	}
}
