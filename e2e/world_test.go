package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// world is a server and the phones that talk to it.
type world struct {
	t      testing.TB
	server *server.Server
	dir    string
	store  string // the address of its database, "" for a file
	log    *words
	clock  *clock
	link   *link
	rand   io.Reader
	phones int
	marked sambang.ID
}

// backup saves the server, lets fn happen, and brings the saved one back.
func (w *world) backup(fn func()) {
	w.t.Helper()
	if err := w.server.Close(); err != nil {
		w.t.Fatal(err)
	}
	restore := w.saved()
	w.start()
	fn()
	if err := w.server.Close(); err != nil {
		w.t.Fatal(err)
	}
	restore()
	w.clock.Add(10 * time.Second)
	w.start()
	w.clock.Add(10 * time.Second)
}

// values are all values that a field shows, in conflict or not.
func (w *world) values(r *sambang.Replica, id sambang.ID, name string) map[any]bool {
	w.t.Helper()
	out := map[any]bool{}
	conflicts, err := r.Conflicts(id)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range conflicts {
		if c.Field != name {
			continue
		}
		for _, v := range c.Values {
			out[v.Value] = true
		}
	}
	if v, ok := w.get(r, id).Fields[name]; ok {
		out[v] = true
	}
	return out
}

func jsonNumber(s string) json.Number { return json.Number(s) }

// clock is the one clock of a world; a phone may be off.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld(t testing.TB) *world { return newWorldOn(t, database(t)) }

func newWorldOn(t testing.TB, store string) *world {
	w := &world{
		t: t, dir: t.TempDir(), store: store, log: &words{},
		clock: &clock{now: time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)},
		rand:  &lockedRand{r: rand.NewChaCha8([32]byte{1})},
	}
	w.link = &link{w: w}
	w.start()
	ctx := context.Background()
	for _, o := range []server.Officer{
		{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi", Role: "officer"},
		{ID: "sari", Name: "Sari Rekaan", Agency: "disnaker", Role: "officer"},
	} {
		if err := w.server.PutOfficer(ctx, o); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = w.server.Close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	s, err := server.New(w.config())
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = s
	w.link.handler = s.Handler()
}

func (w *world) config() server.Config {
	return server.Config{
		Data: filepath.Join(w.dir, "server"), Store: w.store, URL: "http://127.0.0.1:1", Pack: pack.Timpora(), Now: w.clock.Now, Rand: w.rand,
		Logger: slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Limits: server.Limits{PerDevice: 1e6, PerAddress: 1e6, EnrolPerAddress: 1e6},
	}
}

// words is what the servers log.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *words) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *words) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

type lockedRand struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedRand) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(p)
}

// link calls the handler directly, and does to requests what a test asks.
type link struct {
	w       *world
	mu      sync.Mutex
	handler http.Handler
	// before and after see each request; an error loses it, or its reply.
	before, after func(*http.Request) error
	// cut bounds the bytes of the next replies, 0 for none.
	cut int
	// alter changes the frames of replies; false drops one.
	alter func(*wire.ResponseFrame) bool
	// forge changes the bodies of replies.
	forge           func(*http.Response, []byte) []byte
	requests, bytes int
}

var errLost = errors.New("lost")

func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	l.mu.Lock()
	handler, before, after, cut, alter, forge := l.handler, l.before, l.after, l.cut, l.alter, l.forge
	l.requests++
	l.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if before != nil {
		seen := r.Clone(r.Context())
		seen.Body = io.NopCloser(bytes.NewReader(body))
		if err := before(seen); err != nil {
			return nil, err
		}
	}
	in := r.Clone(r.Context())
	in.Body = io.NopCloser(bytes.NewReader(body))
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:40000"
	rec := httptest.NewRecorder()
	whole := answered(handler, rec, in)
	if !whole && rec.Body.Len() == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if after != nil {
		if err := after(r); err != nil {
			return nil, err
		}
	}
	resp := rec.Result()
	all, _ := io.ReadAll(resp.Body)
	if alter != nil && resp.StatusCode == http.StatusOK {
		if all, err = altered(all, alter); err != nil {
			return nil, err
		}
	}
	if forge != nil {
		all = forge(resp, all)
	}
	l.mu.Lock()
	l.bytes += len(body) + len(all)
	l.mu.Unlock()
	if !whole {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(all), broken{}))
	} else if cut > 0 && len(all) > cut {
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(all[:cut]), broken{}))
	} else {
		resp.Body = io.NopCloser(bytes.NewReader(all))
	}
	return resp, nil
}

