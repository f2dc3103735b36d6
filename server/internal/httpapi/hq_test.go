package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

const asJSON, asLines = "application/json", "application/x-ndjson"

// fill writes one of everything, and returns a record of 35.24 and the key of a
// message of 35.24.
func (d *desk) fill() (record, message string) {
	d.t.Helper()
	a, b := d.Device("a", "imigrasi", hqtest.Grant("35.24")), d.Device("b", "disnaker", hqtest.Grant("35.25"))
	id := a.Create(1, "site", "35.24.14", map[string]any{"name": "Kos Kenari", "owner_name": "Tini Kenari", "aliases": []string{"x", "y"}})
	a.Create(2, "encounter", "35.24.14", map[string]any{"activity": "kerja", "restricted": true})
	a.Create(3, "meeting", "35.24.15", map[string]any{"place": "aula"})
	a.MustSync()
	a.Set(id, "name", "Kos Murai")
	a.Set(id, "name", "Kos Camar")
	a.Delete(hqtest.ID(3))
	a.MustSync()
	b.Create(4, "site", "35.25.01", map[string]any{"name": "Pabrik"})
	b.Create(5, "site", "35.24.14", map[string]any{"name": "Salah Wilayah"}) // not b's region
	b.MustSync()
	c := d.Device("c", "polri", hqtest.Grant("35.24"))
	c.Take(a, id)
	c.Set(id, "name", "Kos Gelatik")
	a.Set(id, "name", "Kos Kutilang")
	a.MustSync()
	c.MustSync()
	page := decode[hq.InboxPage](d.t, d.ask(d.person(auth.Admin, in("35")), "GET", "/v1/inbox", nil))
	if len(page.Messages) != 1 {
		d.t.Fatalf("inbox = %+v", page)
	}
	return id.String(), page.Messages[0].Key
}

func why(reason string) []byte { return []byte(`{"reason":"` + reason + `"}`) }

func TestHandlersAnswerAsTheDocumentSays(t *testing.T) {
	d := newDesk(t, nil)
	d.askEverything()
	for _, r := range d.api.Table() {
		if !slices.ContainsFunc(d.held, func(x exchanged) bool { return x.status < 300 && isRoute(r, x.request) }) {
			t.Errorf("%s %s never succeeded in this test", r.Method, r.Path)
		}
	}
}

