package httpapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/hq/hqtest"
	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// kind is what a route does to its object.
type kind string

const (
	public   kind = "public"   // has no object and asks for no token
	exchange kind = "exchange" // brings a device what it may read
	list     kind = "list"     // lists what the reader may see
	show     kind = "show"     // shows one object
	act      kind = "act"      // changes one object
)

// access is the one table of who may do what: the least role of each route,
// and on what. A route that is not here fails the test.
var access = map[string]struct {
	kind  kind
	least auth.Role // of people
	on    string    // record, message, device
}{
	"GET /healthz":                {kind: public},
	"GET /readyz":                 {kind: public},
	"GET /metrics":                {kind: public},
	"GET /v1/time":                {kind: public},
	"GET /v1/openapi.json":        {kind: public},
	"POST /v1/enrol":              {kind: public},
	"POST /v1/sync":               {kind: exchange, on: "record"},
	"GET /v1/log":                 {list, auth.Viewer, "record"},
	"GET /v1/records/:id":         {show, auth.Viewer, "record"},
	"POST /v1/records/:id/purge":  {act, auth.Admin, "record"},
	"GET /v1/devices":             {list, auth.Operator, "device"},
	"GET /v1/inbox":               {list, auth.Viewer, "message"},
	"GET /v1/inbox/:key":          {show, auth.Viewer, "message"},
	"POST /v1/inbox/:key/release": {act, auth.Operator, "message"},
	"POST /v1/inbox/:key/close":   {act, auth.Operator, "message"},
}

// relations are where a reader's regions lie to the object's.
var relations = map[string][]syncproto.Region{
	"the district": {"35.24.14"}, "the regency": {"35.24"}, "the province": {"35"}, "several": {"36", "35.24.14"},
	"the district beside": {"35.24.15"}, "the regency beside": {"35.25"}, "another province": {"36"}, "a code that begins so": {"35.24.01"},
}

var classSets = map[string][]syncproto.Class{"D": {"D"}, "DT": {"D", "T"}, "DTH": {"D", "T", "H"}, "H": {"H"}, "T": {"T"}}

// callers are who may knock, beside the people with roles.
var callers = []string{"nobody", "garbage", "expired", "device", "revoked device", "device of a disabled officer"}

// states are those of each kind of object: where it is now, in which classes it
// has parts, and what it takes to be listed.
var states = map[string][]state{
	"record": {
		{name: "live", district: "35.24.14", classes: "D"}, {name: "with a companion", district: "35.24.14", classes: "DT"},
		{name: "deleted", district: "35.24.14", classes: "D"}, {name: "purged", district: "35.24.14", classes: "D"},
		{name: "moved", district: "35.25.01", classes: "D"}, {name: "never there"},
	},
	"message": {
		{name: "open", district: "35.24.14", classes: "D"}, {name: "open, of class T", district: "35.24.14", classes: "T"},
		{name: "released", district: "35.24.14", classes: "D"}, {name: "closed", district: "35.24.14", classes: "D"},
		{name: "unplaced", district: "35.24.14", classes: "D", grants: "35.25"}, {name: "never there"},
	},
	"device": {{name: "active", grants: "35.24"}, {name: "revoked", grants: "35.24"}, {name: "elsewhere", grants: "35.25"}, {name: "never there"}},
}

type state struct {
	name     string
	district string // where it is, or says that it is
	classes  string // of its parts
	grants   string // of the device that it is, or is from, if that decides
}

// lies is the test's own idea of regions: by text.
func lies(in, district string) bool { return district == in || strings.HasPrefix(district, in+".") }

// reaches decides whether somebody of these regions and classes may see an
// object.
func (s state) reaches(regions []syncproto.Region, classes []syncproto.Class) bool {
	meets, covers := s.grants == "", s.district == "" && s.grants != ""
	for _, r := range regions {
		meets = meets || lies(string(r), s.grants) || lies(s.grants, string(r))
		covers = covers || s.district != "" && lies(string(r), s.district) && slices.ContainsFunc(classes, func(c syncproto.Class) bool { return strings.Contains(s.classes, string(c)) })
	}
	return meets && covers
}

