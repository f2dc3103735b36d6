package sambang

import (
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// settledRecord makes a record that the server has applied as it is.
func settledRecord(t *testing.T, r *Replica) (ID, syncproto.VV) {
	t.Helper()
	id, err := r.Create("site", "35.24.14", Fields{"name": "Hotel"})
	if err != nil {
		t.Fatal(err)
	}
	w := rowOf(t, r, id)
	o := outcome{sent: sentItem{id: id, ctx: w.rec.Context(), home: w.scope}, result: wire.Result_RESULT_APPLIED}
	p := &response{r: r, rep: &Report{}}
	if err := r.update(func(tx *txn) error {
		done, err := p.settleApplied(tx, o)
		if !done {
			t.Error("a plain outcome took the long way")
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return id, o.sent.ctx
}

func rowOf(t *testing.T, r *Replica, id ID) (w *row) {
	t.Helper()
	if err := r.view(func(tx *cache.Tx) (err error) {
		w, err = getRow(tx, id)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

func beside(t *testing.T, r *Replica, id ID) (there bool) {
	t.Helper()
	if err := r.view(func(tx *cache.Tx) (err error) {
		there, err = tx.Has(bucketSettled, id[:])
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return there
}

func waits(t *testing.T, r *Replica, id ID, want bool) {
	t.Helper()
	st, _ := r.load()
	w := rowOf(t, r, id)
	w.inEpoch(st.link.EpochOrdinal)
	n := 0
	if err := r.view(func(tx *cache.Tx) error {
		for _, err := range waiting(tx, st, nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if w.toPush() != want || w.at.isZero() == want || (r.Counts().Waiting == 1) != want || want && n != 1 {
		t.Errorf("to push %v at %v, %d of %d counted; want waiting %v", w.toPush(), w.at, r.Counts().Waiting, n, want)
	}
}

func TestWhatIsSettledStaysSettledUntilItChanges(t *testing.T) {
	dir := t.TempDir()
	r, err := Open(dir, Options{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	id, ctx := settledRecord(t, r)
	waits(t, r, id, false)
	if w := rowOf(t, r, id); !w.acked.Equal(ctx) || w.home != w.scope {
		t.Errorf("acknowledged %v, home %q", w.acked, w.home)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = Open(dir, Options{Plain: true}); err != nil {
		t.Fatal(err)
	}
	waits(t, r, id, false)
	if err := r.Edit(id, func(d *Draft) error { d.Set("name", "Losmen"); return nil }); err != nil {
		t.Fatal(err)
	}
	waits(t, r, id, true)
	if w := rowOf(t, r, id); !w.acked.Equal(ctx) {
		t.Errorf("after an edit %v counts as acknowledged, want %v", w.acked, ctx)
	}
}

// In a new epoch nothing that the old one acknowledged counts.
func TestWhatIsSettledWaitsAgainInANewEpoch(t *testing.T) {
	r, err := Open(t.TempDir(), Options{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	id, _ := settledRecord(t, r)
	if err := r.update(func(tx *txn) error { return tx.adoptEpoch(make([]byte, 16)) }); err != nil {
		t.Fatal(err)
	}
	if err := r.repairs(); err != nil {
		t.Fatal(err)
	}
	waits(t, r, id, true)
	if w := rowOf(t, r, id); !w.acked.IsEmpty() {
		t.Errorf("%v counts as acknowledged", w.acked)
	}
}

// What stands beside a row goes when the row's context could come back: with
// an eviction, with a repair that cuts it, and with any change that is none of
// the contents.
func TestWhatIsSettledGoesWithItsRow(t *testing.T) {
	for name, change := range map[string]func(*txn, *row, row) error{
		"evicted": func(t *txn, w *row, _ row) error { return t.evict(w) },
		"broken": func(t *txn, w *row, before row) error {
			w.broken = true
			w.at = t.lowest(w)
			return t.put(w, before)
		},
		"cut": func(t *txn, w *row, before row) error {
			w.rec = syncproto.NewRecord(w.rec.ID())
			return t.put(w, before)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Open(t.TempDir(), Options{Plain: true})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			id, _ := settledRecord(t, r)
			if !beside(t, r, id) {
				t.Fatal("nothing stands beside the row")
			}
			if err := r.update(func(tx *txn) error {
				w, err := tx.row(id)
				if err != nil {
					return err
				}
				return change(tx, w, *w)
			}); err != nil {
				t.Fatal(err)
			}
			if beside(t, r, id) {
				t.Error("it still stands there")
			}
			if name == "broken" {
				waits(t, r, id, true)
			}
		})
	}
}