// askEverything sends what each route takes, and much of what it refuses.
func (d *desk) askEverything() {
	d.t.Helper()
	record, message := d.fill()
	admin := d.person(auth.Admin, in("35"))
	d.ask(admin, "GET", "/v1/log?limit=2&deleted=true", nil)
	d.ask(admin, "GET", "/v1/log?conflicts=only&region=35.24&kind=site&agency=imigrasi&from=2026-01-01&to=2027-01-01", nil)
	d.ask(admin, "GET", "/v1/log?deleted=true", nil, "Accept", asLines)
	d.ask(admin, "GET", "/v1/log", nil, "Accept", asLines, "Sambang-Purpose", "sprint/2026-04")
	d.ask(admin, "GET", "/v1/records/"+record, nil)
	d.ask(admin, "GET", "/v1/devices", nil)
	d.ask(admin, "GET", "/v1/inbox?state=all&limit=1", nil)
	d.ask(admin, "GET", "/v1/inbox/"+message, nil)
	d.ask(admin, "POST", "/v1/inbox/"+message+"/release", why("diserahkan"), "Content-Type", asJSON)
	d.ask(admin, "POST", "/v1/inbox/"+message+"/close", why("terlambat"), "Content-Type", asJSON)
	d.ask(admin, "POST", "/v1/records/"+record+"/purge", why("masa simpan"), "Content-Type", asJSON)
	d.ask(admin, "GET", "/v1/records/"+record, nil)
	for _, path := range []string{"/v1/time", "/healthz", "/readyz", "/metrics", "/v1/openapi.json"} {
		d.ask("", "GET", path, nil)
	}
	device := d.enrol()
	open := &wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: &wire.Open{Version: wire.Version, Nonce: bytes.Repeat([]byte{1}, 16), MaxEntries: 10}}}
	var body bytes.Buffer
	if err := wire.NewFrameWriter(&body, wire.JSON).Request(open); err != nil {
		d.t.Fatal(err)
	}
	d.ask(device.Token(d.Now()), "POST", "/v1/sync", body.Bytes(), "Content-Type", wire.ContentTypeJSON)

	for _, c := range []struct {
		token, method, path, body, header, value string
		want                                     syncproto.Code
	}{
		{"", "GET", "/v1/log", "", "", "", syncproto.CodeUnauthorized},
		{"x.y.z", "GET", "/v1/log", "", "", "", syncproto.CodeTokenInvalid},
		{admin, "GET", "/v1/log?nationality=CN", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?sort=nationality", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?kind=site&kind=meeting", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?kind=", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?kind=%ff", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?kind=%zz", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?limit=501", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?limit=0", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?follow=true", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?limit=5", "", "Accept", asLines, syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?follow=1", "", "Accept", asLines, syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?nationality=CN", "", "Accept", asLines, syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/log?cursor=abc", "", "Accept", asLines, syncproto.CodeCursorInvalid},
		{admin, "GET", "/v1/log?cursor=abc", "", "", "", syncproto.CodeCursorInvalid},
		{admin, "GET", "/v1/log", "", "Sambang-Purpose", "untuk Budi", syncproto.CodeMalformed},
		{admin, "GET", "/v1/log?region=36", "", "", "", syncproto.CodeForbidden},
		{admin, "GET", "/v1/records/" + hqtest.ID(99).String(), "", "", "", syncproto.CodeNotFound},
		{admin, "GET", "/v1/records/1234", "", "", "", syncproto.CodeBadID},
		{admin, "GET", "/v1/records/" + record + "?x=1", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/devices?nationality=CN", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/devices?kind=site", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/inbox?x=1", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/inbox?state=new", "", "", "", syncproto.CodeFilterInvalid},
		{admin, "GET", "/v1/inbox?cursor=abc", "", "", "", syncproto.CodeCursorInvalid},
		{admin, "GET", "/v1/inbox/" + strings.Repeat("a", 64), "", "", "", syncproto.CodeNotFound},
		{admin, "GET", "/v1/inbox/" + strings.ToUpper(message), "", "", "", syncproto.CodeNotFound},
		{admin, "POST", "/v1/inbox/" + message + "/close", `{"reason":""}`, "Content-Type", asJSON, syncproto.CodeBadValue},
		{admin, "POST", "/v1/inbox/" + message + "/close", `{"reason":"x","force":true}`, "Content-Type", asJSON, syncproto.CodeMalformed},
		{admin, "POST", "/v1/inbox/" + message + "/close", `{"reason":"x","reason":"y"}`, "Content-Type", asJSON, syncproto.CodeMalformed},
		{admin, "POST", "/v1/inbox/" + message + "/close", `{"reason":"` + "\xff" + `"}`, "Content-Type", asJSON, syncproto.CodeInvalidUTF8},
		{admin, "POST", "/v1/inbox/" + message + "/close", `{"reason":"` + strings.Repeat("x", 5000) + `"}`, "Content-Type", asJSON, syncproto.CodeTooLarge},
		{admin, "POST", "/v1/inbox/" + message + "/close", `reason=x`, "Content-Type", "application/x-www-form-urlencoded", syncproto.CodeUnsupportedMedia},
		{admin, "POST", "/v1/inbox/" + message + "/close?x=1", `{"reason":"x"}`, "Content-Type", asJSON, syncproto.CodeFilterInvalid},
		{admin, "POST", "/v1/records/" + hqtest.ID(99).String() + "/purge", `{"reason":"x"}`, "Content-Type", asJSON, syncproto.CodeNotFound},
		{d.person(auth.Viewer, in("35")), "POST", "/v1/records/" + record + "/purge", `{"reason":"x"}`, "Content-Type", asJSON, syncproto.CodeForbidden},
	} {
		var headers []string
		if c.header != "" {
			headers = []string{c.header, c.value}
		}
		a := d.ask(c.token, c.method, c.path, []byte(c.body), headers...)
		if a.code != c.want {
			d.t.Errorf("%s %s: %d %s, want %s: %.300s", c.method, c.path, a.status, a.code, c.want, a.body)
		}
	}
	d.askRare(device)
}