// expect is what a cell must answer; "" if nobody has decided that.
func expect(route, caller string, s state, regions []syncproto.Region, classes []syncproto.Class) string {
	r := access[route]
	device := strings.Contains(caller, "device")
	switch {
	case r.kind == public:
		return "open"
	case caller == "nobody":
		return "unauthorized"
	case caller == "garbage", device != (r.kind == exchange):
		return "token_invalid"
	case caller == "expired":
		return "token_expired"
	case caller == "revoked device":
		return "device_revoked"
	case caller == "device of a disabled officer":
		return "forbidden"
	}
	reaches := s.reaches(regions, classes)
	if !device && !slices.Contains(auth.Roles()[slices.Index(auth.Roles(), r.least):], auth.Role(caller)) {
		return "forbidden"
	}
	switch r.kind {
	case exchange:
		if s.classes == "DT" && !slices.Contains(classes, "D") {
			return "not listed" // its main record; the companion is another one to a device
		}
		fallthrough
	case list:
		if reaches {
			return "listed"
		}
		return "not listed"
	case show:
		if reaches {
			return "shown"
		}
		return "not_found"
	case act:
		switch {
		case !reaches:
			return "not_found"
		case strings.HasSuffix(route, "/purge") && !slices.Contains(classes, "D"):
			return "not_found" // without the main record there is nothing to purge
		case strings.HasSuffix(route, "/release") && s.name == "unplaced":
			return "bad_record"
		}
		return "done"
	}
	return ""
}

// gateway is the API on a store that notes its reads, without a network.
type gateway struct {
	*hqtest.World
	t        *testing.T
	store    *counted
	identity *auth.Identity
	api      *httpapi.API
	inside   *hqtest.Device // of 35.24
	outside  *hqtest.Device // of 35.25, whose work in 35.24 is set aside
	n        int
	tokens   map[string]string
	phones   map[string]*authtest.Device // one of each caller
}

func newGateway(t *testing.T) *gateway {
	g := &gateway{World: hqtest.New(t, nil), t: t, tokens: map[string]string{}, phones: map[string]*authtest.Device{}}
	g.store = &counted{Store: g.Store}
	var err error
	if g.identity, err = auth.OpenIdentity(t.TempDir(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	service, err := hq.New(hq.Config{Store: g.store, Decisions: g.Engine, Secret: hqtest.Secret, Pack: g.Pack, Now: g.Now})
	if err != nil {
		t.Fatal(err)
	}
	sync := engine.New(engine.Config{
		Store: g.store, ServerID: g.identity.ServerID, ReceiptKey: g.identity.ReceiptKey, ReceiptKeyID: g.identity.ReceiptKeyID, ProjectKey: hqtest.Secret, Pack: g.Pack,
	})
	g.api = httpapi.New(httpapi.Config{
		Identity: g.identity, Devices: auth.NewDeviceVerifier(g.store, g.identity.ServerID, g.Now().Add(-time.Hour)),
		Enroller: &auth.Enroller{Store: g.store, Identity: g.identity},
		Exchange: func(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
			sum, err := sync.Sync(ctx, dev, now, open, next, send)
			return httpapi.Summary{Delivered: sum.Delivered, More: sum.More}, err
		},
		Health: deskHealth{g.World}, HQ: service, Now: g.Now, Limits: httpapi.Limits{PerDevice: -1, PerAddress: -1, EnrolPerAddress: -1},
	})
	g.inside, g.outside = g.Device("dalam", "imigrasi", hqtest.Grant("35.24"), hqtest.Grant("35.25.01")), g.Device("luar", "disnaker", hqtest.Grant("35.25"))
	return g
}

func (g *gateway) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// make brings an object into a state, and returns its id.
func (g *gateway) make(on string, s state) string {
	g.t.Helper()
	g.n++
	if s.name == "never there" {
		return map[string]string{"record": hqtest.ID(900_000 + g.n).String(), "message": fmt.Sprintf("%064x", g.n), "device": "dev-tidak-ada"}[on]
	}
	switch on {
	case "record":
		doc := map[string]any{"name": "Kos"}
		if s.classes == "DT" {
			doc["owner_name"] = "Ibu Rekaan"
		}
		id := g.inside.Create(g.n, "site", "35.24.14", doc)
		g.inside.MustSync()
		switch s.name {
		case "deleted":
			g.inside.Delete(id)
		case "moved":
			g.inside.Move(id, s.district)
		case "purged":
			g.must(g.Engine.Purge(g.t.Context(), engine.Actor{ID: "pusat"}, id, "uji", g.Now().UnixMilli()))
			return id.String()
		}
		g.inside.MustSync()
		return id.String()
	case "message":
		return g.message(s)
	}
	panic(on)
}

// message makes a message of the device of another regency.
func (g *gateway) message(s state) string {
	g.t.Helper()
	id := hqtest.ID(g.n)
	scope := "35.24.14"
	if s.classes == "T" {
		scope += "/T"
	}
	g.outside.Write(id, syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue("site")}, syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue(scope)},
		syncproto.Write{Path: "name", Value: syncproto.MustValue("Salah wilayah")})
	if s.name == "unplaced" {
		g.outside.Damage = func(_ *wire.Open, bs []*wire.Batch) {
			for _, b := range bs {
				for i := range b.Tables.Scopes {
					b.Tables.Scopes[i] = "bukan wilayah"
				}
			}
		}
	}
	g.outside.MustSync()
	g.outside.Damage = nil
	var key syncproto.Digest
	g.must(g.Store.View(g.t.Context(), func(r store.Reader) error {
		all, err := r.Inbox("", nil, 1000)
		for _, m := range all {
			if m.ID == id {
				key = m.Key
			}
		}
		return err
	}))
	if key == (syncproto.Digest{}) {
		g.t.Fatalf("no message %s", s.name)
	}
	switch s.name {
	case "released":
		g.must(g.Engine.Release(g.t.Context(), engine.Actor{ID: "pusat"}, key, "uji", g.Now().UnixMilli()))
	case "closed":
		g.must(g.Engine.Close(g.t.Context(), engine.Actor{ID: "pusat"}, key, "uji", g.Now().UnixMilli()))
	}
	return hex.EncodeToString(key[:])
}

