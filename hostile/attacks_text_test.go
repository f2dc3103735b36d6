package hostile_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// evil texts, each of which some program somewhere has taken for more than text.
var evil = map[string]string{
	"a path upwards":       "../../../../tmp/x",
	"a path with a NUL":    "a.txt\x00.exe",
	"a NUL":                "\x00",
	"right-to-left":        "gambar\u202egpj.exe",
	"other marks":          "\u2066\u200b\ufeff\u2028",
	"ten kilobytes":        strings.Repeat("A", 10<<10),
	"a line for the log":   "x\n{\"level\":\"INFO\",\"msg\":\"palsu\"}",
	"a header":             "x\r\nSet-Cookie: a=b",
	"terminal control":     "\x1b]0;judul\x07\x1b[2J",
	"SQL":                  "'; DROP TABLE devices; --",
	"markup":               "<script>alert(1)</script>",
	"a template":           "{{.}}${jndi:ldap://x}%s%n",
	"a Windows name":       "CON\\..\\..\\aux",
	"invalid UTF-8":        "\xff\xfe\xc0\xaf",
	"half of a surrogate":  "\xed\xa0\x80",
	"a formula":            "=HYPERLINK(\"http://x\")",
	"combined to the sky":  "a" + strings.Repeat("\u0301", 500),
	"not in normal form":   "e\u0301",
	"homoglyphs":           "budі", // a Cyrillic letter
	"only white space":     " \t ",
	"empty":                "",
	"a JSON end":           "\"}],\"x\":[{\"",
	"a line separator":     "a\u2028b",
	"a byte order mark":    "\ufefftext",
	"a private character":  "\ue000\U000f0000",
	"a noncharacter":       "\ufffe\uffff",
	"replacement":          "\ufffd",
	"an interlinear mark":  "\ufff9\ufffa\ufffb",
	"tags of a language":   "\U000e0001\U000e0041",
	"a variation selector": "a\ufe0f",
}

// files lists what is on the disk below the world.
func (w *world) files() []string {
	w.t.Helper()
	var out []string
	w.must(filepath.WalkDir(filepath.Dir(w.dir), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && !strings.HasSuffix(path, "-wal") && !strings.HasSuffix(path, "-shm") {
			out = append(out, path)
		}
		return err
	}))
	return out
}

