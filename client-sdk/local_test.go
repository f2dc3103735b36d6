package sambang_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

func open(t *testing.T, dir string, change func(*sambang.Options)) *sambang.Replica {
	t.Helper()
	o := sambang.Options{Plain: true}
	if change != nil {
		change(&o)
	}
	r, err := sambang.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func create(t *testing.T, r *sambang.Replica, fields sambang.Fields) sambang.ID {
	t.Helper()
	id, err := r.Create("site", "35.24.14.2011", fields)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func get(t *testing.T, r *sambang.Replica, id sambang.ID) *sambang.Record {
	t.Helper()
	rec, err := r.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func TestARecordIsThereAfterOpeningAgain(t *testing.T) {
	dir := t.TempDir()
	r := open(t, dir, nil)
	id := create(t, r, sambang.Fields{"name": "Hotel", "rooms": 12, "tags": []any{"a", "b"}, "none": nil})
	before := r.Status().Replica
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, dir, nil)
	rec := get(t, r, id)
	if rec.Kind != "site" || rec.Region != "35.24.14" || rec.Fields["name"] != "Hotel" || rec.Fields["rooms"] != json.Number("12") {
		t.Errorf("got %+v", rec)
	}
	if _, ok := rec.Fields["none"]; ok {
		t.Error("a nil field was kept")
	}
	if rec.Custody != sambang.CustodyOnPhone || r.Counts().Waiting != 1 || r.Counts().Records != 1 {
		t.Errorf("custody %s, counts %+v", rec.Custody, r.Counts())
	}
	if r.Status().Replica != before {
		t.Error("an ordinary restart took a new replica id")
	}
	if rec.UpdatedBy.Replica != before || !rec.UpdatedBy.Mine {
		t.Errorf("updated by %+v", rec.UpdatedBy)
	}
}

func TestBadInputIsRefusedAndKeepsNothing(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	for _, c := range []struct {
		name, kind, region string
		fields             sambang.Fields
		want               syncproto.Code
	}{
		{"a region that is none", "site", "Surabaya", nil, syncproto.CodeBadScope},
		{"a region wider than a district", "site", "35.24", nil, syncproto.CodeBadScope},
		{"no kind", "", "35.24.14", nil, syncproto.CodeBadRecord},
		{"a reserved field", "site", "35.24.14", sambang.Fields{"$scope": "x"}, syncproto.CodeBadPath},
		{"a value without a JSON form", "site", "35.24.14", sambang.Fields{"x": func() {}}, syncproto.CodeBadValue},
		{"text that is not UTF-8", "site", "35.24.14", sambang.Fields{"x": json.RawMessage("\"\xff\"")}, syncproto.CodeInvalidUTF8},
		{"a value that is too large", "site", "35.24.14", sambang.Fields{"x": strings.Repeat("x", 70_000)}, syncproto.CodeTooLarge},
		{"a value that is too deep", "site", "35.24.14", sambang.Fields{"x": json.RawMessage(strings.Repeat("[", 40) + strings.Repeat("]", 40))}, syncproto.CodeTooDeep},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.Create(c.kind, c.region, c.fields); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
	big := sambang.Fields{}
	for i := range 10 {
		big[strings.Repeat("f", i+1)] = strings.Repeat("x", 60_000)
	}
	if _, err := r.Create("site", "35.24.14", big); !errors.Is(err, syncproto.CodeTooLarge) {
		t.Errorf("a record that is too large: %v", err)
	}
	if c := r.Counts(); c != (sambang.Counts{}) {
		t.Errorf("something was kept: %+v", c)
	}
}

func TestEditWritesOnlyWhatWasTouched(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	id := create(t, r, sambang.Fields{"name": "a", "rooms": 1, "old": true})
	err := r.Edit(id, func(d *sambang.Draft) error {
		if d.Kind != "site" || d.ID != id || d.Text("name") != "a" || d.Get("rooms") != json.Number("1") {
			t.Errorf("draft shows %v", d.Fields())
		}
		d.Set("name", "b")
		d.Set("rooms", 1) // as it was
		d.Remove("old")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	rec := get(t, r, id)
	if _, ok := rec.Fields["old"]; ok || rec.Fields["name"] != "b" {
		t.Errorf("got %v", rec.Fields)
	}
	boom := errors.New("boom")
	if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("name", "c"); return boom }); !errors.Is(err, boom) {
		t.Errorf("error of the function: %v", err)
	}
	if got := get(t, r, id).Fields["name"]; got != "b" {
		t.Errorf("name is %v after a failed edit", got)
	}
	if err := r.Edit(sambang.ID{1}, func(*sambang.Draft) error { return nil }); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("edit of nothing: %v", err)
	}
}

func TestEditSeenRefusesWhatNobodyLookedAt(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	id := create(t, r, sambang.Fields{"name": "a", "rooms": 1})
	seen := get(t, r, id)
	if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("name", "b"); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.EditSeen(seen, func(d *sambang.Draft) error { d.Set("name", "c"); return nil }); !errors.Is(err, sambang.ErrChanged) {
		t.Errorf("got %v", err)
	}
	if err := r.EditSeen(seen, func(d *sambang.Draft) error { d.Set("rooms", 2); return nil }); err != nil {
		t.Errorf("another field: %v", err)
	}
}

func TestDeleteAndUndelete(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	id := create(t, r, sambang.Fields{"name": "a"})
	for range 2 {
		if err := r.Delete(id); err != nil {
			t.Fatal(err)
		}
	}
	if !get(t, r, id).Deleted || r.Counts().Records != 0 {
		t.Error("not deleted")
	}
	if n := count(t, r, sambang.Filter{}); n != 0 {
		t.Errorf("%d listed", n)
	}
	if n := count(t, r, sambang.Filter{Deleted: true}); n != 1 {
		t.Errorf("%d listed with the deleted", n)
	}
	if err := r.Undelete(id); err != nil {
		t.Fatal(err)
	}
	if get(t, r, id).Deleted || r.Counts().Records != 1 {
		t.Error("still deleted")
	}
}

func count(t *testing.T, r *sambang.Replica, f sambang.Filter) int {
	t.Helper()
	n := 0
	for _, err := range r.List(f) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestListFiltersAndLetsTheLoopWrite(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	for i := range 250 {
		kind, region := "site", "35.24.14"
		if i%2 == 0 {
			kind = "document"
		}
		if i%5 == 0 {
			region = "35.24.15"
		}
		if _, err := r.Create(kind, region, sambang.Fields{"i": i}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		f    sambang.Filter
		want int
	}{
		{sambang.Filter{}, 250},
		{sambang.Filter{Kind: "site"}, 125},
		{sambang.Filter{Region: "35.24.15"}, 50},
		{sambang.Filter{Region: "35.24"}, 250},
		{sambang.Filter{Region: "33"}, 0},
		{sambang.Filter{Kind: "site", Region: "35.24.14"}, 100},
		{sambang.Filter{Waiting: true}, 250},
		{sambang.Filter{Conflicts: true}, 0},
	} {
		if n := count(t, r, c.f); n != c.want {
			t.Errorf("%+v: %d, want %d", c.f, n, c.want)
		}
	}
	n := 0
	for rec, err := range r.List(sambang.Filter{Kind: "site"}) {
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Edit(rec.ID, func(d *sambang.Draft) error { d.Set("seen", true); return nil }); err != nil {
			t.Fatal(err)
		}
		if n++; n == 120 {
			break
		}
	}
	if n != 120 {
		t.Errorf("the loop saw %d", n)
	}
}

func TestStricterFieldsLiveInCompanions(t *testing.T) {
	r := open(t, t.TempDir(), func(o *sambang.Options) { o.Pack = pack.Timpora() })
	id := create(t, r, sambang.Fields{"name": "Hotel", "owner_name": "Tuan X"})
	rec := get(t, r, id)
	if !slices.Equal(rec.Classes, []syncproto.Class{"D", "T"}) || rec.Fields["owner_name"] != "Tuan X" {
		t.Errorf("classes %v, fields %v", rec.Classes, rec.Fields)
	}
	if c := r.Counts(); c.Records != 1 || c.Waiting != 2 {
		t.Errorf("counts %+v", c)
	}
	if n := count(t, r, sambang.Filter{}); n != 1 {
		t.Errorf("%d listed: companions are parts, not records", n)
	}
	var out []syncproto.Class
	for w, err := range r.Outbox() {
		if err != nil || w.ID != id {
			t.Errorf("outbox %+v %v", w, err)
		}
		out = append(out, w.Class)
	}
	if !slices.Equal(out, []syncproto.Class{"D", "T"}) {
		t.Errorf("outbox has classes %v", out)
	}
}

func TestWatchTellsChangesOnce(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got := make(chan sambang.Change, 10)
	ready := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		first := true
		for c := range r.Watch(ctx) {
			if first {
				first = false
				close(ready)
			}
			got <- c
		}
	}()
	// Watch begins when its loop does: write until it has seen something.
	var id sambang.ID
	for started := false; !started; {
		id = create(t, r, sambang.Fields{"name": "a"})
		select {
		case <-ready:
			started = true
		case <-time.After(20 * time.Millisecond):
		}
	}
	c := <-got
	if c.What != sambang.ChangeCreated || c.From != sambang.SourceLocal || c.Kind != "site" {
		t.Errorf("got %+v", c)
	}
	if err := r.Delete(id); err != nil {
		t.Fatal(err)
	}
	for c := range got {
		if c.ID == id {
			break
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Error("Watch did not end with Close")
	}
}

func TestTypedRecords(t *testing.T) {
	type site struct {
		Name  string   `json:"name"`
		Rooms int      `json:"rooms,omitempty"`
		Tags  []string `json:"tags,omitempty"`
	}
	r := open(t, t.TempDir(), nil)
	sites := sambang.Typed[site](r, "site")
	id, err := sites.Create("35.24.14", site{Name: "Hotel", Rooms: 3})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("unknown", "kept"); return nil }); err != nil {
		t.Fatal(err)
	}
	err = sites.Edit(id, func(s *site) error {
		s.Rooms, s.Tags = 0, []string{"x"}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, rec, err := sites.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	if got.Name != "Hotel" || got.Rooms != 0 || !slices.Equal(got.Tags, []string{"x"}) || rec.Fields["unknown"] != "kept" {
		t.Errorf("got %+v, %v", got, rec.Fields)
	}
	for s, err := range sites.List(sambang.Filter{}) {
		if err != nil || s.Name != "Hotel" {
			t.Errorf("listed %+v, %v", s, err)
		}
	}
}

func TestExportIsOneObjectALine(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	create(t, r, sambang.Fields{"name": "<a>"})
	create(t, r, sambang.Fields{"name": "b"})
	var b bytes.Buffer
	if err := r.Export(&b, sambang.Filter{}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	// Ids of one millisecond are in any order.
	if len(lines) != 2 || !strings.Contains(b.String(), `"name":"<a>"`) {
		t.Fatalf("export:\n%s", b.String())
	}
	for _, l := range lines {
		var x map[string]any
		if err := json.Unmarshal([]byte(l), &x); err != nil || x["custody"] != "on_phone" || x["region"] != "35.24.14" {
			t.Errorf("%v, %v", x, err)
		}
	}
}

func TestASealedFileNeedsItsKey(t *testing.T) {
	dir := t.TempDir()
	key := bytes.Repeat([]byte{7}, sambang.KeySize)
	r := open(t, dir, func(o *sambang.Options) { o.Plain, o.Key = false, key })
	create(t, r, sambang.Fields{"name": "Canary Rekaan"})
	if _, err := sambang.Open(dir, sambang.Options{Key: key}); !errors.Is(err, syncproto.CodeCacheInUse) {
		t.Errorf("open twice: %v", err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]sambang.Options{
		"another key": {Key: bytes.Repeat([]byte{8}, 32)}, "plain": {Plain: true}, "no key": {}, "a short key": {Key: []byte("x")},
	} {
		if _, err := sambang.Open(dir, o); !errors.Is(err, syncproto.CodeCacheWrongKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if bytes.Contains(text, []byte("Canary")) {
			t.Errorf("%s has the name in clear text", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAClosedReplicaSaysSo(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	id := create(t, r, sambang.Fields{"name": "a"})
	for range 2 {
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Get(id); !errors.Is(err, syncproto.CodeCacheClosed) {
		t.Errorf("get: %v", err)
	}
	if _, err := r.Create("site", "35.24.14", nil); !errors.Is(err, syncproto.CodeCacheClosed) {
		t.Errorf("create: %v", err)
	}
	if _, err := r.Sync(t.Context()); !errors.Is(err, syncproto.CodeCacheClosed) {
		t.Errorf("sync: %v", err)
	}
	if s := r.Status(); s.Replica != 0 || s.Enrolled {
		t.Error("status of a closed replica")
	}
}

func TestSyncWithoutEnrolment(t *testing.T) {
	r := open(t, t.TempDir(), nil)
	if _, err := r.Sync(t.Context()); !errors.Is(err, syncproto.CodeNotEnrolled) {
		t.Errorf("sync: %v", err)
	}
	if err := r.Run(t.Context()); !errors.Is(err, syncproto.CodeNotEnrolled) {
		t.Errorf("run: %v", err)
	}
	for _, code := range []string{"", "sambang:1?", "https://x", "sambang:1?u=http://example.org&p=&e=a&s=AAECAwQFBgcICQoLDA0ODw"} {
		if err := r.Enrol(t.Context(), code, "x"); !errors.Is(err, syncproto.CodeEnrolmentInvalid) {
			t.Errorf("%q: %v", code, err)
		}
	}
}
