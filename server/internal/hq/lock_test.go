package hq_test

import (
	"context"
	"errors"
	"testing"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// lock is a store with a second lock, that a test has the key of.
type lock struct {
	store.Store
	t      *testing.T
	viewAs func(ctx context.Context, grants syncproto.Grants, now int64, fn func(store.Reader) error) error
	views  int
}

func (l *lock) View(context.Context, func(store.Reader) error) error {
	l.t.Error("headquarters read past the second lock")
	return errors.New("past the lock")
}

func (l *lock) ViewAs(ctx context.Context, grants syncproto.Grants, now int64, fn func(store.Reader) error) error {
	l.views++
	return l.viewAs(ctx, grants, now, fn)
}

// asked asks everything that headquarters can ask, and returns how much came.
func asked(t *testing.T, s *hq.Service, r hq.Reader, id syncproto.RecordID) (entries, devices int, found bool) {
	t.Helper()
	page, err := s.Log(t.Context(), r, hq.Filter{}, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	var lines hqtest.Lines
	if err := s.Stream(t.Context(), r, hq.Filter{}, "", false, &lines); err != nil {
		t.Fatal(err)
	}
	streamed := 0
	for _, l := range lines.All() {
		if l.Entry != nil {
			streamed++
		}
	}
	if streamed != len(page.Entries) {
		t.Errorf("%d entries in the log, %d in the stream", len(page.Entries), streamed)
	}
	if _, err := s.Inbox(t.Context(), r, hq.InboxFilter{}, "", 100); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Message(t.Context(), r, syncproto.Digest{}); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("a message that is not there: %v", err)
	}
	all, err := s.Devices(t.Context(), r, "", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Record(t.Context(), r, id)
	if err != nil && !errors.Is(err, syncproto.CodeNotFound) {
		t.Fatal(err)
	}
	_, purged := s.Purge(t.Context(), r, id, "reason")
	if (purged == nil) != (err == nil) {
		t.Errorf("record: %v, purge: %v", err, purged)
	}
	return len(page.Entries), len(all), err == nil
}

func behind(t *testing.T, w *hqtest.World, l *lock) *hq.Service {
	t.Helper()
	l.Store, l.t = w.Store, t
	s, err := hq.New(hq.Config{Store: l, Decisions: w.Engine, Secret: hqtest.Secret, Pack: w.Pack, Now: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestEachReadOfHeadquartersIsLocked: a store that has a second lock is asked
// through it, with the grants of who asks, and in no other way.
func TestEachReadOfHeadquartersIsLocked(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	id := a.Create(1, "site", "35.24.14", map[string]any{"name": "one"})
	a.MustSync()
	r := hqtest.Reader(hqtest.Grant("35.24"))
	l := &lock{viewAs: func(ctx context.Context, grants syncproto.Grants, now int64, fn func(store.Reader) error) error {
		if len(grants) != 1 || grants[0].Region != "35.24" || now != w.Now().UnixMilli() {
			t.Errorf("locked with %+v at %d", grants, now)
		}
		return w.Store.View(ctx, fn)
	}}
	if entries, devices, found := asked(t, behind(t, w, l), r, id); entries != 1 || devices != 1 || !found || l.views < 8 {
		t.Errorf("%d entries, %d devices, found %v by %d views", entries, devices, found, l.views)
	}
}

// TestAForgottenFilterShowsNothing: the service believes that a reader may see
// all of a country, as if its own filters were gone. PostgreSQL knows what he
// may see.
func TestAForgottenFilterShowsNothing(t *testing.T) {
	w := hqtest.NewOn(t, locked(t), nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"), hqtest.Grant("36"))
	out := a.Create(1, "site", "35.24.14", map[string]any{"name": "out of reach"})
	a.Create(2, "site", "36.01.01", map[string]any{"name": "within"})
	a.MustSync()
	pg, ok := w.Store.(store.GrantedViewer)
	if !ok {
		t.Fatal("PostgreSQL has no second lock")
	}
	everywhere := hqtest.Reader(hqtest.Grant("35"), hqtest.Grant("36"))
	narrow := func(g syncproto.Grants) *hq.Service {
		return behind(t, w, &lock{viewAs: func(ctx context.Context, _ syncproto.Grants, now int64, fn func(store.Reader) error) error {
			return pg.ViewAs(ctx, g, now, fn)
		}})
	}
	if entries, _, found := asked(t, narrow(nil), everywhere, out); entries != 0 || found {
		t.Errorf("without grants: %d entries, found %v", entries, found)
	}
	if entries, _, found := asked(t, narrow(syncproto.Grants{hqtest.Grant("36")}), everywhere, out); entries != 1 || found {
		t.Errorf("with the other province: %d entries, found %v", entries, found)
	}
	if entries, _, found := asked(t, narrow(everywhere.Grants), everywhere, out); entries != 2 || !found {
		t.Errorf("with both: %d entries, found %v", entries, found)
	}
}
