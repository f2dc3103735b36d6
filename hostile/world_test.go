package hostile_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

const (
	seed     = 20260310 // of everything that is drawn; the twin has the same
	district = "35.24.14"
	beside   = "35.24.16"
)

// world is a server, two honest phones, and their records. All of it comes
// from the seed, so two worlds that live the same are the same.
type world struct {
	t     testing.TB
	dir   string
	now   int64 // Unix milliseconds
	srv   *server.Server
	drawn io.Reader // the server's randomness
	log   *buffer
	a, b  *sambang.Replica
	sites []sambang.ID
	hand  func(name string, o *sambang.Options) // changes the options of a phone; nil: as they are

	mu   sync.Mutex
	sent []sentRequest // of honest phones, as they went over the wire
}

// sentRequest is a request that somebody else could have seen.
type sentRequest struct {
	path   string
	header http.Header
	body   []byte
}

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// drawing returns a seeded source of bytes.
func drawing(what string) io.Reader {
	return &locked{r: rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, what)))}
}

type locked struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *locked) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

func keyOf(name string) ed25519.PrivateKey {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d key of %s", seed, name))
	return ed25519.NewKeyFromSeed(sum[:])
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldOf(t, "server")
}

// newWorldOf is newWorld with a server of another name.
func newWorldOf(t testing.TB, name string) *world {
	t.Helper()
	w := emptyWorld(t, t.TempDir(), name)
	w.a, w.b = w.phone("budi"), w.phone("sari")
	return w
}

// emptyWorld is a server without phones, in a folder.
func emptyWorld(t testing.TB, dir, name string) *world {
	t.Helper()
	w := &world{t: t, dir: dir, now: time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC).UnixMilli(), drawn: drawing(name), log: &buffer{}}
	w.start()
	t.Cleanup(func() { _ = w.srv.Close() })
	for _, o := range []server.Officer{
		{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}, {ID: "sari", Name: "Sari Rekaan", Agency: "disnaker"},
		{ID: "joko", Name: "Joko Rekaan", Agency: "disnaker"}, {ID: "jahat", Name: "Jahat Rekaan", Agency: "polri"},
	} {
		w.must(w.srv.PutOfficer(context.Background(), o))
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clock() time.Time { return time.UnixMilli(w.now) }

func (w *world) tick() { w.now += 1000 }

func (w *world) start() {
	w.t.Helper()
	s, err := server.New(server.Config{
		Data: filepath.Join(w.dir, "server"), URL: "http://127.0.0.1:1", Pack: pack.Timpora(), Now: w.clock, Rand: w.drawn,
		Limits: server.Limits{PerDevice: -1, PerAddress: -1, EnrolPerAddress: -1},
		Logger: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug - 4})),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.srv = s
}

func (w *world) restart() {
	w.t.Helper()
	w.must(w.srv.Close())
	w.start()
}

// code makes an enrolment code.
func (w *world) code(officer string, grants ...syncproto.Grant) string {
	w.t.Helper()
	code, err := w.srv.Enrol(context.Background(), server.EnrolRequest{Officer: officer, Grants: grants})
	w.must(err)
	return code
}

func grant(region string, classes string) syncproto.Grant {
	g := syncproto.Grant{Region: syncproto.Region(region)}
	for _, c := range classes {
		g.Classes = append(g.Classes, syncproto.Class(c))
	}
	return g
}

func (w *world) phone(officer string) *sambang.Replica {
	w.t.Helper()
	r := w.open(officer, w)
	w.must(r.Enrol(context.Background(), w.code(officer, grant(district, "DT")), "HP "+officer))
	return r
}

func (w *world) open(officer string, link http.RoundTripper) *sambang.Replica {
	w.t.Helper()
	o := sambang.Options{
		Plain: true, Pack: pack.Timpora(), Signer: keyOf(officer), Transport: link, Clock: w.clock, Rand: drawing(officer), App: "jujur/1",
	}
	if w.hand != nil {
		w.hand(officer, &o)
	}
	r, err := sambang.Open(filepath.Join(w.dir, officer), o)
	w.must(err)
	w.t.Cleanup(func() { _ = r.Close() })
	return r
}

