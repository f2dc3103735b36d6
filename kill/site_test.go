package kill_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
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

// headquarters is a data folder, the address at which a process serves it, and
// that process while it runs.
type headquarters struct {
	*testing.T
	data    string
	store   string // the address of its database, "" for a file in data
	address string
	process *exec.Cmd
	log     *tail
	epochs  *epochs
	ahead   time.Duration // of the clock, when it is opened in this process
	// still stops the clock, and rand gives all keys and ids, for what must come
	// out the same each time.
	still bool
	rand  io.Reader
}

func newHeadquarters(t *testing.T, change ...func(*headquarters)) *headquarters {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &headquarters{T: t, data: filepath.Join(t.TempDir(), "server"), address: l.Addr().String(), log: &tail{}, epochs: newEpochs()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range change {
		c(h)
	}
	h.open(func(s *server.Server) {
		if err := s.PutOfficer(t.Context(), server.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi", Role: "officer"}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() {
		if h.process != nil {
			h.kill()
		}
	})
	return h
}

func (h *headquarters) config() server.Config {
	return server.Config{
		Data: h.data, Store: h.store, URL: "http://" + h.address, Pack: pack.Timpora(), Now: h.now, Rand: h.rand,
		Limits: server.Limits{PerDevice: -1, PerAddress: -1, EnrolPerAddress: -1},
	}
}

func (h *headquarters) now() time.Time {
	if h.still {
		return time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC).Add(h.ahead)
	}
	return time.Now().Add(h.ahead)
}

// freeze makes what the headquarters and its phones write follow from a seed.
func (h *headquarters) freeze(seed uint64) {
	h.still, h.rand = true, rand.NewChaCha8([32]byte{1: byte(seed), 2: byte(seed >> 8)}) //nolint:gosec // the seed's low bytes
}

// options of a phone whose link is the handler itself.
func (h *headquarters) options(s *server.Server) sambang.Options {
	o := phoneOptions()
	o.Transport, o.Clock, o.Rand = direct{s.Handler()}, h.now, h.rand
	return o
}

// open opens the folder in this process for as long as fn runs.
func (h *headquarters) open(fn func(*server.Server)) {
	h.Helper()
	s, err := server.New(h.config())
	if err != nil {
		h.Fatal(err)
	}
	fn(s)
	if err := s.Close(); err != nil {
		h.Error(err)
	}
}

// start runs the command and waits until it answers.
func (h *headquarters) start() {
	h.Helper()
	h.process = exec.CommandContext(context.Background(), sambangd(h.T), "serve", "-data", h.data, "-listen", h.address, "-url", "http://"+h.address, "-log-level", "warn")
	h.process.Stderr = h.log
	h.process.Env = append(os.Environ(), "SAMBANG_STORE="+h.store) // not in the command line: it has a password
	if err := h.process.Start(); err != nil {
		h.Fatal(err)
	}
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		resp, err := http.Get("http://" + h.address + "/healthz")
		if err == nil {
			_ = resp.Body.Close()
			return
		}
		if time.Since(begun) > time.Minute {
			h.Fatalf("the server does not start: %v\n%s", err, h.log)
		}
	}
}

// kill ends the process as a power switch would end it, in the middle of
// whatever it does.
func (h *headquarters) kill() {
	h.Helper()
	if err := h.process.Process.Kill(); err != nil {
		h.Fatal(err)
	}
	_ = h.process.Wait() // killed
	h.process = nil
	if strings.Contains(h.log.String(), "rolled back") {
		h.Fatalf("a killed server takes itself for a rolled-back one:\n%s", h.log)
	}
}

// enrol makes a new phone.
func (h *headquarters) enrol(s *server.Server, dir string) *sambang.Replica {
	h.Helper()
	code, err := s.Enrol(h.Context(), server.EnrolRequest{Officer: "budi", Grants: syncproto.Grants{{Region: district, Classes: []syncproto.Class{"D", "T"}}}})
	if err != nil {
		h.Fatal(err)
	}
	r, err := sambang.Open(dir, h.options(s))
	if err != nil {
		h.Fatal(err)
	}
	if err := r.Enrol(h.Context(), code, filepath.Base(dir)); err != nil {
		h.Fatal(err)
	}
	return r
}