// H14
func mistypes(t *testing.T, x *intruder) {
	w := x.w
	before := w.files()
	n := 0
	for what, s := range evil {
		n++
		// As the name of a device: a name that does not print is refused.
		a := w.ask("POST", "/v1/enrol", asJSON, enrolBody(w.code("jahat", grant(beside, "D")), keyOf("nama "+what), s))
		harmless := []string{"a path upwards", "SQL", "markup", "a template", "a Windows name", "a formula", "not in normal form", "homoglyphs", "a variation selector", "a JSON end"}
		if accepted := a.status == http.StatusCreated; accepted != slices.Contains(harmless, what) {
			t.Errorf("%s as the name of a device: %d %s", what, a.status, a.code)
		}
		// As the name of an app: kept, or the request refused.
		o := x.open()
		o.App = s
		h := x.header()
		if strings.ToValidUTF8(s, "") == s {
			want(t, what+" as the name of an app", x.post(h, body(opening(o))).said(), "ok")
		}
		// As a value, a path, a kind and a scope of a record of his own.
		x.rotate()
		r, m := x.write(x.minter, syncproto.NewRecord(x.own(n)), birth(beside, text("name", "ganti"))...)
		for _, change := range []func(*wire.Batch){
			func(b *wire.Batch) { b.Items[0].Delta.Values = strings.Replace(b.Items[0].Delta.Values, "ganti", s, 1) },
			func(b *wire.Batch) {
				quoted, _ := json.Marshal(s)
				b.Items[0].Delta.Values = strings.Replace(b.Items[0].Delta.Values, `"ganti"`, string(quoted), 1)
			},
			func(b *wire.Batch) { b.Tables.Paths[slices.Index(b.Tables.Paths, "name")] = s },
			func(b *wire.Batch) {
				b.Items[0].Delta.Values = strings.Replace(b.Items[0].Delta.Values, `"site"`, `"`+s+`"`, 1)
			},
			func(b *wire.Batch) { b.Tables.Scopes[0] = s },
		} {
			b := x.batch(beside, r.Full())
			change(b)
			got := x.push(m, b)
			if got.status != http.StatusOK && got.code != syncproto.CodeTooLarge {
				t.Errorf("%s in a record: %s", what, got.said())
			}
		}
		// In what headquarters' people type, and in headers.
		person := w.person(server.Operator, "35")
		q := url.QueryEscape(s)
		for _, target := range []string{"/v1/log?kind=" + q, "/v1/log?agency=" + q, "/v1/log?region=" + q, "/v1/log?from=" + q, "/v1/log?cursor=" + q, "/v1/log?" + q + "=1",
			"/v1/inbox?state=" + q, "/v1/devices?agency=" + q, "/v1/records/" + url.PathEscape(s), "/v1/inbox/" + url.PathEscape(s)} {
			if len(target) > 8000 {
				continue // longer than a request line may be
			}
			if a := w.ask("GET", target, person, nil); a.status >= 500 {
				t.Errorf("%s in %.40q: %d %s", what, target, a.status, a.code)
			}
		}
		for _, name := range []string{"X-Request-Id", "Sambang-Purpose", "Accept-Language", "X-Forwarded-For", "Accept"} {
			h := person.Clone()
			h.Set(name, s)
			if a := w.ask("GET", "/v1/log?limit=1", h, nil); a.status >= 500 || strings.Contains(a.header.Get("X-Request-Id"), "\n") {
				t.Errorf("%s in %s: %d %s", what, name, a.status, a.code)
			}
		}
		reason, err := json.Marshal(map[string]string{"reason": s})
		w.must(err)
		h = w.person(server.Admin, "35")
		h.Set("Content-Type", "application/json")
		if a := w.ask("POST", "/v1/records/"+syncproto.RecordID{1, 2, 3}.String()+"/purge", h, reason); a.status >= 500 {
			t.Errorf("%s as a reason: %d %s", what, a.status, a.code)
		}
	}
	if after := w.files(); !slices.Equal(before, after) {
		t.Errorf("files came: %v", slices.DeleteFunc(after, func(f string) bool { return slices.Contains(before, f) }))
	}
	for line := range strings.Lines(w.log.String()) {
		if !json.Valid([]byte(line)) || strings.Contains(line, "palsu") {
			t.Errorf("a line of the log is not the server's: %q", line)
		}
	}
	if !strings.Contains(w.log.String(), `"code":"filter_invalid"`) || len(w.inbox(x.id)) == 0 {
		t.Error("nobody sees the attempts")
	}
}

// H15
func bombs(t *testing.T, x *intruder) {
	bomb := func(head, unit []byte, times int) []byte {
		var b bytes.Buffer
		z, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest))
		x.w.must(err)
		_, err = z.Write(head)
		x.w.must(err)
		for range times {
			_, err = z.Write(unit)
			x.w.must(err)
		}
		x.w.must(z.Close())
		return b.Bytes()
	}
	frame := func(n int) []byte { // a frame of one field that nobody knows
		f := append([]byte{0xa2, 0x3e}, varint(n)...)
		f = append(f, make([]byte, n)...)
		return append(varint(len(f)), f...)
	}
	start := body(opening(x.open()))
	open := func(h http.Header, encoding string) http.Header { h.Set("Content-Encoding", encoding); return h }
	for what, bomb := range map[string][]byte{
		"256 MiB of zeros":                  bomb(start, make([]byte, 1<<20), 256),
		"256 MiB of frames, each small":     bomb(start, frame(1<<20), 256),
		"a frame that says it is 2^63":      bomb(start, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 1),
		"a frame that says it is 2 MiB":     bomb(start, varint(2<<20), 1),
		"an open that is 1 GiB":             bomb(varint(1<<30), make([]byte, 1<<20), 256),
		"a window of 512 MiB":               {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x98, 0x01, 0x00, 0x00},
		"a bomb in a bomb":                  bomb(nil, bomb(nil, make([]byte, 1<<20), 64), 1),
		"twenty thousand empty open frames": bomb(start, []byte{2, 0x0a, 0}, 20_000),
		"twenty thousand empty batches":     bomb(start, []byte{2, 0x12, 0}, 20_000),
	} {
		got := x.post(open(x.header(), "zstd"), bomb)
		// Which limit it hits first is no matter.
		if !slices.Contains([]string{"malformed", "too_large", "too_many", "decompressed_too_large"}, got.said()) {
			t.Errorf("%s (%d bytes sent): %s", what, len(bomb), got.said())
		}
	}
	later := bomb(start, nil, 0)
	want(t, "an exchange afterwards", x.post(open(x.header(), "zstd"), later).said(), "ok")
	for what, c := range map[string]struct{ encoding, want string }{
		"gzip": {"gzip", "unsupported_media"}, "twice": {"zstd, zstd", "unsupported_media"}, "deflate": {"deflate", "unsupported_media"},
	} {
		want(t, what, x.post(open(x.header(), c.encoding), later).said(), c.want)
	}
	if !strings.Contains(x.w.log.String(), `"code":"malformed"`) {
		t.Error("nobody sees the attempts")
	}
}