func (w *world) sync(r *sambang.Replica) {
	w.t.Helper()
	if rep, err := r.Sync(context.Background()); err != nil {
		w.t.Fatalf("an honest sync: %v (%+v)", err, rep)
	}
	w.tick()
}

func (w *world) create(r *sambang.Replica, name string) {
	w.t.Helper()
	id, err := r.Create("site", district, sambang.Fields{"name": name, "rooms": 7, "owner_name": "Tini " + name})
	w.must(err)
	w.sites = append(w.sites, id)
	w.tick()
}

func (w *world) set(r *sambang.Replica, site int, name string, v any) {
	w.t.Helper()
	w.must(r.Edit(w.sites[site], func(d *sambang.Draft) error { d.Set(name, v); return nil }))
	w.tick()
}

// morning is what the honest do before the attack, evening what they do after
// it: new records, edits, a conflict, a deletion, and everybody syncs.
func (w *world) morning() {
	w.t.Helper()
	for _, n := range []string{"Kenari", "Merpati", "Gelatik"} {
		w.create(w.a, n)
	}
	w.sync(w.a)
	w.sync(w.b)
	w.set(w.b, 0, "name", "Kenari Baru")
	w.sync(w.b)
	w.sync(w.a)
}

func (w *world) evening() {
	w.t.Helper()
	w.set(w.a, 1, "owner_name", "Joko")
	w.set(w.b, 1, "owner_name", "Wati")
	w.set(w.b, 0, "rooms", 9)
	w.create(w.b, "Camar")
	w.must(w.a.Delete(w.sites[2]))
	w.tick()
	for range 2 {
		w.sync(w.a)
		w.sync(w.b)
	}
	w.sync(w.a)
}

// RoundTrip serves an honest phone's request in this process.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host != "127.0.0.1:1" {
		return nil, errors.New("no such host")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.sent = append(w.sent, sentRequest{r.URL.Path, r.Header.Clone(), body})
	w.mu.Unlock()
	return w.serve(r.Method, r.URL.RequestURI(), r.Header, body)
}

var errCut = errors.New("the connection was cut")

// serve answers one request.
func (w *world) serve(method, target string, header http.Header, body []byte) (resp *http.Response, err error) {
	req := httptest.NewRequest(method, target, bytes.NewReader(body))
	req.Header, req.RemoteAddr = header.Clone(), "127.0.0.1:40000"
	rec := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // the sentinel of net/http, thrown as it is
				panic(p)
			}
			resp, err = nil, errCut
		}
	}()
	w.srv.Handler().ServeHTTP(rec, req)
	return rec.Result(), nil
}

// answer is a reply that was read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	code   syncproto.Code // of a problem document
}

func (w *world) ask(method, target string, header http.Header, body []byte) answer {
	w.t.Helper()
	resp, err := w.serve(method, target, header, body)
	if errors.Is(err, errCut) {
		return answer{}
	}
	w.must(err)
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	w.must(err)
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		var p struct{ Code syncproto.Code }
		w.must(json.Unmarshal(a.body, &p))
		a.code = p.Code
	}
	return a
}

// person returns the header of somebody at headquarters.
func (w *world) person(role server.Role, regions ...syncproto.Region) http.Header {
	w.t.Helper()
	token, err := w.srv.Token(server.Person{Subject: "pusat", Role: role, Agency: "imigrasi", Regions: regions, Classes: []syncproto.Class{"D", "T", "H"}}, time.Hour)
	w.must(err)
	return http.Header{"Authorization": {"Bearer " + token}}
}

// inbox lists what was set aside, as "code" by device, newest first.
func (w *world) inbox(device string) (codes []syncproto.Code) {
	w.t.Helper()
	all, err := w.srv.Inbox(context.Background(), "", "", 500)
	w.must(err)
	for _, m := range all {
		if m.Device == device {
			codes = append(codes, m.Code)
		}
	}
	return codes
}

