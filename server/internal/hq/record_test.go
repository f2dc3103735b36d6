package hq_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func field(t *testing.T, rec hq.Record, path string) hq.Field {
	t.Helper()
	i := slices.IndexFunc(rec.Fields, func(f hq.Field) bool { return f.Path == path })
	if i < 0 {
		t.Fatalf("no field %s", path)
	}
	return rec.Fields[i]
}

func TestARecordTellsWhoWroteWhatAndWhyItIsShown(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.Device("a", "imigrasi", hqtest.Grant("35")), w.Device("b", "disnaker", hqtest.Grant("35"))
	id := a.Create(1, "site", "35.24.14", map[string]any{"name": "first"})
	w.Tick(time.Minute)
	a.Set(id, "name", "second") // overwrites before the server sees the first
	a.MustSync()
	b.Take(a, id)
	w.Tick(time.Minute)
	a.Set(id, "name", "by a")
	w.Tick(time.Minute)
	b.Set(id, "name", "by b")
	a.MustSync()
	b.MustSync()

	rec, err := w.HQ.Record(t.Context(), hqtest.Reader(hqtest.Grant("35")), id)
	if err != nil {
		t.Fatal(err)
	}
	f := field(t, rec, "name")
	if !f.Conflict || f.Review || f.Why != "latest" || f.Policy != pack.PolicyLWW || len(f.Values) != 2 {
		t.Errorf("field = %+v", f)
	}
	for _, v := range f.Values {
		shown := string(v.Value) == `"by b"`
		if v.Shown != shown || !v.Present || v.ReceivedAt == "" || v.WrittenAt == "" {
			t.Errorf("value = %+v", v)
		}
		if officer := map[bool]string{true: "off-b", false: "off-a"}[shown]; v.Officer != officer || v.Via != v.Device {
			t.Errorf("%s was written by %s with %s via %s", v.Value, v.Officer, v.Device, v.Via)
		}
	}
	var history []string
	for _, h := range f.History {
		history = append(history, string(h.Value))
		if h.Device == "" || h.Agency == "" || h.ReceivedAt == "" {
			t.Errorf("write = %+v: nobody knows whose", h)
		}
		if overwritten := string(h.Value) == `"first"` || string(h.Value) == `"second"`; h.Present == overwritten {
			t.Errorf("write = %+v", h)
		}
	}
	if want := []string{`"first"`, `"second"`, `"by a"`, `"by b"`}; !slices.Equal(history, want) {
		t.Errorf("history = %v, want %v", history, want)
	}
	if f := field(t, rec, "$kind"); f.Conflict || f.Why != "only_value" || len(f.History) != 1 {
		t.Errorf("kind = %+v", f)
	}
	if rec.Conflicts != 1 || string(rec.Doc) != `{"name":"by b"}` {
		t.Errorf("record = %+v", rec.Entry)
	}
}

