package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/httpapi/openapitest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// rig is the API on a real registry and a real listener, with a played engine.
type rig struct {
	t        *testing.T
	store    store.Store
	identity *auth.Identity
	api      *httpapi.API
	url      string
	address  string
	log      *lockedBuffer
	document *openapitest.Document

	mu       sync.Mutex
	exchange httpapi.Exchange
	clock    time.Duration // ahead of the machine's
}

func newRig(t *testing.T, limits httpapi.Limits) *rig {
	t.Helper()
	dir := t.TempDir()
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	id, err := auth.OpenIdentity(dir, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: s, identity: id, log: &lockedBuffer{}, document: openDocument(t), exchange: echoExchange}
	r.api = httpapi.New(httpapi.Config{
		Identity: id, Devices: auth.NewDeviceVerifier(s, id.ServerID, time.Now().Add(-time.Hour)),
		Enroller: &auth.Enroller{Store: s, Identity: id},
		Exchange: func(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
			r.mu.Lock()
			do := r.exchange
			r.mu.Unlock()
			return do(ctx, dev, now, open, next, send)
		},
		Health: health{s}, Now: r.now, Logger: slog.New(slog.NewJSONHandler(r.log, nil)), Limits: limits,
	})
	server := r.api.Server()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = server.Serve(l); close(done) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	r.address = l.Addr().String()
	r.url = "http://" + r.address
	err = s.Update(context.Background(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, tx.PutOfficer(store.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi", Role: "officer"})
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.clock)
}

func (r *rig) play(e httpapi.Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchange = e
}

func (r *rig) code() string {
	r.t.Helper()
	p, err := auth.CreateCode(context.Background(), r.store, rand.Reader, auth.NewCode{
		URL: r.url, Officer: "budi", Grants: syncproto.Grants{{Region: "35.24.14", Classes: []syncproto.Class{"D"}}},
	}, r.now().UnixMilli())
	if err != nil {
		r.t.Fatal(err)
	}
	return p.String()
}

// enrol enrols a device over HTTP.
func (r *rig) enrol() *authtest.Device {
	r.t.Helper()
	d := authtest.NewDevice("EdDSA")
	body, err := json.Marshal(d.EnrolBody(r.code(), "HP uji"))
	if err != nil {
		r.t.Fatal(err)
	}
	a := r.do("POST", "/v1/enrol", bytes.NewReader(body), "Content-Type", "application/json")
	if a.status != http.StatusCreated {
		r.t.Fatalf("enrol: %d %s", a.status, a.body)
	}
	var reply auth.EnrolReply
	if err := json.Unmarshal(a.body, &reply); err != nil || reply.Device != d.ID {
		r.t.Fatalf("enrol: %v %s", err, a.body)
	}
	d.Server = reply.ServerID
	return d
}

type health struct{ s store.Store }

func (h health) Ready(ctx context.Context) error {
	return h.s.Update(ctx, store.Step{Scopes: []string{store.RegistryScope}, Do: func(store.Tx) ([]store.Step, error) { return nil, nil }})
}

func (h health) Stats(context.Context) (store.Stats, error) { return store.Stats{Devices: 1}, nil }

// echoExchange takes everything in and answers with the nonce.
func echoExchange(_ context.Context, _ store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
	var sum httpapi.Summary
	for {
		b, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return sum, err
		}
		sum.Pushed += len(b.GetItems())
	}
	return sum, errors.Join(send(begin(open.GetNonce(), now)), send(end()))
}

func begin(nonce []byte, now int64) *wire.ResponseFrame {
	return &wire.ResponseFrame{Frame: &wire.ResponseFrame_Begin{Begin: &wire.Begin{Version: wire.Version, Nonce: nonce, ServerTime: now}}}
}

func end() *wire.ResponseFrame {
	return &wire.ResponseFrame{Frame: &wire.ResponseFrame_End{End: &wire.End{}}}
}

// feed is a frame of about n bytes that do not compress.
func feed(n int) *wire.ResponseFrame {
	b := make([]byte, n/2)
	_, _ = rand.Read(b)
	return &wire.ResponseFrame{Frame: &wire.ResponseFrame_Feed{Feed: &wire.Feed{Tables: &wire.Tables{Paths: []string{authtest.B64(b)}}}}}
}

func opening() *wire.RequestFrame {
	return &wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: &wire.Open{Version: wire.Version, Nonce: bytes.Repeat([]byte{9}, 16), App: "uji/1"}}}
}

func batch() *wire.RequestFrame {
	return &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: &wire.Batch{Items: []*wire.Item{{}}}}}
}

// frames is a request body before compression.
func frames(t *testing.T, fs ...*wire.RequestFrame) []byte {
	t.Helper()
	var b bytes.Buffer
	w := wire.NewFrameWriter(&b, wire.Protobuf)
	for _, f := range fs {
		if err := w.Request(f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

// answer is a response that was read whole.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
	code   syncproto.Code
	proto  string
}

func (r *rig) do(method, path string, body io.Reader, headers ...string) answer {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	return r.send(http.DefaultTransport, req)
}

func (r *rig) send(via http.RoundTripper, req *http.Request) answer {
	r.t.Helper()
	resp, err := via.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header, proto: resp.Proto}
	a.body, a.err = io.ReadAll(resp.Body)
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		var p struct {
			Type       string         `json:"type"`
			Title      string         `json:"title"`
			Status     int            `json:"status"`
			Code       syncproto.Code `json:"code"`
			ServerTime int64          `json:"server_time"`
		}
		if err := json.Unmarshal(a.body, &p); err != nil {
			r.t.Fatalf("problem %s: %v", a.body, err)
		}
		if p.Status != a.status || p.Title == "" || p.Type != "urn:sambang:problem:"+string(p.Code) || p.ServerTime == 0 {
			r.t.Errorf("problem %s", a.body)
		}
		a.code = p.Code
	}
	if a.err == nil {
		x := exchanged{request: req, got: got{status: a.status, header: a.header, body: a.body}}
		if err := holdAnswer(r.document, r.api.Table(), x); err != nil {
			r.t.Errorf("%s %s: %d is not as the document says: %v\n%.2000s", req.Method, req.URL.Path, a.status, err, a.body)
		}
	}
	return a
}

// sync sends a body with a good token.
func (r *rig) sync(d *authtest.Device, body io.Reader, headers ...string) answer {
	r.t.Helper()
	return r.do("POST", "/v1/sync", body, append([]string{
		"Authorization", "Bearer " + d.Token(r.now()), "Content-Type", wire.ContentTypeProtobuf, "Content-Encoding", "zstd",
	}, headers...)...)
}

func (r *rig) want(a answer, code syncproto.Code) {
	r.t.Helper()
	if a.code != code {
		r.t.Errorf("status %d, code %q, error %v, body %.300s; want code %s", a.status, a.code, a.err, a.body, code)
	} else if a.status != httpapi.StatusOf(code) {
		r.t.Errorf("status %d, want %d", a.status, httpapi.StatusOf(code))
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
