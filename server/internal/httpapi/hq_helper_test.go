package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/httpapi/openapitest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// desk is the API of headquarters on a real store and engine and a real
// listener. Every answer is held against the document.
type desk struct {
	*hqtest.World
	t        *testing.T
	identity *auth.Identity
	api      *httpapi.API
	server   *httptest.Server
	log      *lines

	document *openapitest.Document
	mu       sync.Mutex
	held     []exchanged
}

// exchanged is a request and its answer.
type exchanged struct {
	request *http.Request // without body
	sent    []byte
	got
}

// lines is a log that a test can read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newDesk(t *testing.T, change func(*hq.Config)) *desk {
	t.Helper()
	d := &desk{t: t, log: &lines{}, document: openDocument(t)}
	logger := slog.New(slog.NewJSONHandler(d.log, nil))
	d.World = hqtest.New(t, func(c *hq.Config) {
		c.Audit = logger
		if change != nil {
			change(c)
		}
	})
	var err error
	if d.identity, err = auth.OpenIdentity(t.TempDir(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	d.api = httpapi.New(httpapi.Config{
		Identity: d.identity, Devices: auth.NewDeviceVerifier(d.Store, d.identity.ServerID, d.Now().Add(-time.Hour)),
		Enroller: &auth.Enroller{Store: d.Store, Identity: d.identity},
		Exchange: func(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
			sum, err := d.Engine.Sync(ctx, dev, now, open, next, send)
			return httpapi.Summary{Pushed: sum.Pushed, Applied: sum.Applied, Quarantined: sum.Quarantined, Delivered: sum.Delivered, More: sum.More}, err
		},
		Health: deskHealth{d.World}, HQ: d.HQ, Now: d.Now, Logger: logger,
		Limits: httpapi.Limits{PerAddress: 10_000},
	})
	d.server = httptest.NewUnstartedServer(nil)
	d.server.Config = d.api.Server()
	d.server.Start()
	t.Cleanup(d.server.Close)
	return d
}

type deskHealth struct{ w *hqtest.World }

func (h deskHealth) Ready(ctx context.Context) error {
	return h.w.Store.Update(ctx, store.Step{Scopes: []string{store.RegistryScope}, Do: func(store.Tx) ([]store.Step, error) { return nil, nil }})
}

func (h deskHealth) Stats(ctx context.Context) (s store.Stats, err error) {
	err = h.w.Store.View(ctx, func(r store.Reader) error {
		s, err = r.Stats()
		return err
	})
	return s, err
}

var _ hq.Decisions = (*engine.Engine)(nil)

func openDocument(t *testing.T) *openapitest.Document {
	t.Helper()
	d, err := openapitest.Read(httpapi.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// person returns a token.
func (d *desk) person(role auth.Role, regions []syncproto.Region, classes ...syncproto.Class) string {
	d.t.Helper()
	if len(classes) == 0 {
		classes = []syncproto.Class{"D", "T", "H"}
	}
	token, err := d.identity.IssuePersonToken(auth.Person{Subject: "orang-" + string(role), Role: role, Agency: "imigrasi", Regions: regions, Classes: classes}, time.Hour, d.Now(), rand.Reader)
	if err != nil {
		d.t.Fatal(err)
	}
	return token
}

func in(regions ...syncproto.Region) []syncproto.Region { return regions }

// got is an answer that was read whole.
type got struct {
	status int
	header http.Header
	body   []byte
	err    error
	code   syncproto.Code
}

// ask sends a request and holds the answer against the document. body may be
// nil.
func (d *desk) ask(token, method, path string, body []byte, headers ...string) got {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.server.URL+path, bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := got{status: resp.StatusCode, header: resp.Header}
	a.body, a.err = io.ReadAll(resp.Body)
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		var p struct {
			Code syncproto.Code `json:"code"`
		}
		if err := json.Unmarshal(a.body, &p); err != nil {
			d.t.Fatal(err)
		}
		a.code = p.Code
	}
	if a.err == nil {
		x := exchanged{request: req, sent: body, got: a}
		d.mu.Lock()
		d.held = append(d.held, x)
		d.mu.Unlock()
		if err := hold(d.document, d.api.Table(), x); err != nil {
			d.t.Errorf("%s %s: %d is not as the document says: %v\n%.2000s", method, req.URL.Path, a.status, err, a.body)
		}
	}
	return a
}

func decode[T any](t *testing.T, a got) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %.300s", err, a.body)
	}
	return v
}
