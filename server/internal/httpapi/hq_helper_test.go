package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/httpapi"
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

	document validator.Validator
	mu       sync.Mutex
	answered map[string]bool // "GET /v1/log 200"
	urls     []string
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
	d := &desk{t: t, log: &lines{}, answered: map[string]bool{}, document: openDocument(t)}
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

// openDocument returns the document as a strict reader holds it: without
// members that it does not name. A line of the stream is the body of GET /line,
// the answer at an address that is no route that of GET /none.
func openDocument(t *testing.T) validator.Validator {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(httpapi.OpenAPI(), &tree); err != nil {
		t.Fatal(err)
	}
	schemas := at(tree, "components", "schemas")
	for _, s := range schemas {
		if s := s.(map[string]any); s["type"] == "object" {
			s["additionalProperties"] = false
		}
	}
	answers := func(status, media, schema string) map[string]any {
		return map[string]any{"get": map[string]any{"responses": map[string]any{status: map[string]any{
			"description": "of the test", "content": map[string]any{media: map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/" + schema}}},
		}}}}
	}
	at(tree, "paths")["/line"] = answers("200", "application/json", "LogLine")
	at(tree, "paths")["/none"] = answers("404", "application/problem+json", "Problem")
	strict, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := libopenapi.NewDocument(strict)
	if err != nil {
		t.Fatal(err)
	}
	v, errs := validator.NewValidator(doc, config.WithFormatAssertions())
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if ok, errs := v.ValidateDocument(); !ok {
		t.Fatalf("the document is not OpenAPI 3.1: %v", errs)
	}
	return v
}

func at(tree map[string]any, path ...string) map[string]any {
	for _, p := range path {
		tree = tree[p].(map[string]any)
	}
	return tree
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
	if a.err == nil {
		d.hold(req, resp, a.body)
	}
	if resp.Header.Get("Content-Type") == "application/problem+json" {
		var p struct {
			Code syncproto.Code `json:"code"`
		}
		if err := json.Unmarshal(a.body, &p); err != nil {
			d.t.Fatal(err)
		}
		a.code = p.Code
	}
	return a
}

// hold validates an answer.
func (d *desk) hold(req *http.Request, resp *http.Response, body []byte) {
	d.t.Helper()
	d.mu.Lock()
	d.urls = append(d.urls, req.URL.String())
	d.answered[fmt.Sprintf("%s %s %d", req.Method, pattern(req.URL.Path), resp.StatusCode)] = true
	d.mu.Unlock()
	switch resp.Header.Get("Content-Type") {
	case wire.ContentTypeJSON:
		return // frames: their schema is the protobuf
	case "application/x-ndjson":
		for _, line := range bytes.Split(bytes.TrimSpace(body), []byte("\n")) {
			d.valid(httptest.NewRequest(http.MethodGet, "http://desk/line", nil), http.StatusOK, http.Header{"Content-Type": {"application/json"}}, line)
		}
		return
	}
	again, err := http.NewRequestWithContext(d.t.Context(), req.Method, req.URL.String(), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if !slices.ContainsFunc(d.api.Table(), func(l httpapi.Line) bool {
		return strings.NewReplacer(":id", "{id}", ":key", "{key}").Replace(l.Path) == pattern(req.URL.Path)
	}) {
		again.URL.Path = "/none"
	}
	d.valid(again, resp.StatusCode, resp.Header, body)
	if p := resp.Header.Get("Content-Type"); resp.StatusCode >= 400 && p != "application/problem+json" {
		d.t.Errorf("%s %s: %d of type %s", req.Method, pattern(req.URL.Path), resp.StatusCode, p)
	}
}

func (d *desk) valid(req *http.Request, status int, header http.Header, body []byte) {
	d.t.Helper()
	ok, errs := d.document.ValidateHttpResponse(req, &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(body))})
	if ok {
		return
	}
	for _, e := range errs {
		d.t.Errorf("%s %s %d is not as the document says: %s: %s", req.Method, pattern(req.URL.Path), status, e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors {
			d.t.Errorf("    %s: %s", s.FieldPath, s.Reason)
		}
	}
	d.t.Logf("%.2000s", body)
}

// pattern returns the path of the document that a path of a request has.
func pattern(path string) string {
	parts := strings.Split(path, "/")
	if len(parts) > 3 && parts[2] == "records" {
		parts[3] = "{id}"
	}
	if len(parts) > 3 && parts[2] == "inbox" {
		parts[3] = "{key}"
	}
	return strings.Join(parts, "/")
}

func decode[T any](t *testing.T, a got) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil {
		t.Fatalf("%v: %.300s", err, a.body)
	}
	return v
}