// view is all that the honest see, in lines. Records in mine are the
// attacker's, and left out.
func (w *world) view(mine map[syncproto.RecordID]bool) []string {
	w.t.Helper()
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	out = append(out, w.logView(mine)...)
	auditor := w.enrol("auditor", "sari", grant("35", "DTH"))
	records := auditor.pull()
	ids := slices.SortedFunc(mapsKeys(records), func(a, b syncproto.RecordID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		if !mine[id] {
			say("full pull: %s", showRecord(records[id]))
		}
	}
	for name, r := range map[string]*sambang.Replica{"budi": w.a, "sari": w.b} {
		var lines bytes.Buffer
		w.must(r.Export(&lines, sambang.Filter{}))
		for line := range strings.Lines(lines.String()) {
			if !slices.ContainsFunc(slices.Collect(mapsKeys(mine)), func(id syncproto.RecordID) bool { return strings.Contains(line, id.String()) }) {
				say("phone of %s: %s", name, strings.TrimSpace(line))
			}
		}
		c := r.Counts()
		say("phone of %s: %d waiting, %d set aside", name, c.Waiting, c.Quarantined)
		d, err := w.srv.Device(context.Background(), r.Status().Device)
		w.must(err)
		say("device of %s: missing %d, broken %t, revoked %v, officer %s of %s", name, d.Missing, d.Broken, d.RevokedAt, d.Officer, d.Agency)
		if n := len(w.inbox(d.ID)); n > 0 {
			say("device of %s has %d messages in the inbox", name, n)
		}
	}
	w.must(w.srv.Check(context.Background(), func(problem string) { say("check: %s", problem) }))
	slices.Sort(out)
	return out
}

// logView is the merged log as headquarters reads it. Sequences are left out:
// the attacker's own records take some.
func (w *world) logView(mine map[syncproto.RecordID]bool) (out []string) {
	w.t.Helper()
	a := w.ask("GET", "/v1/log?deleted=true&limit=200", w.person(server.Viewer, "35"), nil)
	var page struct {
		Entries []map[string]any
		Cursor  string
	}
	w.must(json.Unmarshal(a.body, &page))
	if a.status != http.StatusOK || page.Cursor != "" || len(page.Entries) == 0 {
		w.t.Fatalf("the log: %d, %d entries, cursor %q", a.status, len(page.Entries), page.Cursor)
	}
	for _, e := range page.Entries {
		id, err := syncproto.ParseRecordID(e["id"].(string))
		w.must(err)
		if mine[id] {
			continue
		}
		delete(e, "seq")
		for _, p := range e["parts"].([]any) {
			delete(p.(map[string]any), "seq")
		}
		text, err := json.Marshal(e)
		w.must(err)
		out = append(out, "log: "+string(text))
	}
	return out
}

// alter takes a reply apart and puts it together again.
func alter(resp *http.Response, change func(*wire.ResponseFrame)) (*http.Response, error) {
	in, err := wire.NewResponseReader(resp.Body, resp.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	frames, again := wire.NewFrameReader(in, wire.Protobuf), wire.NewFrameWriter(&out, wire.Protobuf)
	for {
		f, err := frames.Response()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		change(f)
		if err := again.Response(f); err != nil {
			return nil, err
		}
	}
	resp.Header.Del("Content-Encoding")
	resp.Body = io.NopCloser(&out)
	return resp, nil
}

func showRecord(r syncproto.Record) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s ctx %s floor %s", r.ID(), r.Context(), r.Floor())
	for f := range r.Fields() {
		fmt.Fprintf(&b, " | %s", f.Path)
		for _, s := range f.Siblings {
			fmt.Fprintf(&b, " %s@%d=%s", s.Dot, s.HLC, s.Value.JSON())
			if s.Suspect {
				b.WriteString("?")
			}
		}
	}
	return b.String()
}

func mapsKeys[K comparable, V any](m map[K]V) func(yield func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}