func (d *desk) enrol() *authtest.Device {
	d.t.Helper()
	p, err := auth.CreateCode(d.t.Context(), d.Store, neverEnding{}, auth.NewCode{
		URL: "http://127.0.0.1:1", Officer: "off-a", Grants: syncproto.Grants{hqtest.Grant("35.24.14")},
	}, d.Now().UnixMilli())
	if err != nil {
		d.t.Fatal(err)
	}
	device := authtest.NewDevice("EdDSA")
	body, err := json.Marshal(device.EnrolBody(p.String(), "HP uji"))
	if err != nil {
		d.t.Fatal(err)
	}
	a := d.ask("", "POST", "/v1/enrol", body, "Content-Type", asJSON)
	if a.status != http.StatusCreated {
		d.t.Fatalf("enrol: %d %s", a.status, a.body)
	}
	device.Server = decode[auth.EnrolReply](d.t, a).ServerID
	return device
}

// neverEnding is a source of the same bytes.
type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

// TestEachRoleReachesWhatItMayInEachRegion asks every route in every role, for
// things that are in the reader's regions, above them and outside.
func TestEachRoleReachesWhatItMayInEachRegion(t *testing.T) {
	d := newDesk(t, nil)
	record, message := d.fill()
	need := map[string]auth.Role{
		"GET /v1/log": auth.Viewer, "GET /v1/records/:id": auth.Viewer, "POST /v1/records/:id/purge": auth.Admin,
		"GET /v1/devices": auth.Operator, "GET /v1/inbox": auth.Viewer, "GET /v1/inbox/:key": auth.Viewer,
		"POST /v1/inbox/:key/release": auth.Operator, "POST /v1/inbox/:key/close": auth.Operator,
	}
	relations := map[string]struct {
		regions []syncproto.Region
		classes []syncproto.Class
		reaches bool
	}{
		"the district itself":     {in("35.24.14"), []syncproto.Class{"D", "T", "H"}, true},
		"the regency above":       {in("35.24"), []syncproto.Class{"D"}, true},
		"the province above":      {in("35"), []syncproto.Class{"D", "T"}, true},
		"several, one of them it": {in("36", "35.24.14"), []syncproto.Class{"D"}, true},
		"a district beside":       {in("35.24.15"), []syncproto.Class{"D", "T", "H"}, false},
		"a regency beside":        {in("35.25"), []syncproto.Class{"D", "T", "H"}, false},
		"a code that begins so":   {in("35.24.01"), []syncproto.Class{"D", "T", "H"}, false},
		"it in another class":     {in("35.24.14"), []syncproto.Class{"H"}, false},
	}
	seen := 0
	for _, line := range d.api.Table() {
		if line.Action == auth.Public || line.Action == auth.Sync {
			continue
		}
		least, listed := need[line.Method+" "+line.Path]
		if !listed {
			t.Errorf("%s %s is not in this test", line.Method, line.Path)
			continue
		}
		seen++
		for _, role := range auth.Roles() {
			for name, rel := range relations {
				if (line.Path == "/v1/records/:id/purge" || strings.HasSuffix(line.Path, "/release") || strings.HasSuffix(line.Path, "/close")) && rel.reaches && may(role, least) {
					continue // changes something: tried last, below
				}
				a := d.try(line.Method, line.Path, record, message, d.person(role, rel.regions, rel.classes...))
				what := fmt.Sprintf("%s %s as %s in %s", line.Method, line.Path, role, name)
				single := strings.Contains(line.Path, ":")
				switch {
				case !may(role, least):
					if a.code != syncproto.CodeForbidden {
						t.Errorf("%s: %d %s, want forbidden", what, a.status, a.code)
					}
				case single && !rel.reaches:
					if a.code != syncproto.CodeNotFound {
						t.Errorf("%s: %d %s, want not_found", what, a.status, a.code)
					}
				case a.status != http.StatusOK:
					t.Errorf("%s: %d %s", what, a.status, a.code)
				case !single && line.Path != "/v1/devices":
					if has := bytes.Contains(a.body, []byte(record)) || bytes.Contains(a.body, []byte(message)); has != rel.reaches {
						t.Errorf("%s: listed %v, want %v: %s", what, has, rel.reaches, a.body)
					}
				}
			}
		}
		if a := d.try(line.Method, line.Path, record, message, ""); a.code != syncproto.CodeUnauthorized {
			t.Errorf("%s %s without token: %d %s", line.Method, line.Path, a.status, a.code)
		}
		device := d.person(auth.Admin, in("35"))
		if a := d.try(line.Method, line.Path, record, message, device+"x"); a.code != syncproto.CodeTokenInvalid {
			t.Errorf("%s %s with a changed token: %d %s", line.Method, line.Path, a.status, a.code)
		}
	}
	if seen != len(need) {
		t.Errorf("%d of %d routes are in the table", seen, len(need))
	}
	for _, path := range []string{"/v1/inbox/:key/close", "/v1/inbox/:key/release", "/v1/records/:id/purge"} {
		if a := d.try("POST", path, record, message, d.person(need["POST "+path], in("35.24.14"), "D")); a.status != http.StatusOK {
			t.Errorf("%s: %d %s", path, a.status, a.code)
		}
	}
}

