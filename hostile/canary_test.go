package hostile_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

var (
	canarySeed  = flag.Uint64("hostile.seed", 0, "seed of the canaries; 0 draws one")
	canaryDir   = flag.String("hostile.dir", "", "where the canaries live; a temporary folder by default")
	canaryPlain = flag.Bool("hostile.plain", false, "phones in clear text: the positive control")
)

// canaries are words that nobody else writes: in names, numbers of passports,
// notes.
func canaries(seed uint64) []string {
	r := rand.New(rand.NewPCG(seed, 32))
	out := make([]string, 32)
	for i := range out {
		b := []byte{byte('A' + r.IntN(26))}
		for range 14 {
			b = append(b, "abcdefghijklmnopqrstuvwxyz0123456789"[r.IntN(36)])
		}
		out[i] = string(b)
	}
	return out
}

// TestCanariesLeaveNoTrace lets a process of its own do all that Sambang does
// with 32 secret words, and then searches for them, in every form that a file
// may have them in: on the device nowhere in clear text, in no log, error,
// address or standard output anywhere.
func TestCanariesLeaveNoTrace(t *testing.T) {
	seed := *canarySeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -hostile.seed=%d", seed)
	words := canaries(seed)
	live := func(plain bool) string {
		dir := t.TempDir()
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestCanariesLive$", "-test.v", fmt.Sprintf("-hostile.seed=%d", seed), "-hostile.dir="+dir, fmt.Sprintf("-hostile.plain=%t", plain))
		said, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(said, []byte("--- PASS: TestCanariesLive")) {
			t.Fatalf("the run: %v\n%s", err, said)
		}
		if err := os.WriteFile(filepath.Join(dir, "out", "stdout"), said, 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	sealed := live(false)
	for _, place := range []string{"phones", "marks", "copies", "out"} {
		found, files, size := search(t, filepath.Join(sealed, place), words)
		if len(found) > 0 || files == 0 || size == 0 {
			t.Errorf("%s: %d files of %d bytes have %v", place, files, size, found)
		}
		t.Logf("%s: %d files, %d bytes, no hit", place, files, size)
	}
	// The server holds the records, so they are there: the search works, and the
	// run did what it should.
	found, _, _ := search(t, filepath.Join(sealed, "server"), words)
	if len(found) < 24 {
		t.Errorf("the server has only %d of the words: the run does too little", len(found))
	}
	plain := live(true)
	if found, _, _ = search(t, filepath.Join(plain, "phones"), words); len(found) < 20 {
		t.Errorf("positive control: phones in clear text have %d of the words", len(found))
	}
	if found, _, _ = search(t, filepath.Join(plain, "out"), words); len(found) > 0 {
		t.Errorf("the logs of a plain phone have %v", found)
	}
}

// The positive control of the search itself.
func TestEveryFormOfAWordIsFound(t *testing.T) {
	const word = "Kq8x2mnv0ptw4yz"
	for name, content := range map[string]string{
		"as it is": word, "in upper case": strings.ToUpper(word), "in hex": hex.EncodeToString([]byte(word)), "in HEX": strings.ToUpper(hex.EncodeToString([]byte(word))),
		"in UTF-16": string(utf16le(word)), "in base64": base64.StdEncoding.EncodeToString([]byte(word)),
		"in base64 after a byte":    base64.StdEncoding.EncodeToString([]byte("x" + word + "yz")),
		"in base64 after two bytes": base64.RawURLEncoding.EncodeToString([]byte("xy" + word + "z")),
		"in zstd of this program":   string(wire.CompressSmall([]byte(strings.Repeat("isi ", 3) + word))),
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte("sebelum "+content+" sesudah"), 0o600); err != nil {
			t.Fatal(err)
		}
		if found, _, _ := search(t, dir, []string{word, "Tidakadadisini"}); found[word] == 0 || len(found) != 1 {
			t.Errorf("%s: found %v", name, found)
		}
	}
}

func utf16le(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// forms are all ways in which a file may have a word.
func forms(word string) (out [][]byte) {
	w := []byte(word)
	out = append(out, bytes.ToLower(w), bytes.ToLower(utf16le(word)), []byte(hex.EncodeToString(w)))
	for shift := range 3 {
		// The middle of an encoding at each alignment: what does not depend on the
		// neighbours.
		padded := append(make([]byte, shift), w...)
		padded = padded[:len(padded)/3*3]
		text := base64.StdEncoding.EncodeToString(padded)[(shift*8+5)/6:]
		out = append(out, bytes.ToLower([]byte(text)), bytes.ToLower([]byte(strings.NewReplacer("+", "-", "/", "_").Replace(text))))
	}
	return out
}

// search counts the hits of each word in all files below a folder, in any case.
func search(t *testing.T, dir string, words []string) (found map[string]int, files int, size int64) {
	t.Helper()
	found = map[string]int{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files, size = files+1, size+int64(len(content))
		content = bytes.ToLower(append([]byte(filepath.Base(path)+"\n"), content...))
		for _, w := range words {
			for _, f := range forms(w) {
				found[w] += bytes.Count(content, f)
			}
			if found[w] == 0 {
				delete(found, w)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found, files, size
}

// life is one run with the canaries.
type life struct {
	*world
	words  []string
	out    string
	errors bytes.Buffer
	urls   bytes.Buffer
	phone  buffer
	n      int
}

// word returns the next canary.
func (l *life) word() string { l.n++; return l.words[(l.n-1)%len(l.words)] }

// note keeps an error that must tell no contents.
func (l *life) note(what string, err error) {
	l.t.Helper()
	if err == nil {
		l.t.Errorf("%s is no error", what)
		return
	}
	fmt.Fprintf(&l.errors, "%s: %v\n%+v\n%#v\n", what, err, err, err)
}

// refused keeps the answer to a request that must be refused.
func (l *life) refused(what string, a answer) {
	l.t.Helper()
	if a.status < 400 || a.status >= 500 {
		l.t.Errorf("%s: %d %s", what, a.status, a.code)
	}
	fmt.Fprintf(&l.errors, "%s: %d %v %s\n", what, a.status, a.header, a.body)
}

// RoundTrip keeps the addresses of requests and their headers but for tokens.
func (l *life) RoundTrip(r *http.Request) (*http.Response, error) {
	h := r.Header.Clone()
	fmt.Fprintf(&l.urls, "%s %s %v\n", r.Method, r.URL, h)
	return l.world.RoundTrip(r)
}

// TestCanariesLive does all that Sambang does, with the canaries in whatever a
// person can type. TestCanariesLeaveNoTrace searches what it leaves.
func TestCanariesLive(t *testing.T) {
	dir := *canaryDir
	if dir == "" {
		dir = t.TempDir()
	}
	l := &life{words: canaries(*canarySeed), out: filepath.Join(dir, "out")}
	l.world = emptyWorld(t, dir, "canaries")
	l.hand = func(name string, o *sambang.Options) {
		o.MarkDir = filepath.Join(dir, "marks", filepath.Base(name))
		o.Logger = slog.New(slog.NewTextHandler(&l.phone, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))
		if o.Plain = *canaryPlain; !o.Plain {
			o.Key = bytes.Repeat([]byte{7}, sambang.KeySize)
		}
	}
	for _, d := range []string{l.out, filepath.Join(dir, "copies"), filepath.Join(dir, "phones")} {
		l.must(os.MkdirAll(d, 0o700))
	}
	for _, id := range []string{"budi", "sari"} {
		l.must(l.srv.PutOfficer(t.Context(), server.Officer{ID: id, Name: "Petugas " + l.word(), Agency: "imigrasi"}))
	}
	phone := func(officer string) *sambang.Replica {
		r := l.open("phones/"+officer, l)
		l.note("a code that is none", r.Enrol(t.Context(), "sambang:1?u="+l.word(), "HP"))
		l.must(r.Enrol(t.Context(), l.code(officer, grant(district, "DT")), "HP "+l.word()))
		return r
	}
	a, b := phone("budi"), phone("sari")
	ids := l.field(a, b)
	l.people(ids)
	l.attack()

	// Everybody goes to sleep and wakes up.
	l.must(l.srv.Backup(t.Context(), filepath.Join(dir, "server", "backup.db")))
	l.restart()
	l.must(l.srv.BeginEpoch(t.Context())) // so that everything is pushed again
	l.must(a.Close())
	l.must(os.CopyFS(filepath.Join(dir, "copies", "budi"), os.DirFS(filepath.Join(dir, "phones", "budi"))))
	if !*canaryPlain {
		_, err := sambang.Open(filepath.Join(dir, "phones", "budi"), sambang.Options{Key: bytes.Repeat([]byte{8}, sambang.KeySize)})
		l.note("a wrong key", err)
	}
	l.must(os.RemoveAll(filepath.Join(dir, "marks", "budi"))) // as after a restored backup
	a = l.open("phones/budi", l)
	l.sync(a)
	l.sync(b)
	var seen int
	for rec, err := range a.List(sambang.Filter{}) {
		l.must(err)
		seen += len(rec.Fields)
	}
	if seen < 10 {
		t.Errorf("phone a shows %d fields", seen)
	}
	l.must(a.Close())
	l.must(b.Close())
	l.must(l.srv.Close())
	for name, content := range map[string]string{"server.log": l.log.String(), "phone.log": l.phone.String(), "errors.txt": l.errors.String(), "urls.txt": l.urls.String()} {
		if len(content) < 200 {
			t.Errorf("%s has %d bytes: %s", name, len(content), content)
		}
		l.must(os.WriteFile(filepath.Join(l.out, name), []byte(content), 0o600))
	}
}

// field is the work of two phones: records, edits, a conflict, a deletion, what
// is set aside, and what can't be saved.
func (l *life) field(a, b *sambang.Replica) (ids []sambang.ID) {
	l.t.Helper()
	create := func(r *sambang.Replica, kind, region string, f sambang.Fields) sambang.ID {
		l.t.Helper()
		id, err := r.Create(kind, region, f)
		l.must(err)
		l.tick()
		ids = append(ids, id)
		return id
	}
	site := create(a, "site", district, sambang.Fields{"name": "Kos " + l.word(), "address": "Jalan " + l.word(), "owner_name": "Ibu " + l.word(), "aliases": []string{l.word(), l.word()}})
	person := create(a, "foreigner", district, sambang.Fields{"surname": l.word(), "given_names": l.word()})
	number := l.word()
	document, err := a.NaturalID(district, "document", "P", "XXA", number)
	l.must(err)
	l.must(a.CreateWith(document, "document", district, sambang.Fields{"foreigner_id": person.String(), "number": number, "position": l.word()}))
	l.tick()
	create(a, "inspection", district, sambang.Fields{"narrative": []string{"Catatan " + l.word(), l.word() + " tidak ada"}, "mandate_no": l.word()})
	create(a, "meeting", district, sambang.Fields{"place": "Aula " + l.word(), "agenda": []string{l.word()}})
	gone := create(a, "site", district, sambang.Fields{"name": "Hilang " + l.word(), "phone": "+62811234567"})
	aside := create(a, "site", "35.24.15", sambang.Fields{"name": "Luar " + l.word()})
	l.sync(a)
	l.sync(b)
	// A conflict, decided; a deletion against an edit; an overwritten value.
	l.must(a.Edit(site, func(d *sambang.Draft) error { d.Set("owner_name", "Bu "+l.word()); return nil }))
	l.must(a.Edit(site, func(d *sambang.Draft) error { d.Set("owner_name", "Nyonya "+l.word()); return nil }))
	l.must(b.Edit(site, func(d *sambang.Draft) error { d.Set("owner_name", "Pak "+l.word()); return nil }))
	l.must(a.Delete(gone))
	l.tick()
	l.must(b.Edit(gone, func(d *sambang.Draft) error { d.Set("name", "Ada "+l.word()); return nil }))
	for range 2 {
		l.sync(a)
		l.sync(b)
	}
	l.must(b.Resolve(site, "owner_name", "Akhirnya "+l.word()))
	l.sync(b)
	l.sync(a)
	if _, err := a.Custody(aside); err != nil {
		l.t.Error(err)
	}
	// What can't be saved, and says so.
	for what, f := range map[string]sambang.Fields{
		"a value of another type": {"rooms": "banyak " + l.word()}, "a place that is none": {"point": l.word()}, "a text that is too long": {"name": strings.Repeat(l.word(), 9000)},
		"an enumeration": {"site_type": l.word()}, "a village that is none": {"desa_code": l.word()}, "a date that is none": {"first_seen_at": l.word()},
		"invalid UTF-8": {"name": l.word() + "\xff"}, "what JSON can't hold": {"name": func() {}},
	} {
		if _, err := a.Create("site", district, f); err != nil {
			l.note(what, err)
		}
	}
	_, err = a.Get(sambang.ID{9, 9})
	l.note("no such record", err)
	_, err = a.NaturalID("36.01.01", "document", l.word())
	l.note("a district without a key", err)
	l.note("an edit that fails", a.Edit(site, func(d *sambang.Draft) error { d.Set("name", map[string]any{"x": func() {}}); return nil }))
	l.note("a conflict that is none", a.Resolve(site, "name", l.word()))
	return ids
}

// people read all of it, and ask in every wrong way.
func (l *life) people(ids []sambang.ID) {
	l.t.Helper()
	admin := l.person(server.Admin, "35")
	with := func(pairs ...string) http.Header {
		h := admin.Clone()
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	ask := func(method, target string, h http.Header, body string) answer {
		l.t.Helper()
		a := l.ask(method, target, h, []byte(body))
		if a.status != http.StatusOK {
			l.t.Errorf("%s %s: %d %s", method, target, a.status, a.body)
		}
		return a
	}
	ask("GET", "/v1/log?deleted=true", admin, "")
	ask("GET", "/v1/log?limit=2&kind=site&agency=imigrasi", with("Sambang-Purpose", "sprint/7"), "")
	ask("GET", "/v1/log?deleted=true", with("Accept", "application/x-ndjson"), "")
	ask("GET", "/v1/devices", admin, "")
	for _, id := range ids[:len(ids)-1] {
		ask("GET", "/v1/records/"+id.String(), admin, "")
	}
	var box struct{ Messages []struct{ Key string } }
	l.must(json.Unmarshal(ask("GET", "/v1/inbox", admin, "").body, &box))
	if len(box.Messages) == 0 {
		l.t.Fatal("nothing in the inbox")
	}
	ask("GET", "/v1/inbox/"+box.Messages[0].Key, admin, "")
	ask("POST", "/v1/inbox/"+box.Messages[0].Key+"/release", with("Content-Type", "application/json"), `{"reason":"milik `+l.word()+`"}`)
	ask("POST", "/v1/records/"+ids[2].String()+"/purge", with("Content-Type", "application/json"), `{"reason":"permintaan `+l.word()+`"}`)

	for _, target := range []string{"/v1/log?kind=", "/v1/log?region=", "/v1/log?from=", "/v1/log?cursor=", "/v1/log?limit=", "/v1/log?deleted=", "/v1/inbox?state=", "/v1/inbox?cursor=", "/v1/devices?agency=", "/v1/records/", "/v1/inbox/", "/v1/"} {
		l.refused(target, l.ask("GET", target+url.QueryEscape("a "+l.word()), admin, nil))
	}
	l.refused("an unknown parameter", l.ask("GET", "/v1/log?"+l.word()+"=1", admin, nil))
	l.refused("an invented method", l.ask(strings.ToUpper(l.word()), "/v1/log", admin, nil))
	l.refused("a purpose", l.ask("GET", "/v1/log", with("Sambang-Purpose", "Bu "+l.word()), nil))
	l.ask("GET", "/v1/log", with("X-Request-Id", "Bu "+l.word(), "User-Agent", l.word(), "Accept-Language", l.word(), "Referer", "http://x/"+l.word(), "Cookie", l.word()), nil)
	l.refused("a token", l.ask("GET", "/v1/log", http.Header{"Authorization": {"Bearer " + l.word()}}, nil))
	l.refused("a scheme", l.ask("GET", "/v1/log", http.Header{"Authorization": {l.word() + " x"}}, nil))
	for _, body := range []string{`{"reason":"` + l.word() + `","x":1}`, `{"reason":"` + l.word(), l.word(), `{"` + l.word() + `":1}`, `{"reason":"` + strings.Repeat(l.word(), 400) + `"}`} {
		l.refused("a decision", l.ask("POST", "/v1/records/"+ids[0].String()+"/purge", with("Content-Type", "application/json"), []byte(body)))
	}
	l.refused("a content type", l.ask("POST", "/v1/records/"+ids[0].String()+"/purge", with("Content-Type", "text/"+l.word()), nil))
	l.note("an officer whose name does not print", l.srv.PutOfficer(context.Background(), server.Officer{ID: "x", Name: l.word() + "\n", Agency: "a"}))
	l.note("a reason that does not print", l.srv.Purge(context.Background(), ids[0].String(), "pusat", l.word()+"\x00"))
	_, err := l.srv.Token(server.Person{Subject: l.word(), Role: "raja"}, time.Hour)
	l.note("a role that there is not", err)
}

// attack sends canaries in messages that are wrong in every way.
func (l *life) attack() {
	l.t.Helper()
	x := l.enrol("jahat", "jahat", grant(beside, "D"))
	frame := func(text string) string {
		return `{"open":{"version":1,"nonce":"` + base64.StdEncoding.EncodeToString(make([]byte, 16)) + `","app":"x"` + text + "}}"
	}
	var h http.Header
	for _, text := range []string{frame(`,"` + l.word() + `":1`), frame(`,"epoch":"` + l.word() + `"`), frame(`,"cursors":[{"scope":"` + l.word() + `"}]`), l.word(), `{"open":"` + l.word() + `"}`, frame("") + "\n" + `{"batch":{"items":"` + l.word() + `"}}`} {
		h = x.header()
		h.Set("Content-Type", wire.ContentTypeJSON)
		l.refused("a frame", l.ask("POST", "/v1/sync", h, []byte(text)))
	}
	h = x.header()
	l.refused("bytes", l.ask("POST", "/v1/sync", h, []byte(l.word())))
	h = x.header()
	h.Set("Content-Type", "application/"+l.word())
	l.refused("a content type", l.ask("POST", "/v1/sync", h, nil))
	h = x.header()
	h.Set("Content-Encoding", l.word())
	l.refused("an encoding", l.ask("POST", "/v1/sync", h, nil))
	c := x.claims()
	c["sub"] = l.word()
	h = x.header()
	h.Set("Authorization", "Bearer "+x.sign(map[string]any{"kid": l.word()}, c))
	l.refused("a token", l.ask("POST", "/v1/sync", h, nil))
	for _, body := range []string{`{"enrolment":"` + l.word() + `","secret":"` + l.word() + `"}`, string(enrolBody(l.code("jahat", grant(beside, "D")), keyOf("k"), "HP "+l.word(), "secret", l.word())), l.word(), `{"` + l.word() + `"`} {
		l.refused("an enrolment", l.ask("POST", "/v1/enrol", asJSON, []byte(body)))
	}
	// A poisoned value, a path that is none, a foreign district.
	for i, change := range []func(*wire.Batch){
		func(b *wire.Batch) { b.Items[0].Delta.Values += "\xff" },
		func(b *wire.Batch) { b.Tables.Paths[len(b.Tables.Paths)-1] = "$" + l.word() },
		func(b *wire.Batch) { b.Tables.Scopes[0] = l.word() },
	} {
		x.rotate()
		r, m := x.write(x.minter, syncproto.NewRecord(x.own(i)), birth(beside, text("name", l.word()))...)
		b := x.batch(beside, r.Full())
		change(b)
		got := x.push(m, b)
		if len(got.receipt.GetExceptions()) != 1 {
			l.t.Errorf("a bad record: %s", got.said())
		}
	}
	_, _ = io.WriteString(&l.errors, "end\n")
}
