package mobile_test

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/mobile"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

func open(t *testing.T) *mobile.Replica {
	t.Helper()
	key, err := mobile.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	o := mobile.NewOptions()
	o.Key, o.App = key, "test 1"
	r, err := mobile.Open(filepath.Join(t.TempDir(), "data"), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

type lister func(string) bool

func (l lister) OnRecord(s string) bool { return l(s) }

func TestRecordsAsJSON(t *testing.T) {
	r := open(t)
	id, err := r.Create("site", "35.24.14", `{"name":"Hotel","rooms":3}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Edit(id, `{"rooms":null,"address":"Jalan Rekaan"}`); err != nil {
		t.Fatal(err)
	}
	text, err := r.Get(id)
	if err != nil {
		t.Fatal(err)
	}
	var rec struct {
		ID, Kind, Region, Custody string
		Fields                    map[string]any
	}
	if err := json.Unmarshal([]byte(text), &rec); err != nil {
		t.Fatal(err)
	}
	if rec.ID != id || rec.Fields["name"] != "Hotel" || rec.Fields["rooms"] != nil || rec.Custody != "on_phone" {
		t.Errorf("got %s", text)
	}
	n := 0
	if err := r.List("site", "", false, lister(func(s string) bool { n++; return s == text })); err != nil || n != 1 {
		t.Errorf("%d listed, %v", n, err)
	}
	if s, err := r.Conflicts(id); err != nil || s != "[]" {
		t.Errorf("conflicts %q, %v", s, err)
	}
	if err := r.Delete(id); err != nil {
		t.Fatal(err)
	}
	if s := r.Status(); !strings.Contains(s, `"waiting":1`) || !strings.Contains(s, `"records":0`) {
		t.Errorf("status %s", s)
	}
}

func TestErrorsBeginWithTheirCode(t *testing.T) {
	r := open(t)
	for want, err := range map[string]error{
		"bad_id":            r.Edit("x", "{}"),
		"bad_value":         func() error { _, err := r.Create("site", "35.24.14", "[]"); return err }(),
		"bad_scope":         func() error { _, err := r.Create("site", "Lamongan", "{}"); return err }(),
		"not_found":         r.Delete("019cd6f9-7a80-7813-88dd-325dffb9da32"),
		"not_enrolled":      func() error { _, err := r.Sync(); return err }(),
		"enrolment_invalid": r.Enrol("x", "y"),
		"cache_wrong_key":   func() error { _, err := mobile.Open(t.TempDir(), nil); return err }(),
	} {
		if err == nil || mobile.ErrorCode(err.Error()) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if text := mobile.ErrorText(want, "en"); text == "" || text == mobile.ErrorText(want, "id") {
			t.Errorf("%s: text %q", want, text)
		}
	}
}

type listener struct{ synced chan string }

func (l listener) OnProgress(_, _, _, _, _, _ int64) {}
func (l listener) OnSync(_, code string)             { l.synced <- code }
func (l listener) OnChange(_, _, _ string)           {}

func TestStartSyncsUntilStop(t *testing.T) {
	s, err := server.New(server.Config{Data: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(t.Context()) }()
	if err := s.PutOfficer(t.Context(), server.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}); err != nil {
		t.Fatal(err)
	}
	code, err := s.Enrol(t.Context(), server.EnrolRequest{Officer: "budi", Grants: syncproto.Grants{{Region: "35.24.14", Classes: []syncproto.Class{"D"}}}})
	if err != nil {
		t.Fatal(err)
	}
	r := open(t)
	id, err := r.Create("site", "35.24.14", `{"name":"Hotel"}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Enrol(code, "phone"); err != nil {
		t.Fatal(err)
	}
	l := listener{make(chan string, 100)}
	r.Start(l)
	r.Start(l)
	if code := <-l.synced; code != "" {
		t.Errorf("sync: %s", code)
	}
	r.Stop()
	if c, err := r.Custody(id); err != nil || c != "held" {
		t.Errorf("custody %q, %v", c, err)
	}
}