func phoneOptions() sambang.Options {
	return sambang.Options{Key: bytes.Repeat([]byte{7}, sambang.KeySize), Pack: pack.Timpora(), App: "kill"}
}

// reader asks a server as a person at headquarters does.
type reader struct {
	server *server.Server
	token  string
}

func newReader(t *testing.T, s *server.Server) reader {
	t.Helper()
	token, err := s.Token(server.Person{Subject: "hq", Role: server.Viewer, Agency: "imigrasi", Regions: []syncproto.Region{"35"}, Classes: []syncproto.Class{"D", "T"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return reader{s, token}
}

func (r reader) get(path string) (int, []byte) {
	req := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	req.Header.Set("Authorization", "Bearer "+r.token)
	rec := httptest.NewRecorder()
	if !(direct{r.server.Handler()}).serve(rec, req) {
		return http.StatusInternalServerError, nil
	}
	return rec.Code, rec.Body.Bytes()
}

// version returns which version of a record the server shows, 0 for none.
func (r reader) version(id sambang.ID) (int, error) {
	status, body := r.get("/v1/records/" + id.String())
	if status == http.StatusNotFound {
		return 0, nil
	}
	var rec struct {
		Doc map[string]any `json:"doc"`
	}
	if err := json.Unmarshal(body, &rec); status != http.StatusOK || err != nil {
		return 0, fmt.Errorf("record %s: status %d, %w: %.200s", id, status, err, body)
	}
	_, n, err := versionOf(id, rec.Doc)
	return n, err
}

// direct is a link without a network.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:40000"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	whole := d.serve(rec, in)
	resp := rec.Result()
	if !whole {
		resp.Body = io.NopCloser(io.MultiReader(resp.Body, cut{}))
	}
	return resp, nil
}

// serve reports false if the handler cut the connection in the middle of its
// reply, as it does when it can't go on; a server's listener would.
func (d direct) serve(w http.ResponseWriter, r *http.Request) (whole bool) {
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
			panic(p)
		}
	}()
	d.handler.ServeHTTP(w, r)
	return true
}

// epochs is a link over the network that notes the epochs that replies name.
type epochs struct {
	http.Transport
	mu    sync.Mutex
	seen  map[string]int
	lower []string // statuses of replies that refuse an epoch
}

func newEpochs() *epochs { return &epochs{seen: map[string]int{}} }

func (e *epochs) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := e.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, failed := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if in, err := wire.NewResponseReader(bytes.NewReader(body), resp.Header.Get("Content-Encoding")); err == nil && resp.StatusCode == http.StatusOK {
		if f, err := wire.NewFrameReader(in, wire.Protobuf).Response(); err == nil && f.GetBegin() != nil {
			e.mu.Lock()
			e.seen[string(f.GetBegin().GetEpoch())]++
			if f.GetBegin().GetStatus() == wire.Status_STATUS_EPOCH {
				e.lower = append(e.lower, f.GetBegin().GetStatus().String())
			}
			e.mu.Unlock()
		}
	}
	rest := io.Reader(bytes.NewReader(body))
	if failed != nil {
		rest = io.MultiReader(rest, cut{})
	}
	resp.Body = io.NopCloser(rest)
	return resp, nil
}

// check fails the test if phones were told of more than one epoch.
func (e *epochs) check(t *testing.T) {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.seen) != 1 || len(e.lower) > 0 {
		t.Errorf("phones saw %d epochs and were sent into a new one %d times", len(e.seen), len(e.lower))
	}
}

type cut struct{}

func (cut) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// tail keeps the end of what a process writes.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	const keep = 64 << 10
	t.text = t.text[max(0, len(t.text)-keep):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// problems returns what check says of the folder; nothing for a sound one.
func (h *headquarters) problems() (all []string) {
	h.open(func(s *server.Server) {
		if err := s.Check(h.Context(), func(p string) { all = append(all, p) }); err != nil {
			all = append(all, err.Error())
		}
	})
	return all
}

func mustID(t *testing.T, r *sambang.Replica) sambang.ID {
	t.Helper()
	id, err := r.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}