func varint(n int) (b []byte) {
	for ; n > 0x7f; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// H16
func misspells(t *testing.T, x *intruder) {
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	h := func() http.Header {
		h := x.header()
		h.Set("Content-Type", wire.ContentTypeJSON)
		h.Set("Accept", wire.ContentTypeProtobuf)
		return h
	}
	var line bytes.Buffer
	x.w.must(wire.NewFrameWriter(&line, wire.JSON).Request(opening(x.open())))
	good := strings.TrimSpace(line.String())
	want(t, "a good frame", x.post(h(), []byte(good)).said(), "ok")
	for what, c := range map[string]struct{ text, want string }{
		"a name twice":              {strings.Replace(good, `"version":1`, `"version":1,"version":1`, 1), "malformed"},
		"two forms of one frame":    {strings.TrimSuffix(good, "}") + `,"batch":{}}`, "malformed"},
		"a name that nobody knows":  {strings.Replace(good, `"version":1`, `"version":1,"admin":true`, 1), "malformed"},
		"a name in capitals":        {strings.Replace(good, `"version":1`, `"VERSION":1`, 1), "malformed"},
		"1e999":                     {strings.Replace(good, `"version":1`, `"version":1e999`, 1), "malformed"},
		"a negative version":        {strings.Replace(good, `"version":1`, `"version":-1`, 1), "malformed"},
		"a fraction":                {strings.Replace(good, `"version":1`, `"version":1.5`, 1), "malformed"},
		"NaN":                       {strings.Replace(good, `"version":1`, `"version":NaN`, 1), "malformed"},
		"invalid UTF-8":             {strings.Replace(good, "jahat/1", "jahat\xff", 1), "invalid_utf8"},
		"half of a surrogate":       {strings.Replace(good, "jahat/1", `jahat\ud800`, 1), "malformed"},
		"200 levels":                {strings.Replace(good, `"version":1`, `"version":1,"claims":`+deep, 1), "malformed"},
		"20,000 levels":             {strings.Repeat(`{"open":`, 20_000), "malformed"},
		"a comment":                 {good + "// x", "malformed"},
		"two frames on one line":    {good + good, "malformed"},
		"an array":                  {"[" + good + "]", "malformed"},
		"null":                      {"null", "malformed"},
		"nothing":                   {"{}", "malformed"},
		"a second open":             {good + "\n" + good, "malformed"},
		"a byte order mark":         {"\ufeff" + good, "malformed"},
		"single quotes":             {strings.ReplaceAll(good, `"`, `'`), "malformed"},
		"base64 with loose bits":    {strings.Replace(good, `"nonce":"`, `"nonce":"!`, 1), "malformed"},
		"a version as text, broken": {strings.Replace(good, `"version":1`, `"version":"1x"`, 1), "malformed"},
	} {
		if c.text == good {
			t.Fatalf("%s changes nothing of %s", what, good)
		}
		want(t, what, x.post(h(), []byte(c.text)).said(), c.want)
	}

	// In the values of a record: the one item is set aside, the other is taken.
	for what, c := range map[string]struct{ value, want string }{
		"a name twice":             {`{"a":1,"a":2}`, "bad_value"},
		"a name twice, escaped":    {`{"a":1,"\u0061":2}`, "bad_value"},
		"1e999":                    {`1e999`, "bad_value"},
		"-0":                       {`-0`, "bad_value"},
		"NaN":                      {`NaN`, "bad_value"},
		"invalid UTF-8":            {"\"\xff\xfe\"", "invalid_utf8"},
		"an overlong form":         {"\"\xc0\xaf\"", "invalid_utf8"},
		"half of a surrogate":      {`"\ud800"`, "invalid_utf8"},
		"200 levels":               {deep, "too_deep"},
		"a NUL":                    {"\"\x00\"", "bad_value"},
		"white space":              {`[1, 2]`, "bad_value"},
		"not the canonical escape": {`"\u0041"`, "bad_value"},
		"two values":               {`1 2`, "bad_value"},
		"nothing":                  {``, ""},
		"a trailing comma":         {`[1,]`, "bad_value"},
		"65 KiB":                   {`"` + strings.Repeat("a", 65<<10) + `"`, "too_large"},
		"a number of 100 digits":   {strings.Repeat("9", 100), "bad_value"},
	} {
		x.rotate()
		bad, m := x.write(x.minter, syncproto.NewRecord(x.own(1)), birth(beside, text("name", "GANTI"))...)
		good, m := x.write(m, syncproto.NewRecord(x.own(2)), birth(beside, text("name", "baik"))...)
		b := x.batch(beside, bad.Full(), good.Full())
		b.Items[0].Delta.Values = strings.Replace(b.Items[0].Delta.Values, `"GANTI"`, c.value, 1)
		before := len(x.w.inbox(x.id))
		got := x.push(m, b)
		if e := got.receipt.GetExceptions(); len(e) != 1 || e[0].GetIndex() != 0 || e[0].GetResult() != wire.Result_RESULT_QUARANTINED || c.want != "" && e[0].GetCode() != c.want {
			t.Errorf("%s in a value: %s, want %s of the first item alone", what, got.said(), c.want)
		}
		if len(x.w.inbox(x.id)) != before+1 {
			t.Errorf("%s in a value: not in the inbox", what)
		}
		if r, ok := x.pull()[x.own(2)]; !ok || !r.Context().Covers(syncproto.Dot{Replica: m.Replica(), N: m.N()}) {
			t.Errorf("%s in a value: the other item is lost", what)
		}
	}

	// In an enrolment and in a decision.
	key := keyOf("json")
	code := x.w.code("jahat", grant(beside, "D"))
	enrolment := string(enrolBody(code, key, "HP"))
	for what, c := range map[string]struct{ text, want string }{
		"a name twice":        {strings.TrimSuffix(enrolment, "}") + `,"secret":"AAECAwQFBgcICQoLDA0ODw"}`, "malformed"},
		"a name in capitals":  {strings.Replace(enrolment, `"secret"`, `"Secret"`, 1), "enrolment_invalid"},
		"a number as text":    {strings.Replace(enrolment, `"HP"`, `7`, 1), "malformed"},
		"null":                {"null", "enrolment_invalid"},
		"an array":            {"[" + enrolment + "]", "malformed"},
		"200 levels":          {strings.TrimSuffix(enrolment, "}") + `,"x":` + deep + "}", "malformed"},
		"invalid UTF-8":       {strings.Replace(enrolment, `"HP"`, "\"\xff\"", 1), "invalid_utf8"},
		"more behind it":      {enrolment + "{}", "malformed"},
		"1e999":               {strings.TrimSuffix(enrolment, "}") + `,"x":1e999}`, "malformed"},
		"half of a surrogate": {strings.Replace(enrolment, `"HP"`, `"\ud800"`, 1), "malformed"},
	} {
		if a := x.w.ask("POST", "/v1/enrol", asJSON, []byte(c.text)); string(a.code) != c.want {
			t.Errorf("%s in an enrolment: %d %s, want %s", what, a.status, string(a.code), c.want)
		}
	}
	if a := x.w.ask("POST", "/v1/enrol", asJSON, []byte(enrolment)); a.status != http.StatusCreated {
		t.Errorf("the good one afterwards: %d %s", a.status, a.body)
	}
	admin := x.w.person(server.Admin, "35")
	admin.Set("Content-Type", "application/json")
	for _, reason := range []string{`{"reason":"a","reason":"b"}`, `{"Reason":"a"}`, `{"reason":"a","x":1}`, `{"reason":1}`, `["a"]`, `{"reason":"` + "\xff" + `"}`, `{"reason":"a"}{}`, ""} {
		if a := x.w.ask("POST", "/v1/records/"+x.w.sites[0].String()+"/purge", admin, []byte(reason)); a.status < 400 || a.status >= 500 {
			t.Errorf("a decision %s: %d %s", reason, a.status, a.code)
		}
	}
}

// H17 and H18: without relays there is only the device itself.
func comesBack(t *testing.T, x *intruder) {
	r, m := x.write(x.minter, syncproto.NewRecord(x.own(1)), birth(beside, text("name", "sebelum"))...)
	o := x.open()
	x.claim(o, m)
	frames := body(opening(o), &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: x.batch(beside, r.Full())}})
	token := x.header() // made before he is revoked
	x.w.must(x.w.srv.Revoke(t.Context(), x.id, true))
	got := x.post(token, frames)
	want(t, "an old message of a revoked device", got.said(), "device_revoked")
	if !strings.Contains(string(got.body), `"wipe"`) {
		t.Error("he is not told to wipe")
	}
	x.lockedOut(t)
}