// token is that of a caller.
func (g *gateway) token(caller, agency string, regions []syncproto.Region, classes []syncproto.Class) string {
	g.t.Helper()
	name := fmt.Sprint(caller, agency, regions, classes)
	if t, ok := g.tokens[name]; ok {
		return t
	}
	at, role := g.Now(), auth.Role(caller)
	switch caller {
	case "nobody":
		return ""
	case "garbage":
		return "bukan.token.sama-sekali"
	case "expired":
		at, role = at.Add(-48*time.Hour), auth.Admin
	}
	token, err := g.identity.IssuePersonToken(auth.Person{Subject: "orang", Role: role, Agency: agency, Regions: regions, Classes: classes}, time.Hour, at, rand.Reader)
	g.must(err)
	g.tokens[name] = token
	return token
}

// enrol makes a device with grants, revoked or of a disabled officer if asked.
func (g *gateway) enrol(caller string, grants syncproto.Grants) *authtest.Device {
	g.t.Helper()
	g.n++
	officer := fmt.Sprintf("petugas-%d", g.n)
	registry := func(do func(store.Tx) error) {
		g.t.Helper()
		g.must(g.Store.Update(g.t.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, do(tx) }}))
	}
	registry(func(tx store.Tx) error {
		return tx.PutOfficer(store.Officer{ID: officer, Name: "Petugas", Agency: "imigrasi", Role: "officer"})
	})
	p, err := auth.CreateCode(g.t.Context(), g.Store, rand.Reader, auth.NewCode{URL: "http://127.0.0.1:1", Officer: officer, Grants: grants}, g.Now().UnixMilli())
	g.must(err)
	d := authtest.NewDevice("EdDSA")
	body, err := json.Marshal(d.EnrolBody(p.String(), "HP"))
	g.must(err)
	if a := g.ask("POST", "/v1/enrol", "", body, asJSON); a.Code != http.StatusCreated {
		g.t.Fatalf("enrol: %d %s", a.Code, a.Body)
	}
	d.Server = g.identity.ServerID
	registry(func(tx store.Tx) error {
		switch caller {
		case "revoked device":
			dev, err := tx.Device(d.ID)
			if dev.RevokedAt = g.Now().UnixMilli(); err != nil {
				return err
			}
			return tx.PutDevice(dev)
		case "device of a disabled officer":
			return tx.PutOfficer(store.Officer{ID: officer, Name: "Petugas", Agency: "imigrasi", Role: "officer", Disabled: true})
		}
		return nil
	})
	return d
}

func (g *gateway) ask(method, target, token string, body []byte, contentType string) *httptest.ResponseRecorder {
	g.t.Helper()
	req := httptest.NewRequestWithContext(g.t.Context(), method, target, bytes.NewReader(body))
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	rec := httptest.NewRecorder()
	g.store.take()
	g.api.ServeHTTP(rec, req)
	return rec
}