func may(role, least auth.Role) bool {
	order := map[auth.Role]int{auth.Viewer: 0, auth.Operator: 1, auth.Admin: 2}
	return order[role] >= order[least]
}

func (d *desk) try(method, path, record, message, token string) got {
	d.t.Helper()
	path = strings.NewReplacer(":id", record, ":key", message).Replace(path)
	if method == "GET" {
		return d.ask(token, method, path, nil)
	}
	return d.ask(token, method, path, why("alasan"), "Content-Type", asJSON)
}

func TestARecordOutOfReachIsAnsweredLikeNone(t *testing.T) {
	d := newDesk(t, nil)
	record, message := d.fill()
	token := d.person(auth.Admin, in("36"))
	masked := func(a got) string {
		var p map[string]any
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatal(err)
		}
		delete(p, "request_id")
		out, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(a.status, a.header.Get("Content-Type"), string(out))
	}
	for _, c := range [][2]string{
		{"/v1/records/" + record, "/v1/records/" + hqtest.ID(99).String()},
		{"/v1/inbox/" + message, "/v1/inbox/" + strings.Repeat("0", 64)},
	} {
		there, not := d.ask(token, "GET", c[0], nil), d.ask(token, "GET", c[1], nil)
		if masked(there) != masked(not) {
			t.Errorf("out of reach: %s\nnot there:    %s", masked(there), masked(not))
		}
	}
}

func TestNothingPersonalIsInLogsErrorsOrAddresses(t *testing.T) {
	d := newDesk(t, nil)
	record, message := d.fill()
	admin := d.person(auth.Admin, in("35"))
	canaries := []string{"Kenari", "Murai", "Camar", "Gelatik", "Kutilang", "Salah Wilayah", "Pabrik"}
	var errorsSeen bytes.Buffer
	for _, path := range []string{
		"/v1/log?deleted=true", "/v1/log?limit=1", "/v1/records/" + record, "/v1/devices", "/v1/inbox", "/v1/inbox/" + message,
		"/v1/log?kind=Kenari%20Kenari", "/v1/log?region=Kenari", "/v1/log?Kenari=1", "/v1/log?cursor=Kenari", "/v1/records/Kenari", "/v1/inbox/Kenari",
		"/v1/log?from=Kenari", "/v1/Kenari", "/v1/inbox?state=Kenari",
	} {
		a := d.ask(admin, "GET", path, nil)
		if a.status >= 400 {
			errorsSeen.Write(a.body)
			if path != "/v1/Kenari" && a.code == syncproto.CodeInternal {
				t.Errorf("%s: internal", path)
			}
		} else if a.header.Get("Content-Type") == asJSON && strings.Contains(path, "record") && !bytes.Contains(a.body, []byte("Kos")) {
			t.Errorf("%s shows nothing", path)
		}
	}
	d.ask(admin, "GET", "/v1/log", nil, "Accept", asLines)
	d.ask(admin, "GET", "/v1/log", nil, "Sambang-Purpose", "Kenari orang")
	d.ask(admin, "POST", "/v1/inbox/"+message+"/release", why("Kenari pindah"), "Content-Type", asJSON)
	d.ask(admin, "POST", "/v1/records/"+record+"/purge", why("Kenari minta"), "Content-Type", asJSON)
	log := d.log.String()
	for _, c := range canaries {
		if strings.Contains(log, c) {
			t.Errorf("the log has %q", c)
		}
		if bytes.Contains(errorsSeen.Bytes(), []byte(c)) {
			t.Errorf("an error has %q: %s", c, errorsSeen.String())
		}
	}
	for _, action := range []string{"log.page", "log.stream", "record.read", "devices.read", "inbox.list", "inbox.read", "inbox.release", "record.purge"} {
		if !strings.Contains(log, `"action":"`+action+`"`) {
			t.Errorf("no audit line of %s", action)
		}
	}
	if !strings.Contains(log, `"subject":"orang-admin"`) || !strings.Contains(log, `"class_t":`) {
		t.Error("audit lines do not say who read how much")
	}
	page := decode[hq.Page](t, d.ask(admin, "GET", "/v1/log?limit=1&deleted=true", nil))
	if raw, err := url.QueryUnescape(page.Cursor); err != nil || strings.ContainsAny(raw, "/+= ") {
		t.Errorf("cursor %q does not fit into an address", page.Cursor)
	}
}