func writesOn(t *testing.T, x *intruder) {
	x.w.must(x.w.srv.Revoke(t.Context(), x.id, false))
	for range 3 {
		r, m := x.write(x.minter, syncproto.NewRecord(x.own(1)), birth(beside, text("name", "sesudah"))...)
		want(t, "a new message of a revoked device", x.push(m, x.batch(beside, r.Full())).said(), "device_revoked")
		want(t, "a pull of a revoked device", x.send(x.open()).said(), "device_revoked")
		x.w.now += 1000
	}
	x.lockedOut(t)
	// Nor by another device, with the signed claims as they are.
	other := x.w.enrol("teman", "jahat", grant(beside, "D"))
	o := x.open()
	x.claim(o, x.minter)
	want(t, "his claims through a friend", other.send(o).said(), "replica_not_yours")
	// A friend who carries his writes as if he had seen them.
	r, _ := x.write(x.minter, syncproto.NewRecord(x.own(2)), birth(beside, text("name", "titip"))...)
	want(t, "his writes through a friend", other.push(other.minter, other.batch(beside, r.Full())).said(), "RESULT_QUARANTINED forged_dot")
	other.wantInbox(t, syncproto.CodeForgedDot)
}

// lockedOut fails unless the device can't come back in any way.
func (x *intruder) lockedOut(t *testing.T) {
	t.Helper()
	a := x.w.ask("POST", "/v1/enrol", asJSON, enrolBody(x.w.code("jahat", grant(beside, "D")), x.key, "HP"))
	if a.code != syncproto.CodeConflictingIdentity {
		t.Errorf("the same key enrolled again: %d %s", a.status, a.code)
	}
	if n := countLines(x.w.log.String(), `"code":"device_revoked"`); n == 0 {
		t.Error("nobody sees the attempts")
	}
}