// answered is the outcome of an answer about one object.
func answered(rec *httptest.ResponseRecorder, k kind, id string) string {
	if rec.Header().Get("Content-Type") == "application/problem+json" {
		var p struct{ Code string }
		_ = json.Unmarshal(rec.Body.Bytes(), &p)
		return p.Code
	}
	if rec.Code != http.StatusOK {
		return fmt.Sprint(rec.Code)
	}
	switch {
	case k == public:
		return "open"
	case k == act:
		return "done"
	case k == show && bytes.Contains(rec.Body.Bytes(), []byte(id)):
		return "shown"
	case k == list && bytes.Contains(rec.Body.Bytes(), []byte(id)):
		return "listed"
	}
	return "not listed"
}

// masked is an answer without what differs from request to request.
func masked(t *testing.T, rec *httptest.ResponseRecorder) string {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal(rec.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, rec.Body)
	}
	delete(p, "request_id")
	delete(p, "server_time")
	h := rec.Header().Clone()
	h.Del("X-Request-Id")
	return fmt.Sprint(rec.Code, h, p)
}

// TestAccess asks every route as every caller about every object, and compares
// with the table. What a caller may not see is answered like what was never
// there: in the same words and with the same reads.
func TestAccess(t *testing.T) {
	g := newGateway(t)
	served := map[string]bool{}
	for _, line := range g.api.Table() {
		served[line.Method+" "+line.Path] = true
		if _, ok := access[line.Method+" "+line.Path]; !ok {
			t.Errorf("%s %s is in no cell of the table", line.Method, line.Path)
		}
	}
	objects := map[string][]string{}
	for _, on := range []string{"record", "message"} {
		for _, s := range states[on] {
			objects[on] = append(objects[on], g.make(on, s))
		}
	}
	objects["device"] = []string{
		g.enrol("device", syncproto.Grants{hqtest.Grant("35.24")}).ID, g.enrol("revoked device", syncproto.Grants{hqtest.Grant("35.24")}).ID,
		g.enrol("device", syncproto.Grants{hqtest.Grant("35.25")}).ID, "dev-tidak-ada",
	}
	cells := &cells{g: g, objects: objects, counts: map[string]int{}}
	// What changes something comes last: it makes many objects.
	order := slices.SortedFunc(maps.Keys(access), func(a, b string) int {
		if x, y := access[a].kind == act, access[b].kind == act; x != y {
			return map[bool]int{true: 1, false: -1}[x]
		}
		return strings.Compare(a, b)
	})
	all := true // of the routes were asked, and not one picked by -run
	for _, route := range order {
		if !served[route] {
			t.Errorf("%s is in the table and not served", route)
			continue
		}
		asked := false
		t.Run(strings.ReplaceAll(route, "/", "|"), func(t *testing.T) {
			g.t, asked = t, true
			cells.route(t, route)
		})
		all = all && asked
	}
	g.t = t
	total := 0
	for _, n := range cells.counts {
		total += n
	}
	t.Logf("%d cells of %d routes: %v; %d foreign objects compared with one that was never there, %d with the same reads", total, len(served), cells.counts, cells.foreign, cells.sameReads)
	if all && (total < 5000 || cells.foreign < 1000 || cells.sameReads != cells.foreign) {
		t.Error("the matrix is thinner than it was, or a foreign object costs other reads than none")
	}
}

// cells walks the matrix.
type cells struct {
	g                  *gateway
	objects            map[string][]string
	counts             map[string]int
	foreign, sameReads int
}

func (c *cells) check(t *testing.T, route, caller, agency, relation, set string, s state, got string) {
	t.Helper()
	want := expect(route, caller, s, relations[relation], classSets[set])
	c.counts[want]++
	switch {
	case want == "":
		t.Errorf("%s as %s of %s in %s, %s, on %s: nobody has decided that", route, caller, agency, relation, set, s.name)
	case got != want:
		t.Errorf("%s as %s of %s in %s, %s, on %s: %s, want %s", route, caller, agency, relation, set, s.name, got, want)
	}
}

func (c *cells) route(t *testing.T, route string) {
	t.Helper()
	r := access[route]
	on := r.on
	if on == "" {
		on = "record"
	}
	for relation := range relations {
		for set := range classSets {
			for _, agency := range []string{"imigrasi", "disnaker"} {
				for _, role := range auth.Roles() {
					c.reader(t, route, string(role), agency, relation, set, on)
				}
			}
			for _, caller := range callers {
				c.reader(t, route, caller, "imigrasi", relation, set, on)
			}
		}
	}
}