func TestTheStreamGoesOnOverHTTPAfterACut(t *testing.T) {
	d := newDesk(t, func(c *hq.Config) { c.CursorEvery = 10 })
	a := d.Device("a", "imigrasi", hqtest.Grant("35"))
	const n = 150
	for i := range n {
		a.Create(i, "mandate", fmt.Sprintf("35.24.%02d", 10+i%3), map[string]any{"number": fmt.Sprint(i)})
	}
	a.MustSync()
	token := d.person(auth.Viewer, in("35.24"))
	seen := map[string]int{}
	cursor := ""
	for attempt := 0; ; attempt++ {
		if attempt > 40 {
			t.Fatal("no progress")
		}
		path := "/v1/log"
		if cursor != "" {
			path += "?cursor=" + cursor
		}
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, "GET", d.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Accept", asLines)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		var uncovered []string
		ended := false
		scanner := bufio.NewScanner(resp.Body)
		scanner.Buffer(nil, 1<<20)
		for read := 0; scanner.Scan(); read++ {
			if attempt < 10 && read > 20+attempt*7 {
				break // the consumer dies
			}
			var l hq.Line
			if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
				t.Fatal(err)
			}
			switch {
			case l.Entry != nil:
				uncovered = append(uncovered, l.Entry.ID)
			case l.Cursor != "":
				for _, id := range uncovered {
					seen[id]++
				}
				uncovered, cursor, ended = nil, l.Cursor, l.End == hq.EndComplete
			}
		}
		cancel()
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if ended {
			break
		}
	}
	for i := range n {
		if got := seen[hqtest.ID(i).String()]; got != 1 {
			t.Errorf("record %d came %d times", i, got)
		}
	}
}

func TestAFollowerIsEndedByAShutdown(t *testing.T) {
	d := newDesk(t, func(c *hq.Config) { c.Heartbeat = 10 * time.Millisecond })
	req, err := http.NewRequestWithContext(t.Context(), "GET", d.server.URL+"/v1/log?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.person(auth.Viewer, in("35")))
	req.Header.Set("Accept", asLines)
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	scanner := bufio.NewScanner(resp.Body)
	if !scanner.Scan() || !strings.Contains(scanner.Text(), "cursor") {
		t.Fatalf("first line %q", scanner.Text())
	}
	if !scanner.Scan() || !strings.Contains(scanner.Text(), "heartbeat") {
		t.Fatalf("second line %q", scanner.Text())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := d.server.Config.Shutdown(ctx); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	var text string
	for scanner.Scan() {
		text = scanner.Text()
	}
	if !strings.Contains(text, `"end":"stopping"`) || scanner.Err() != nil {
		t.Errorf("last line %q, %v", text, scanner.Err())
	}
}