// H23
func miscodes(t *testing.T, x *intruder) {
	w := x.w
	ask := func(code, key string, change ...string) answer {
		return w.ask("POST", "/v1/enrol", asJSON, enrolBody(code, keyOf(key), "HP", change...))
	}
	try := func(what string, a answer, code syncproto.Code) {
		t.Helper()
		if a.code != code {
			t.Errorf("%s: %d %s, want %s", what, a.status, a.code, code)
		}
	}
	code := w.code("jahat", grant(beside, "D"))
	part := func(code, name string) string {
		q, err := url.ParseQuery(strings.TrimPrefix(code, "sambang:1?"))
		w.must(err)
		return q.Get(name)
	}
	other := w.code("joko", grant(beside, "DTH"))
	try("a wrong secret", ask(code, "k1", "secret", "AAECAwQFBgcICQoLDA0ODw"), syncproto.CodeEnrolmentInvalid)
	try("another code's secret", ask(code, "k1", "secret", part(other, "s")), syncproto.CodeEnrolmentInvalid)
	try("a code that there is not", ask(code, "k1", "enrolment", "aaaaaaaaaaaaaaaa"), syncproto.CodeEnrolmentInvalid)
	try("no secret", ask(code, "k1", "secret", ""), syncproto.CodeEnrolmentInvalid)
	bad := strings.Replace(string(enrolBody(code, keyOf("k1"), "HP")), `"HP"`, `"HP lain"`, 1)
	try("a proof of something else", w.ask("POST", "/v1/enrol", asJSON, []byte(bad)), syncproto.CodeEnrolmentInvalid)
	small := map[string]string{"the neutral element": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "zero": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
	for what, key := range small {
		try("a key of small order: "+what, ask(code, "k1", "public_key", key), syncproto.CodeMalformed)
	}
	// It is still whose it is.
	if a := ask(code, "rightful"); a.status != http.StatusCreated {
		t.Fatalf("the rightful phone: %d %s", a.status, a.code)
	}
	try("a photographed code, afterwards", ask(code, "photographer"), syncproto.CodeEnrolmentUsed)
	try("a used code with a wrong secret", ask(code, "photographer", "secret", part(other, "s")), syncproto.CodeEnrolmentInvalid)
	// Photographed before: whoever comes first has it, and the other one sees that.
	code = w.code("jahat", grant(beside, "D"))
	if a := ask(code, "first"); a.status != http.StatusCreated {
		t.Fatalf("the first: %d %s", a.status, a.code)
	}
	try("the second of two", ask(code, "second"), syncproto.CodeEnrolmentUsed)
	// Too late.
	code = w.code("jahat", grant(beside, "D"))
	w.now += (10 * time.Minute).Milliseconds()
	try("after ten minutes", ask(code, "late"), syncproto.CodeEnrolmentExpired)
	w.now -= 1
	if a := ask(code, "in time"); a.status != http.StatusCreated {
		t.Errorf("a millisecond earlier: %d %s", a.status, a.code)
	}
	w.now -= (10 * time.Minute).Milliseconds() - 1
	// From another server.
	elsewhere := newWorldOf(t, "another server")
	if elsewhere.srv.ID() == w.srv.ID() {
		t.Fatal("two servers have one id")
	}
	try("another server's code", ask(elsewhere.code("jahat", grant(beside, "D")), "k1"), syncproto.CodeEnrolmentInvalid)
	// His own key once more, with a code of wider grants.
	a := w.ask("POST", "/v1/enrol", asJSON, enrolBody(other, x.key, "HP"))
	try("an enrolled key with another code", a, syncproto.CodeConflictingIdentity)
	if a := ask(other, "joko's phone"); a.status != http.StatusCreated {
		t.Errorf("and that code is used up: %d %s", a.status, a.code)
	}
	if n := countLines(w.log.String(), `"code":"enrolment_`); n < 9 {
		t.Errorf("%d refusals in the log", n)
	}
}

// H24
func peeks(t *testing.T, x *intruder) {
	w := x.w
	// x may read district/D and beside/DT: the companions of class T of the
	// district are not his.
	seen := x.pull()
	for i, site := range w.sites {
		if _, ok := seen[site]; !ok {
			t.Errorf("site %d, which he may see, is missing", i)
		}
		if r, ok := seen[syncproto.CompanionID(site, syncproto.ClassTask)]; ok {
			t.Errorf("he got a companion of class T: %s", showRecord(r))
		}
	}
	stranger := w.enrol("asing", "jahat", grant("36.01.01", "DTH"))
	scopes := []string{district, district + "/T", district + "/H", "35.24.15", "35", "35.24"}
	for _, y := range []*intruder{x, stranger} {
		o := y.open()
		for _, s := range scopes[:4] {
			o.Cursors = append(o.Cursors, &wire.Cursor{Scope: s})
		}
		for _, site := range w.sites {
			companion := syncproto.CompanionID(site, syncproto.ClassTask)
			o.Refetch = append(o.Refetch, companion[:])
			if y == stranger {
				o.Refetch = append(o.Refetch, site[:])
			}
		}
		got := y.send(o)
		want(t, "cursors and ids outside of his grants", got.said(), "ok")
		for id := range y.records(got) {
			if y == stranger || id != w.sites[0] && id != w.sites[1] && id != w.sites[2] {
				t.Errorf("he got %s", id)
			}
		}
		if raw := string(got.body); strings.Contains(raw, "Tini") || y == stranger && strings.Contains(raw, "Kenari") {
			t.Error("contents outside of his grants are in the reply")
		}
		for _, s := range []string{"35", "35.24", "", "35.24.14/X", "*", "35.24.14/T/H", "../35.24.14"} {
			o := y.open()
			o.Cursors = []*wire.Cursor{{Scope: s}}
			if got := y.send(o); got.code != syncproto.CodeBadScope {
				t.Errorf("a cursor of scope %q: %s", s, got.said())
			}
		}
		// A cursor beyond the end hides things from himself alone, and a smaller
		// one brings them.
		o = y.open()
		o.Cursors = []*wire.Cursor{{Scope: district, Seq: 1 << 62}}
		want(t, "a cursor of the future", y.send(o).said(), "ok")
	}
	// Who names an id that he may not see, which nobody can guess, is told what a
	// phone needs to give up its copy: that there is such a record and how many
	// writes, of whom, it has seen (I10). Nothing of its kind, place or contents.
	o := stranger.open()
	o.Refetch = [][]byte{w.sites[0][:], {9, 9, 9, 9, 9, 9, 0x70, 9, 0x80, 9, 9, 9, 9, 9, 9, 9}}
	var verdicts []*wire.Verdict
	for _, f := range stranger.send(o).feeds {
		if len(f.GetTables().GetPaths())+len(f.GetTables().GetScopes()) > 0 {
			t.Errorf("a verdict comes with tables: %v", f.GetTables())
		}
		for _, e := range f.GetEntries() {
			verdicts = append(verdicts, e.GetVerdict())
		}
	}
	if len(verdicts) != 2 || verdicts[0].GetPurged() || !verdicts[0].GetKnown() || verdicts[1].GetKnown() || verdicts[1].GetCtx() != nil {
		t.Errorf("verdicts %v", verdicts)
	}
	peeksAsPerson(t, w)
}

// peeksAsPerson does the same at headquarters.
func peeksAsPerson(t *testing.T, w *world) {
	t.Helper()
	outside, inside := w.person(server.Admin, "36"), w.person(server.Viewer, "35.24")
	a := w.ask("GET", "/v1/log?limit=1", inside, nil)
	var page struct{ Cursor string }
	w.must(json.Unmarshal(a.body, &page))
	if page.Cursor == "" {
		t.Fatalf("no cursor: %s", a.body)
	}
	lines := func(h http.Header) http.Header { h = h.Clone(); h.Set("Accept", "application/x-ndjson"); return h }
	stream := w.ask("GET", "/v1/log", lines(inside), nil)
	i := strings.LastIndex(string(stream.body), `"cursor":"`)
	follow := strings.SplitN(string(stream.body)[i+10:], `"`, 2)[0]
	for what, c := range map[string]struct {
		target string
		header http.Header
		code   syncproto.Code
	}{
		"another's cursor":                    {"/v1/log?limit=1&cursor=" + page.Cursor, outside, ""},
		"another's cursor of a stream":        {"/v1/log?cursor=" + follow, lines(outside), ""},
		"a cursor changed":                    {"/v1/log?limit=1&cursor=" + page.Cursor[:9] + "A" + page.Cursor[10:], inside, syncproto.CodeCursorInvalid},
		"a cursor with another filter":        {"/v1/log?limit=1&deleted=true&cursor=" + page.Cursor, inside, syncproto.CodeCursorInvalid},
		"a cursor of a page on the stream":    {"/v1/log?cursor=" + page.Cursor, lines(inside), syncproto.CodeCursorInvalid},
		"a cursor of the stream on a page":    {"/v1/log?cursor=" + follow, inside, syncproto.CodeCursorInvalid},
		"a cursor of the log at the inbox":    {"/v1/inbox?cursor=" + page.Cursor, inside, syncproto.CodeCursorInvalid},
		"a cursor of zeros":                   {"/v1/log?cursor=" + strings.Repeat("A", 60), inside, syncproto.CodeCursorInvalid},
		"a region that is not his":            {"/v1/log?region=36", inside, syncproto.CodeForbidden},
		"devices of a region that is not his": {"/v1/devices?region=35", w.person(server.Admin, "36"), syncproto.CodeForbidden},
		"a record outside":                    {"/v1/records/" + w.sites[0].String(), outside, syncproto.CodeNotFound},
	} {
		a := w.ask("GET", c.target, c.header, nil)
		if a.code != c.code || strings.Contains(string(a.body), "Kenari") {
			t.Errorf("%s: %d %s %s, want %s", what, a.status, a.code, a.body, c.code)
		}
	}
	if n := countLines(w.log.String(), `"code":"cursor_invalid"`); n < 6 {
		t.Errorf("%d refusals of cursors in the log", n)
	}
}