// answered reports false if the handler cut the connection in the middle of its
// reply, as it does when it can't go on; a server's listener would.
func answered(h http.Handler, w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// altered takes a reply apart and puts it together again.
func altered(body []byte, alter func(*wire.ResponseFrame) bool) ([]byte, error) {
	in, err := wire.NewResponseReader(bytes.NewReader(body), wire.EncodingZstd)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	packed := wire.NewBodyWriter(&out)
	frames, again := wire.NewFrameReader(in, wire.Protobuf), wire.NewFrameWriter(packed, wire.Protobuf)
	for {
		f, err := frames.Response()
		if errors.Is(err, io.EOF) {
			err := packed.Close()
			return out.Bytes(), err
		}
		if err != nil {
			return nil, err
		}
		if alter(f) {
			if err := again.Response(f); err != nil {
				return nil, err
			}
		}
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// options of a phone in a folder.
func (w *world) options() sambang.Options {
	return sambang.Options{Plain: true, Pack: pack.Timpora(), Transport: w.link, Clock: w.clock.Now, Rand: w.rand, App: "e2e"}
}

// phone opens and enrols a new phone.
func (w *world) phone(officer string, grants ...syncproto.Grant) *sambang.Replica {
	w.t.Helper()
	w.phones++
	r := w.open(filepath.Join(w.t.TempDir(), "phone"), w.options())
	w.enrol(r, officer, grants...)
	return r
}

func (w *world) open(dir string, o sambang.Options) *sambang.Replica {
	w.t.Helper()
	r, err := sambang.Open(dir, o)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = r.Close() })
	return r
}

func (w *world) enrol(r *sambang.Replica, officer string, grants ...syncproto.Grant) {
	w.t.Helper()
	if len(grants) == 0 {
		grants = []syncproto.Grant{grant("35.24.14", "D", "T")}
	}
	code, err := w.server.Enrol(context.Background(), server.EnrolRequest{Officer: officer, Grants: grants})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := r.Enrol(context.Background(), code, "test phone"); err != nil {
		w.t.Fatal(err)
	}
}

func grant(region string, classes ...syncproto.Class) syncproto.Grant {
	return syncproto.Grant{Region: syncproto.Region(region), Classes: classes}
}

// sync is one sync that must succeed.
func (w *world) sync(r *sambang.Replica) sambang.Report {
	w.t.Helper()
	rep, err := r.Sync(context.Background())
	if err != nil {
		w.t.Fatalf("sync: %v (%+v)", err, rep)
	}
	w.clock.Add(time.Second)
	return rep
}

func (w *world) create(r *sambang.Replica, fields sambang.Fields) sambang.ID {
	w.t.Helper()
	id, err := r.Create("site", "35.24.14", fields)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clock.Add(time.Second)
	return id
}

func (w *world) set(r *sambang.Replica, id sambang.ID, name string, v any) {
	w.t.Helper()
	if err := r.Edit(id, func(d *sambang.Draft) error { d.Set(name, v); return nil }); err != nil {
		w.t.Fatal(err)
	}
	w.clock.Add(time.Second)
}

func (w *world) get(r *sambang.Replica, id sambang.ID) *sambang.Record {
	w.t.Helper()
	rec, err := r.Get(id)
	if err != nil {
		w.t.Fatal(err)
	}
	return rec
}

func (w *world) wantField(r *sambang.Replica, id sambang.ID, name string, want any) {
	w.t.Helper()
	if got := w.get(r, id).Fields[name]; got != want {
		w.t.Errorf("%s is %v, want %v", name, got, want)
	}
}

func (w *world) wantCustody(r *sambang.Replica, id sambang.ID, want sambang.Custody) {
	w.t.Helper()
	got, err := r.Custody(id)
	if err != nil {
		w.t.Fatal(err)
	}
	if got != want {
		w.t.Errorf("custody is %s, want %s", got, want)
	}
}