// reader asks about all objects as one caller.
func (c *cells) reader(t *testing.T, route, caller, agency, relation, set, on string) {
	t.Helper()
	g, r := c.g, access[route]
	method, path, _ := strings.Cut(route, " ")
	all := states[on]
	var device *authtest.Device
	if d := g.phones[caller]; d != nil && r.kind != exchange {
		device = d // its grants are nothing to people's routes
	} else if strings.Contains(caller, "device") {
		grants := syncproto.Grants{}
		for _, region := range relations[relation] {
			grants = append(grants, syncproto.Grant{Region: region, Classes: classSets[set]})
		}
		device = g.enrol(caller, grants)
		g.phones[caller] = device
	}
	token := func() string {
		if device != nil {
			return device.Token(g.Now())
		}
		return g.token(caller, agency, relations[relation], classSets[set])
	}
	if r.kind == exchange {
		seen, code := c.exchange(t, token())
		for i, s := range all {
			got := code
			if code == "" {
				if got = "not listed"; seen[c.objects[on][i]] {
					got = "listed"
				}
			}
			c.check(t, route, caller, agency, relation, set, s, got)
		}
		return
	}
	if !strings.Contains(path, ":") {
		target := path
		switch path {
		case "/v1/log":
			target += "?deleted=true&limit=200"
		case "/v1/inbox":
			target += "?state=all&limit=200"
		}
		body, kind := []byte(nil), ""
		if method == "POST" {
			body, kind = []byte("{}"), asJSON
		}
		rec := g.ask(method, target, token(), body, kind)
		for i, s := range all {
			got := answered(rec, r.kind, c.objects[on][i])
			if path == "/v1/enrol" && got == "enrolment_invalid" {
				got = "open" // whoever he is, an empty enrolment is refused as such
			}
			c.check(t, route, caller, agency, relation, set, s, got)
		}
		return
	}
	var none string
	var noneReads []string
	ask := func(id string) *httptest.ResponseRecorder {
		target := strings.NewReplacer(":id", id, ":key", id).Replace(path)
		if method == "GET" {
			return g.ask(method, target, token(), nil, "")
		}
		return g.ask(method, target, token(), []byte(`{"reason":"alasan"}`), asJSON)
	}
	for i := len(all) - 1; i >= 0; i-- { // what was never there comes first
		s, id := all[i], c.objects[on][i]
		want := expect(route, caller, s, relations[relation], classSets[set])
		if r.kind == act && want == "done" && !slices.Contains([]string{"released", "closed", "purged"}, s.name) {
			id = g.make(on, s) // the next cells need theirs as it is
		}
		rec := ask(id)
		reads := g.store.take()
		c.check(t, route, caller, agency, relation, set, s, answered(rec, r.kind, id))
		if want != "not_found" {
			continue
		}
		if s.name == "never there" {
			none, noneReads = masked(t, rec), reads
			continue
		}
		c.foreign++
		if got := masked(t, rec); got != none {
			t.Errorf("%s as %s in %s, %s, on %s: answered\n%s\nand what was never there\n%s", route, caller, relation, set, s.name, got, none)
		}
		if slices.Equal(reads, noneReads) {
			c.sameReads++
		} else {
			t.Errorf("%s as %s in %s, %s, on %s: reads %v, for what was never there %v", route, caller, relation, set, s.name, reads, noneReads)
		}
	}
}

// exchange pulls as a device, and returns the records that came.
func (c *cells) exchange(t *testing.T, token string) (seen map[string]bool, code string) {
	t.Helper()
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce)
	var body bytes.Buffer
	c.g.must(wire.NewFrameWriter(&body, wire.Protobuf).Request(&wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: &wire.Open{Version: wire.Version, Nonce: nonce, MaxEntries: 100_000}}}))
	rec := c.g.ask("POST", "/v1/sync", token, body.Bytes(), wire.ContentTypeProtobuf)
	if rec.Code != http.StatusOK {
		return nil, answered(rec, exchange, "")
	}
	seen = map[string]bool{}
	frames := wire.NewFrameReader(rec.Body, wire.Protobuf)
	for {
		f, err := frames.Response()
		if errors.Is(err, io.EOF) {
			return seen, ""
		}
		c.g.must(err)
		for _, e := range f.GetFeed().GetEntries() {
			if d := e.GetDelta(); d != nil {
				seen[syncproto.RecordID(d.GetId()).String()] = true
			}
		}
	}
}