func TestARecordHasThePartsThatTheReaderMaySee(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	id := a.Create(1, "encounter", "35.24.14", map[string]any{"activity": "x", "restricted": true})
	a.MustSync()
	companion := syncproto.CompanionID(id, classH)
	ask := func(id syncproto.RecordID, classes ...syncproto.Class) (hq.Record, error) {
		return w.HQ.Record(t.Context(), hqtest.Reader(hqtest.Grant("35", classes...)), id)
	}
	for _, name := range []syncproto.RecordID{id, companion} {
		rec, err := ask(name, classT, classH)
		if err != nil || rec.ID != id.String() || len(rec.Parts) != 2 {
			t.Errorf("by id %s: %+v, %v", name, rec.Entry, err)
		}
	}
	rec, err := ask(id, classT)
	if err != nil || len(rec.Parts) != 1 || slices.ContainsFunc(rec.Fields, func(f hq.Field) bool { return f.Path == "restricted" }) {
		t.Errorf("a reader of class T: %+v, %v", rec, err)
	}
	for name, err := range map[string]error{
		"of the record": second(ask(id, classD)), "of its companion": second(ask(companion, classD)), "of the companion, with class T": second(ask(companion, classT)),
	} {
		if !errors.Is(err, syncproto.CodeNotFound) {
			t.Errorf("the id %s: %v, want not_found", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestHistoryOfAStricterClassStaysThere(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	id := a.Create(1, "mandate", "35.24.14", map[string]any{"number": "1"})
	a.Set(id, "note", "told in class H")
	a.Set(id, "note", "public")
	a.Damage = func(_ *wire.Open, batches []*wire.Batch) { // the overwritten write names another class
		b := batches[0]
		b.Tables.Scopes = append(b.Tables.Scopes, "35.24.14/H")
		b.History[0].Scope = uint32(len(b.Tables.Scopes) - 1)
	}
	a.MustSync()

	for _, c := range []struct {
		classes []syncproto.Class
		want    []string
	}{
		{[]syncproto.Class{classD}, []string{`"public"`}},
		{nil, []string{`"told in class H"`, `"public"`}},
	} {
		rec, err := w.HQ.Record(t.Context(), hqtest.Reader(hqtest.Grant("35", c.classes...)), id)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range field(t, rec, "note").History {
			got = append(got, string(h.Value))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("a reader of classes %v sees %v, want %v", c.classes, got, c.want)
		}
	}
}

// spy counts what a question asks of the store.
type spy struct {
	hq.Store
	calls []string
}

func (s *spy) View(ctx context.Context, fn func(store.Reader) error) error {
	s.calls = append(s.calls, "view")
	return s.Store.View(ctx, func(r store.Reader) error { return fn(spyReader{r, s}) })
}

type spyReader struct {
	store.Reader
	s *spy
}

func (r spyReader) Live(ids []syncproto.RecordID) ([]store.Row, error) {
	r.s.calls = append(r.s.calls, "live")
	return r.Reader.Live(ids)
}

func (r spyReader) Changes(id syncproto.RecordID) iter.Seq2[store.Change, error] {
	r.s.calls = append(r.s.calls, "changes")
	return r.Reader.Changes(id)
}

func (r spyReader) PastWrites(id syncproto.RecordID) iter.Seq2[store.PastWrite, error] {
	r.s.calls = append(r.s.calls, "past")
	return r.Reader.PastWrites(id)
}

func (r spyReader) Authors(ids []syncproto.ReplicaID) ([]store.Author, error) {
	r.s.calls = append(r.s.calls, "authors")
	return r.Reader.Authors(ids)
}

func TestARecordOutOfReachIsLikeNone(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	id := a.Create(1, "encounter", "35.25.01", map[string]any{"activity": "x", "restricted": true})
	a.MustSync()
	watched := &spy{Store: w.Store}
	service, err := hq.New(hq.Config{Store: watched, Decisions: w.Engine, Secret: hqtest.Secret, Pack: w.Pack, Now: w.Now})
	if err != nil {
		t.Fatal(err)
	}
	r := hqtest.Reader(hqtest.Grant("35.24"))
	ask := func(id syncproto.RecordID) (string, []string) {
		watched.calls = nil
		_, err := service.Record(t.Context(), r, id)
		if !errors.Is(err, syncproto.CodeNotFound) {
			t.Errorf("record %s: %v, want not_found", id, err)
		}
		return err.Error(), watched.calls
	}
	text, calls := ask(hqtest.ID(99))
	for _, there := range []syncproto.RecordID{id, syncproto.CompanionID(id, classH)} {
		if got, did := ask(there); got != text || !slices.Equal(did, calls) {
			t.Errorf("out of reach: %q after %v; not there: %q after %v", got, did, text, calls)
		}
	}
	if _, err := service.Purge(t.Context(), r, id, "reason"); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("purge out of reach: %v, want not_found", err)
	}
}

func TestAPurgeLeavesNoContent(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	id := a.Create(1, "site", "35.24.14", map[string]any{"name": "Tini Rekaan", "owner_name": "Tini Rekaan"})
	a.MustSync()
	a.Set(id, "name", "Budi Rekaan")
	a.MustSync()
	r := hqtest.Reader(hqtest.Grant("35", classD))
	for _, reason := range []string{"", "  ", "two\nlines", string(make([]byte, 600))} {
		if _, err := w.HQ.Purge(t.Context(), r, id, reason); !errors.Is(err, syncproto.CodeBadValue) {
			t.Errorf("reason %q: %v, want bad_value", reason, err)
		}
	}
	for range 2 {
		e, err := w.HQ.Purge(t.Context(), r, id, "retention over")
		if err != nil || !e.Purged || string(e.Doc) != "{}" {
			t.Fatalf("purged = %+v, %v", e, err)
		}
	}
	rec, err := w.HQ.Record(t.Context(), hqtest.Reader(hqtest.Grant("35")), id)
	if err != nil || !rec.Purged || rec.Erased == 0 || len(rec.Parts) != 2 {
		t.Fatalf("record = %+v, %v", rec, err)
	}
	for _, f := range rec.Fields {
		if f.Path[0] == '$' {
			continue
		}
		for _, h := range f.History {
			if h.Value != nil {
				t.Errorf("%s has still %s", f.Path, h.Value)
			}
		}
	}
	f := field(t, rec, "$purge")
	if len(f.Values) != 1 || !f.Values[0].Server || f.Values[0].Officer != "hq-reader" {
		t.Errorf("purge = %+v", f.Values)
	}
	if got := ids(t, w, r, hq.Filter{}, 10); len(got) != 0 {
		t.Errorf("log = %v", got)
	}
	if got := ids(t, w, r, hq.Filter{Deleted: true}, 10); !slices.Equal(got, []string{id.String()}) {
		t.Errorf("log with deleted = %v", got)
	}
}
