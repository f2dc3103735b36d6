package hq_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/syncproto"
)

const (
	classD = syncproto.ClassDevice
	classT = syncproto.ClassTask
	classH = syncproto.ClassHQ
)

func page(t *testing.T, w *hqtest.World, r hq.Reader, f hq.Filter, cursor string, limit int) hq.Page {
	t.Helper()
	p, err := w.HQ.Log(t.Context(), r, f, cursor, limit)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ids returns the records of the whole log, read in pages of limit.
func ids(t *testing.T, w *hqtest.World, r hq.Reader, f hq.Filter, limit int) (out []string) {
	t.Helper()
	for cursor := ""; ; {
		p := page(t, w, r, f, cursor, limit)
		if len(p.Entries) > limit {
			t.Fatalf("page of %d entries, limit %d", len(p.Entries), limit)
		}
		for _, e := range p.Entries {
			out = append(out, e.ID)
		}
		if cursor = p.Cursor; cursor == "" {
			return out
		}
	}
}

func TestTheLogShowsARecordAsAWhole(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35.24"))
	id := a.Create(1, "site", "35.24.14", map[string]any{"name": "Kos Rekaan", "rooms": 12, "owner_name": "Tini Rekaan"})
	a.MustSync()

	all := page(t, w, hqtest.Reader(hqtest.Grant("35")), hq.Filter{}, "", 50)
	if len(all.Entries) != 1 || all.Cursor != "" {
		t.Fatalf("log = %+v, want one entry and no cursor", all)
	}
	e := all.Entries[0]
	if e.ID != id.String() || e.Kind != "site" || e.Agency != "imigrasi" || e.Officer != "off-a" || len(e.Parts) != 2 || e.Parts[0].ID != e.ID {
		t.Errorf("entry = %+v", e)
	}
	if got, want := string(e.Doc), `{"name":"Kos Rekaan","owner_name":"Tini Rekaan","rooms":12}`; got != want {
		t.Errorf("doc = %s, want %s", got, want)
	}

	wide := page(t, w, hqtest.Reader(hqtest.Grant("35", classD)), hq.Filter{}, "", 50)
	if got, want := string(wide.Entries[0].Doc), `{"name":"Kos Rekaan","rooms":12}`; got != want {
		t.Errorf("a reader of class D sees %s, want %s", got, want)
	}
	narrow := page(t, w, hqtest.Reader(hqtest.Grant("35", classT)), hq.Filter{}, "", 50)
	if got, want := string(narrow.Entries[0].Doc), `{"owner_name":"Tini Rekaan"}`; got != want || len(narrow.Entries) != 1 {
		t.Errorf("a reader of class T alone sees %s, want %s", got, want)
	}
}

func TestAChangeOfACompanionBringsTheRecordToTheFront(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35.24"))
	first := a.Create(1, "site", "35.24.14", map[string]any{"name": "x", "owner_name": "y"})
	a.MustSync()
	w.Tick(time.Minute)
	second := a.Create(2, "site", "35.24.14", map[string]any{"name": "z"})
	a.MustSync()
	w.Tick(time.Minute)
	a.Set(syncproto.CompanionID(first, classT), "owner_name", "other")
	a.MustSync()

	r := hqtest.Reader(hqtest.Grant("35"))
	if got, want := ids(t, w, r, hq.Filter{}, 1), []string{first.String(), second.String()}; !slices.Equal(got, want) {
		t.Errorf("log = %v, want %v", got, want)
	}
	wide := hqtest.Reader(hqtest.Grant("35", classD))
	if got, want := ids(t, w, wide, hq.Filter{}, 1), []string{second.String(), first.String()}; !slices.Equal(got, want) {
		t.Errorf("log of a reader of class D = %v, want %v: he must not see that a stricter part changed", got, want)
	}
}

func TestFiltersSelect(t *testing.T) {
	w := newWorld(t, nil)
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	b := w.Device("b", "disnaker", hqtest.Grant("35"))
	early := w.Now()
	one := a.Create(1, "site", "35.24.14", map[string]any{"name": "one"})
	a.MustSync()
	w.Tick(time.Hour)
	late := w.Now()
	two := b.Create(2, "meeting", "35.25.01", map[string]any{"place": "two"})
	b.MustSync()
	gone := a.Create(3, "site", "35.24.15", map[string]any{"name": "gone"})
	a.MustSync()
	a.Delete(gone)
	a.MustSync()

	r := hqtest.Reader(hqtest.Grant("35"))
	for name, c := range map[string]struct {
		words string
		want  []syncproto.RecordID
	}{
		"nothing":          {"", []syncproto.RecordID{two, one}},
		"deleted ones too": {"deleted=true", []syncproto.RecordID{gone, two, one}},
		"a regency":        {"region=35.24", []syncproto.RecordID{one}},
		"a district":       {"region=35.25.01", []syncproto.RecordID{two}},
		"a kind":           {"kind=meeting", []syncproto.RecordID{two}},
		"an agency":        {"agency=imigrasi", []syncproto.RecordID{one}},
		"from":             {"from=" + late.UTC().Format(time.RFC3339), []syncproto.RecordID{two}},
		"to":               {"to=" + late.UTC().Format(time.RFC3339), []syncproto.RecordID{one}},
		"a day":            {"from=2026-02-25 to=2026-02-25", []syncproto.RecordID{two, one}},
		"another day":      {"to=2026-02-24", nil},
		"conflicts":        {"conflicts=only", nil},
	} {
		words := map[string]string{}
		for _, word := range strings.Fields(c.words) {
			k, v, _ := strings.Cut(word, "=")
			words[k] = v
		}
		f, err := hq.ParseFilter(words)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var want []string
		for _, id := range c.want {
			want = append(want, id.String())
		}
		if got := ids(t, w, r, f, 2); !slices.Equal(got, want) {
			t.Errorf("%s (since %s): %v, want %v", name, early.UTC(), got, want)
		}
	}
}

func TestAnUnknownFilterIsRefused(t *testing.T) {
	for _, words := range []map[string]string{
		{"nationality": "CN"}, {"sort": "nationality"}, {"order": "x"}, {"q": "x"}, {"doc.nationality": "CN"},
		{"region": "surabaya"}, {"region": "35.24.14.2011"}, {"kind": "a b"}, {"from": "yesterday"}, {"from": "2026-04-06T08:00:00"},
		{"deleted": "1"}, {"conflicts": "all"}, {"from": "2026-04-07", "to": "2026-04-06"},
	} {
		if _, err := hq.ParseFilter(words); !errors.Is(err, syncproto.CodeFilterInvalid) {
			t.Errorf("ParseFilter(%v) = %v, want filter_invalid", words, err)
		} else if strings.Contains(err.Error(), "CN") || strings.Contains(err.Error(), "surabaya") {
			t.Errorf("the error repeats a value: %v", err)
		}
	}
}

func TestOnlyConflictsAreListed(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.Device("a", "imigrasi", hqtest.Grant("35")), w.Device("b", "disnaker", hqtest.Grant("35"))
	a.Create(1, "site", "35.24.14", map[string]any{"name": "quiet"})
	id := a.Create(2, "site", "35.24.14", map[string]any{"name": "x", "owner_name": "Tini"})
	a.MustSync()
	owner := syncproto.CompanionID(id, classT)
	b.Take(a, owner)
	a.Set(owner, "owner_name", "Tini A")
	b.Set(owner, "owner_name", "Tini B")
	a.MustSync()
	b.MustSync()

	f := hq.Filter{Conflicts: true}
	if got, want := ids(t, w, hqtest.Reader(hqtest.Grant("35")), f, 1), []string{id.String()}; !slices.Equal(got, want) {
		t.Errorf("conflicts = %v, want %v", got, want)
	}
	if got := ids(t, w, hqtest.Reader(hqtest.Grant("35", classD)), f, 1); len(got) != 0 {
		t.Errorf("a reader of class D sees that a stricter part is contested: %v", got)
	}
}

func TestPagesUnderConcurrentChanges(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.Device("a", "imigrasi", hqtest.Grant("35")), w.Device("b", "polri", hqtest.Grant("35"))
	const n = 120
	for i := range n {
		a.Create(i, "site", fmt.Sprintf("35.24.%02d", 10+i%5), map[string]any{"name": fmt.Sprint(i), "owner_name": "x"})
		if i%10 == 9 {
			a.MustSync()
			w.Tick(time.Second)
		}
	}
	for i := range n {
		b.Take(a, hqtest.ID(i))
	}
	changed := map[string]bool{}
	seen := map[string]int{}
	keys := map[string]bool{}
	r := hqtest.Reader(hqtest.Grant("35"))
	i := 0
	for cursor := ""; ; {
		p := page(t, w, r, hq.Filter{}, cursor, 7)
		for _, e := range p.Entries {
			seen[e.ID]++
			key := fmt.Sprint(e.Scope, e.Seq)
			if keys[key] {
				t.Errorf("key %s came twice", key)
			}
			keys[key] = true
		}
		if cursor = p.Cursor; cursor == "" {
			break
		}
		for range 3 { // somebody changes records while pages are read
			id := hqtest.ID(i * 17 % n)
			b.Set(id, "rooms", i)
			changed[id.String()] = true
			i++
		}
		b.MustSync()
		w.Tick(time.Second)
	}
	for i := range n {
		id := hqtest.ID(i).String()
		if seen[id] > 1 {
			t.Errorf("record %d came %d times", i, seen[id])
		}
		if !changed[id] && seen[id] != 1 {
			t.Errorf("record %d did not change and came %d times", i, seen[id])
		}
	}
	if got := ids(t, w, r, hq.Filter{}, 50); len(got) != n {
		t.Errorf("read anew: %d records, want %d", len(got), n)
	}
}

func TestPagesBesideAWriter(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.Device("a", "imigrasi", hqtest.Grant("35")), w.Device("b", "polri", hqtest.Grant("35"))
	for i := range 60 {
		a.Create(i, "site", "35.24.14", map[string]any{"name": fmt.Sprint(i)})
	}
	a.MustSync()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for i := 100; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			b.Create(i, "site", "35.24.15", map[string]any{"name": fmt.Sprint(i)})
			if err := b.Sync(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 5 {
		got := ids(t, w, hqtest.Reader(hqtest.Grant("35.24.14")), hq.Filter{}, 9)
		if len(got) != 60 || len(maps.Collect(maps.All(set(got)))) != 60 {
			t.Errorf("%d records, %d different, want 60", len(got), len(set(got)))
		}
	}
	close(stop)
	wg.Wait()
}

func set(ids []string) map[string]bool {
	out := map[string]bool{}
	for _, id := range ids {
		out[id] = true
	}
	return out
}

func TestACursorBelongsToItsFilterRouteAndServer(t *testing.T) {
	w := newWorld(t, nil)
	other := newWorld(t, func(c *hq.Config) { c.Secret = []byte("another server's secret, 32 bytes") })
	a := w.Device("a", "imigrasi", hqtest.Grant("35"))
	for i := range 3 {
		a.Create(i, "site", "35.24.14", map[string]any{"name": "x"})
	}
	a.MustSync()
	r := hqtest.Reader(hqtest.Grant("35"))
	cursor := page(t, w, r, hq.Filter{}, "", 1).Cursor
	if cursor == "" {
		t.Fatal("no cursor")
	}
	var lines hqtest.Lines
	if err := w.HQ.Stream(t.Context(), r, hq.Filter{}, "", false, &lines); err != nil {
		t.Fatal(err)
	}
	stream := lines.Cursor()
	refused := func(name string, err error) {
		t.Helper()
		if !errors.Is(err, syncproto.CodeCursorInvalid) {
			t.Errorf("%s: %v, want cursor_invalid", name, err)
		}
	}
	ask := func(w *hqtest.World, f hq.Filter, c string) error {
		_, err := w.HQ.Log(t.Context(), r, f, c, 1)
		return err
	}
	refused("another filter", ask(w, hq.Filter{Kind: "site"}, cursor))
	refused("another server", ask(other, hq.Filter{}, cursor))
	refused("of the stream", ask(w, hq.Filter{}, stream))
	refused("a page's, for the stream", w.HQ.Stream(t.Context(), r, hq.Filter{}, cursor, false, &hqtest.Lines{}))
	refused("another filter, for the stream", w.HQ.Stream(t.Context(), r, hq.Filter{Deleted: true}, stream, false, &hqtest.Lines{}))
	_, err := w.HQ.Inbox(t.Context(), r, hq.InboxFilter{}, cursor, 1)
	refused("a page's, for the inbox", err)
	for i := range len(cursor) {
		changed := []byte(cursor)
		changed[i] ^= 1
		refused(fmt.Sprintf("changed at %d", i), ask(w, hq.Filter{}, string(changed)))
	}
	refused("nothing of the kind", ask(w, hq.Filter{}, "hello"))
	refused("too long", ask(w, hq.Filter{}, strings.Repeat("A", 20_000)))
	if err := ask(w, hq.Filter{}, cursor); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestARegionOfSomebodyElseIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	r := hqtest.Reader(hqtest.Grant("35.24"))
	for region, want := range map[syncproto.Region]bool{"35": true, "35.24": true, "35.24.14": true, "35.25": false, "36": false} {
		_, err := w.HQ.Log(t.Context(), r, hq.Filter{Region: region}, "", 1)
		if got := err == nil; got != want {
			t.Errorf("region %s: %v", region, err)
		}
		if err != nil && !errors.Is(err, syncproto.CodeForbidden) {
			t.Errorf("region %s: %v, want forbidden", region, err)
		}
	}
}
