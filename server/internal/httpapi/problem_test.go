package httpapi_test

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/syncproto"
)

// codes returns every Code of syncproto, read from its source.
func codes(t *testing.T) []syncproto.Code {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "../../../syncproto/code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []syncproto.Code
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Names) == 1 && strings.HasPrefix(v.Names[0].Name, "Code") {
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				s, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, syncproto.Code(s))
			}
		}
		return true
	})
	return all
}

func TestEveryCodeHasAStatusAndATextInTwoLanguages(t *testing.T) {
	all := codes(t)
	if len(all) < 50 {
		t.Fatalf("found %d codes", len(all))
	}
	for _, c := range all {
		if !httpapi.HasStatus(c) {
			t.Errorf("%s has no status", c)
		}
		if s := httpapi.StatusOf(c); s < 400 || s > 599 || http.StatusText(s) == "" {
			t.Errorf("%s has status %d", c, s)
		}
		if text := c.Text(); text.Indonesian == "" || text.English == "" || text.Indonesian == syncproto.Code("?").Text().Indonesian {
			t.Errorf("%s has no text of its own", c)
		}
	}
}

func TestProblemsSpeakTheCallersLanguage(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	for accept, want := range map[string]string{
		"": "id", "id": "id", "en": "en", "en-US,en;q=0.9": "en", "de, en;q=0.5": "en", "id-ID,en;q=0.8": "id", "en;q=0.1, id;q=0.9": "id",
		"jv, en;q=0.5": "id", "fr": "id", "*": "id", "garbage;;;q=x": "id", strings.Repeat("en,", 200): "id",
	} {
		a := r.do("GET", "/nowhere", nil, "Accept-Language", accept)
		r.want(a, syncproto.CodeNotFound)
		text := syncproto.CodeNotFound.Text().Indonesian
		if want == "en" {
			text = syncproto.CodeNotFound.Text().English
		}
		var p struct{ Title string }
		if err := json.Unmarshal(a.body, &p); err != nil || p.Title != text || a.header.Get("Content-Language") != want {
			t.Errorf("%q: %s %q", accept, a.header.Get("Content-Language"), p.Title)
		}
	}
}

func TestUnknownRoutesAndMethodsAreProblems(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	for _, path := range []string{"/", "/v1", "/v1/", "/v1/syncs", "/v1/sync/", "/v2/sync", "/v1/sync/../enrol", "/%00", "/v1/%2e%2e/etc", "/favicon.ico", "/debug/pprof/"} {
		for _, method := range []string{"GET", "POST", "BREW"} {
			r.want(r.do(method, path, nil), syncproto.CodeNotFound)
		}
	}
	for _, c := range []struct{ method, path, allow string }{
		{"GET", "/v1/sync", "POST"}, {"DELETE", "/v1/enrol", "POST"}, {"POST", "/v1/time", "GET"}, {"PUT", "/healthz", "GET"}, {"BREW", "/readyz", "GET"},
	} {
		a := r.do(c.method, c.path, nil)
		r.want(a, syncproto.CodeMethodNotAllowed)
		if !strings.Contains(a.header.Get("Allow"), c.allow) {
			t.Errorf("%s %s: Allow %q", c.method, c.path, a.header.Get("Allow"))
		}
	}
}

func TestPublicRoutesAnswer(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	for _, path := range []string{"/v1/time", "/healthz", "/readyz", "/metrics"} {
		a := r.do("GET", path, nil)
		if a.status != http.StatusOK || len(a.body) == 0 || a.header.Get("X-Request-Id") == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %.100s %v", path, a.status, a.body, a.header)
		}
	}
	var at struct {
		ServerID   string `json:"server_id"`
		ServerTime int64  `json:"server_time"`
	}
	if err := json.Unmarshal(r.do("GET", "/v1/time", nil).body, &at); err != nil || at.ServerID != r.identity.ServerID || at.ServerTime == 0 {
		t.Errorf("time: %+v, %v", at, err)
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.clock += 10_000_000_000 // the last answer holds for 2 s
	r.mu.Unlock()
	a := r.do("GET", "/readyz", nil)
	r.want(a, syncproto.CodeUnavailable)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := r.do("GET", "/healthz", nil); a.status != http.StatusOK {
		t.Errorf("healthz without a store: %d", a.status)
	}
}

// Nothing that identifies a record or a person, and no secret, is in the log
// or among the metrics.
func TestLogAndMetricsHaveNoSecrets(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	token := d.Token(r.now())
	r.do("POST", "/v1/sync?passport=X1234567", bytes.NewReader(wireBody(t, frames(t, opening()))), "Authorization", "Bearer "+token, "Content-Type", "application/vnd.sambang.sync+protobuf", "Content-Encoding", "zstd")
	r.do("GET", "/v1/records/0193b2c4-0000-7000-8000-000000000000?name=Rahasia", nil, "Authorization", "Bearer "+token, "X-Request-Id", "line\\nbreak")
	log, metrics := r.log.String(), string(r.do("GET", "/metrics", nil).body)
	for _, secret := range []string{token, token[:40], "X1234567", "Rahasia", "0193b2c4", "Budi", "HP uji", "127.0.0.1", "passport", "uji/1"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log has %q", secret)
		}
		if strings.Contains(metrics, secret) {
			t.Errorf("the metrics have %q", secret)
		}
	}
	if strings.Contains(metrics, d.ID) || !strings.Contains(log, d.ID) {
		t.Error("a device's id belongs into the log and not among the metrics")
	}
	if !strings.Contains(metrics, `sambang_http_requests_total{method="POST",route="/v1/sync",status="200"} 1`) || !strings.Contains(metrics, `sambang_store_rows{what="devices"} 1`) {
		t.Errorf("metrics:\n%s", metrics)
	}
	for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("log line %q", line)
		}
	}
}
