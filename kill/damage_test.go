package kill_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// original is a server's folder before anything damaged it, and what the API
// shows of it.
type original struct {
	hq      *headquarters
	data    string
	log     map[string]string // entries of the log, as they are sent, by id
	records map[string]string // whole records, as they are sent, by id
	latest  map[sambang.ID]int
	writers []string // folders of the phones that wrote them
	fresh   string   // folder of a phone that has pulled nothing yet
}

// newOriginal fills a server. With open, the copy is taken as a killed process
// would leave it: what was committed last is in the log beside the file.
func newOriginal(t *testing.T, open bool) *original {
	t.Helper()
	h := newHeadquarters(t, func(h *headquarters) { h.freeze(*seed) })
	o := &original{hq: h, data: filepath.Join(t.TempDir(), "data"), latest: map[sambang.ID]int{}, fresh: filepath.Join(t.TempDir(), "fresh")}
	for i := range 2 {
		o.writers = append(o.writers, filepath.Join(t.TempDir(), fmt.Sprintf("writer-%d", i)))
	}
	h.open(func(s *server.Server) { // closed again: the devices are in the file and not in its log alone
		for _, dir := range append(o.writers, o.fresh) {
			if err := h.enrol(s, dir).Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	h.open(func(s *server.Server) {
		for i, dir := range o.writers {
			r, err := sambang.Open(dir, h.options(s))
			if err != nil {
				t.Fatal(err)
			}
			p := newPhone(filepath.Base(dir), r, uint64(i)) //nolint:gosec // small
			for range 6 {
				for range 8 {
					if _, err := p.write(); err != nil {
						t.Fatal(err)
					}
				}
				if _, err := r.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			maps.Copy(o.latest, p.mine)
		}
		var err error
		if o.log, err = readLog(t, newReader(t, s)); err != nil {
			t.Fatal(err)
		}
		o.records = map[string]string{}
		for id := range o.log {
			status, body := newReader(t, s).get("/v1/records/" + id)
			if status != http.StatusOK {
				t.Fatalf("record %s: %d %s", id, status, body)
			}
			o.records[id] = string(body)
		}
		if open {
			copyFolder(t, h.data, o.data)
		}
	})
	if !open {
		copyFolder(t, h.data, o.data)
	}
	if len(o.log) != len(o.latest) || len(o.log) < 20 {
		t.Fatalf("%d entries of %d records", len(o.log), len(o.latest))
	}
	return o
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || strings.HasSuffix(path, "-shm") { // it dies with its process
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o700)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// at is the headquarters of the original with another folder, some time later.
func (o *original) at(t *testing.T, data string) *headquarters {
	h := &headquarters{T: t, data: data, address: o.hq.address, ahead: time.Minute}
	h.freeze(*seed + 1) // no token or id comes a second time
	return h
}

// readLog pages through the log. It returns the entries by id, damaged ones
// under theirs, and the first failure.
func readLog(t *testing.T, r reader) (entries map[string]string, failed error) {
	t.Helper()
	entries = map[string]string{}
	for cursor, pages := "", 0; pages < 50; pages++ {
		path := "/v1/log?limit=20"
		if cursor != "" {
			path += "&cursor=" + url.QueryEscape(cursor)
		}
		status, body := r.get(path)
		var page struct {
			Entries []json.RawMessage `json:"entries"`
			Cursor  string            `json:"cursor"`
		}
		if err := json.Unmarshal(body, &page); status != http.StatusOK || err != nil {
			return entries, fmt.Errorf("log: status %d", status)
		}
		for _, e := range page.Entries {
			var name struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal(e, &name); err != nil {
				t.Fatal(err)
			}
			entries[name.ID] = string(e)
		}
		if cursor = page.Cursor; cursor == "" {
			return entries, nil
		}
	}
	t.Fatal("the log does not end")
	return nil, nil
}

// harm damages one file in one way and says how.
func harm(t *testing.T, rng *rand.Rand, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page, sector = 4096, 512
	at, how := rng.IntN(len(content)), ""
	switch rng.IntN(4) {
	case 0:
		how = "a bit flipped"
		content[at] ^= 1 << rng.IntN(8)
	case 1:
		at -= at % sector
		how = "a sector zeroed"
		clear(content[at:min(at+sector, len(content))])
	case 2:
		at -= at % page
		how = "a page of noise"
		for i := at; i < min(at+page, len(content)); i++ {
			content[i] = byte(rng.Uint32())
		}
	case 3:
		how = "cut short"
		content = content[:at]
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s: %s at %d of %d", filepath.Base(path), how, at, len(content))
}

// outcome is what a damaged copy showed.
type outcome struct {
	how      string
	refused  bool // it does not open
	failures []string
	damaged  int // entries that the log calls damaged
	absent   int // records that were not shown anywhere in the log
	wrong    []string
	problems []string
}

// bad reports that something came out otherwise than from the original.
func (o *outcome) bad() bool {
	return o.refused || len(o.failures) > 0 || o.damaged > 0 || o.absent > 0
}

// look reads everything that the API shows of a damaged copy. Each value is
// compared by sound, which says whether it may be shown; older says that an
// older version may be.
func look(t *testing.T, o *original, data, how string, older bool, sound func(id, where, text string) bool) *outcome {
	t.Helper()
	out := &outcome{how: how}
	config := o.at(t, data).config()
	var log bytes.Buffer
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s, err := server.New(config)
	if err != nil {
		out.refused, out.problems = true, []string{err.Error()}
		return out
	}
	hq := newReader(t, s)
	entries, err := readLog(t, hq)
	if err != nil {
		out.failures = append(out.failures, err.Error())
	}
	for id, text := range entries {
		switch {
		case strings.Contains(text, `"damaged":true`) && !strings.Contains(text, "Penginapan"):
			out.damaged++
		case !sound(id, "log", text):
			out.wrong = append(out.wrong, "log: "+text)
		}
	}
	for id := range o.records {
		if _, ok := entries[id]; !ok && err == nil {
			out.absent++
		}
		switch status, body := hq.get("/v1/records/" + id); {
		case status == http.StatusNotFound:
			out.failures = append(out.failures, "record "+id+" is not found")
		case status != http.StatusOK:
			out.failures = append(out.failures, fmt.Sprintf("record %s: %d", id, status))
		case bytes.Contains(body, []byte(`"damaged_writes":`)), bytes.Contains(body, []byte(`"author_damaged":true`)): // less, and it says so
			if out.damaged++; o.shown(body) != nil {
				out.wrong = append(out.wrong, "record: "+string(body))
			}
		case lesser(t, o.records[id], string(body)) && o.shown(body) == nil:
			out.absent++ // writes that the journal's index hides
		case !sound(id, "record", string(body)):
			out.wrong = append(out.wrong, "record: "+difference(o.records[id], string(body)))
		}
	}
	out.pulled(t, o, o.at(t, data), s, older)
	if err := s.Check(t.Context(), func(p string) { out.problems = append(out.problems, p) }); err != nil {
		out.problems = append(out.problems, err.Error())
	}
	if err := s.Close(); err != nil {
		out.failures = append(out.failures, err.Error())
	}
	if strings.Contains(log.String(), "Penginapan") || strings.Contains(strings.Join(out.problems, " "), "Penginapan") {
		out.wrong = append(out.wrong, "contents in the log of the server or in what check says")
	}
	return out
}

// lesser reports whether a document is another with something left out of it:
// members of objects, elements of lists. Equal ones are not.
func lesser(t *testing.T, whole, part string) bool {
	t.Helper()
	var a, b any
	if json.Unmarshal([]byte(whole), &a) != nil || json.Unmarshal([]byte(part), &b) != nil {
		return false
	}
	return whole != part && within(a, b)
}

func within(whole, part any) bool {
	switch part := part.(type) {
	case map[string]any:
		all, ok := whole.(map[string]any)
		for name, value := range part {
			ok = ok && within(all[name], value)
		}
		return ok
	case []any:
		all, ok := whole.([]any)
		for _, value := range part {
			i := slices.IndexFunc(all, func(x any) bool { return within(x, value) })
			if i < 0 {
				return false
			}
			all = all[i+1:]
		}
		return ok
	}
	return whole == part
}

// difference shows where two texts part.
func difference(want, got string) string {
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	from := max(0, at-80)
	return fmt.Sprintf("want %.250q, got %.250q", want[from:], got[from:])
}

// pulled lets a new phone pull all that the damaged copy gives.
func (out *outcome) pulled(t *testing.T, o *original, h *headquarters, s *server.Server, older bool) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "fresh")
	copyFolder(t, o.fresh, dir)
	r, err := sambang.Open(dir, h.options(s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	report, err := r.Sync(t.Context())
	if err != nil {
		out.failures = append(out.failures, "pull: "+err.Error())
	}
	if report.Poisoned > 0 {
		out.failures = append(out.failures, fmt.Sprintf("pull: %d entries can't be read", report.Poisoned))
	}
	n := 0
	for rec, err := range r.List(sambang.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		// Without its companion, a record shows the fields of the main part.
		if !o.written(rec.ID, rec.Fields, older) {
			out.wrong = append(out.wrong, fmt.Sprintf("phone: %s: %v", rec.ID, rec.Fields))
		}
	}
	if n < len(o.latest) && report.Poisoned == 0 && err == nil {
		out.absent += len(o.latest) - n
	}
}

// shown is nil if a whole record, as it is sent, shows the latest version.
func (o *original) shown(body []byte) error {
	var rec struct {
		ID  string         `json:"id"`
		Doc map[string]any `json:"doc"`
	}
	if err := json.Unmarshal(body, &rec); err != nil {
		return err
	}
	id, err := syncproto.ParseRecordID(rec.ID)
	if err != nil {
		return err
	}
	if _, n, err := versionOf(id, rec.Doc); err != nil || n != o.latest[id] {
		return fmt.Errorf("version %d of %s: %w", n, id, err)
	}
	return nil
}

// written reports whether fields are some of those that one of the writers
// wrote into a record, in its latest version or, if that may be, an older one.
func (o *original) written(id sambang.ID, fields sambang.Fields, older bool) bool {
	return slices.ContainsFunc(o.writers, func(dir string) bool {
		for n := o.latest[id]; n > 0; n-- {
			whole, same := version(filepath.Base(dir), id, n), len(fields) > 0
			for name, value := range fields {
				same = same && whole[name] == value
			}
			if same || !older {
				return same
			}
		}
		return false
	})
}

// hurt returns the main records of the rows that check named; false if it
// named anything else.
func (o *original) hurt(problems []string) (map[string]bool, bool) {
	hit := map[string]bool{}
	for _, p := range problems {
		m := damagedRow.FindStringSubmatch(p)
		if m == nil {
			return nil, false
		}
		for id := range o.latest {
			if m[1] == id.String() || m[1] == syncproto.CompanionID(id, syncproto.ClassTask).String() {
				hit[id.String()] = true
			}
		}
	}
	return hit, len(hit) > 0
}

var damagedRow = regexp.MustCompile(`^damaged row: table (?:records|changes|past_writes), scope "35\.24\.14(?:/T)?", seq \d+, id ([0-9a-f-]{36})$`)

var damagedRecord = regexp.MustCompile(`^damaged row: table records, scope "35\.24\.14", seq \d+, id ([0-9a-f-]{36})$`)

// TestADamagedServerFileGivesNoWrongValue damages copies of the file, reads
// everything that the API shows and runs the check. Every value is byte for
// byte what the original shows, or an error; whatever came out otherwise, check
// has a name for; and where it names nothing but rows of records, all other
// records are there.
func TestADamagedServerFileGivesNoWrongValue(t *testing.T) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 4))
	o := newOriginal(t, false)
	sound := func(id, where, text string) bool {
		return text == map[string]map[string]string{"log": o.log, "record": o.records}[where][id]
	}
	var refused, noticed, rows, absent, untouched int
	n := *files - *files/4
	for i := range n {
		data := filepath.Join(t.TempDir(), fmt.Sprint(i))
		copyFolder(t, o.data, data)
		out := look(t, o, data, harm(t, rng, filepath.Join(data, server.StoreFile)), false, sound)
		for _, w := range out.wrong {
			t.Errorf("file %d, %s: %.400s", i, out.how, w)
		}
		if out.bad() && len(out.problems) == 0 {
			t.Errorf("file %d, %s: check finds nothing, but: %q, %d damaged, %d absent", i, out.how, out.failures, out.damaged, out.absent)
		}
		if hit, alone := o.hurt(out.problems); alone {
			rows++
			for id := range o.records {
				if !hit[id] && slices.ContainsFunc(out.failures, func(f string) bool { return strings.Contains(f, id) }) {
					t.Errorf("file %d, %s: the sound record %s can't be read: %q", i, out.how, id, out.failures)
				}
			}
			if out.absent > 0 || out.damaged > 2*len(hit) {
				t.Errorf("file %d, %s: %d records hit, but %d are damaged and %d absent", i, out.how, len(hit), out.damaged, out.absent)
			}
		}
		switch {
		case out.refused:
			refused++
		case len(out.problems) > 0:
			noticed++
		default:
			untouched++
		}
		if out.absent > 0 {
			absent++
		}
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
	}
	if noticed == 0 || rows == 0 {
		t.Errorf("%d files with damage in them, %d in rows of records alone: nothing was put to the test", noticed, rows)
	}
	t.Logf("%d files, seed %d: %d refused at opening, %d read around the damage (%d in rows of records alone, %d with records missing), all named by check; %d with nothing hit that is read",
		n, *seed, refused, noticed, rows, absent, untouched)
}

// TestADamagedLogOfTheServerIsARollbackThatPhonesHeal damages the log beside
// the file. SQLite ignores what follows the damage, so the store is an earlier
// state of itself: sound, and without what was committed last. The first phone
// that comes finds out, and brings it back.
func TestADamagedLogOfTheServerIsARollbackThatPhonesHeal(t *testing.T) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 5))
	o := newOriginal(t, true)
	var before, refused int
	n := *files / 4
	for i := range n {
		data := filepath.Join(t.TempDir(), fmt.Sprint(i))
		copyFolder(t, o.data, data)
		how := harm(t, rng, filepath.Join(data, server.StoreFile+"-wal"))
		out := look(t, o, data, how, true, func(id, where, text string) bool {
			var rec struct {
				Doc map[string]any `json:"doc"`
			}
			if err := json.Unmarshal([]byte(text), &rec); err != nil {
				return false
			}
			for known, latest := range o.latest {
				if known.String() == id {
					_, version, err := versionOf(known, rec.Doc)
					return err == nil && version <= latest
				}
			}
			return false
		})
		for _, w := range out.wrong {
			t.Errorf("file %d, %s: %.400s", i, how, w)
		}
		if len(out.problems) > 0 && !out.refused {
			t.Errorf("file %d, %s: an earlier state has problems: %q", i, how, out.problems)
		}
		if out.refused {
			refused++
			continue
		}
		if out.absent > 0 {
			before++
		}
		healed(t, o, data, how)
		if err := os.RemoveAll(data); err != nil {
			t.Fatal(err)
		}
	}
	if before == 0 {
		t.Error("no store was an earlier state: nothing was put to the test")
	}
	t.Logf("%d damaged logs, seed %d: %d refused at opening, %d earlier states, all brought back by the phones", n, *seed, refused, before)
}

// healed lets the phones that wrote sync with an earlier state of their server.
func healed(t *testing.T, o *original, data, how string) {
	t.Helper()
	h := o.at(t, data)
	h.open(func(s *server.Server) {
		for _, from := range o.writers {
			dir := filepath.Join(t.TempDir(), "writer")
			copyFolder(t, from, dir)
			r, err := sambang.Open(dir, h.options(s))
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if _, err := r.Sync(t.Context()); err != nil {
					t.Errorf("%s: sync: %v", how, err)
				}
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		hq := newReader(t, s)
		for id, n := range o.latest {
			if got, err := hq.version(id); err != nil || got != n {
				t.Errorf("%s: version %d of %s was not brought back, the server has %d: %v", how, n, id, got, err)
			}
		}
	})
	for _, p := range h.problems() {
		t.Errorf("%s: check after healing: %s", how, p)
	}
}

// TestADamagedRecordReachesThePhonesOnceItIsRepaired flips one bit of one
// record. A phone gets all others and goes on syncing; what is written into the
// damaged record waits at headquarters; and when the operator has brought the
// file back, the phone gets the record that its cursor has passed.
func TestADamagedRecordReachesThePhonesOnceItIsRepaired(t *testing.T) {
	o := newOriginal(t, false)
	path := filepath.Join(o.data, server.StoreFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lost sambang.ID
	var name string
	for id, n := range o.latest {
		for i := range o.writers {
			v := version(fmt.Sprintf("writer-%d", i), id, n)
			if text, ok := v["name"].(string); ok && bytes.Contains(whole, []byte(text)) && bytes.Contains([]byte(o.log[id.String()]), []byte(text)) {
				lost, name = id, text
			}
		}
	}
	hurt := bytes.ReplaceAll(whole, []byte(name), append([]byte{name[0] ^ 1}, name[1:]...))
	if err := os.WriteFile(path, hurt, 0o600); err != nil {
		t.Fatal(err)
	}
	h := o.at(t, o.data)
	sync := func(s *server.Server, dir string) (*sambang.Replica, sambang.Report) {
		t.Helper()
		r, err := sambang.Open(dir, h.options(s))
		if err != nil {
			t.Fatal(err)
		}
		report, err := r.Sync(t.Context())
		if err != nil {
			t.Fatalf("sync with a damaged record: %v", err)
		}
		return r, report
	}
	h.open(func(s *server.Server) {
		r, report := sync(s, o.fresh)
		if _, err := r.Get(lost); report.Poisoned == 0 || err == nil || r.Counts().Records != len(o.latest)-1 {
			t.Errorf("the phone got %d records of %d, %+v, the damaged one: %v", r.Counts().Records, len(o.latest), report, err)
		}
		if err := save(r, "fresh", mustID(t, r), 1); err != nil {
			t.Fatal(err)
		}
		if report, err := r.Sync(t.Context()); err != nil || report.Waiting > 0 {
			t.Errorf("the phone does not go on: %+v, %v", report, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if status, _ := newReader(t, s).get("/v1/records/" + lost.String()); status != http.StatusInternalServerError {
			t.Errorf("headquarters gets %d for the damaged record", status)
		}
	})
	if !slices.ContainsFunc(h.problems(), func(p string) bool {
		m := damagedRecord.FindStringSubmatch(p)
		return m != nil && m[1] == lost.String()
	}) {
		t.Error("check does not name the record")
	}
	said, err := exec.CommandContext(t.Context(), sambangd(t), "check", "-data", o.data).CombinedOutput()
	if err == nil || !bytes.Contains(said, []byte(lost.String())) || bytes.Contains(said, []byte("enginapan")) {
		t.Errorf("sambangd check: %v\n%s", err, said)
	}
	// The operator puts the bytes back.
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	now = bytes.ReplaceAll(now, append([]byte{name[0] ^ 1}, name[1:]...), []byte(name))
	if err := os.WriteFile(path, now, 0o600); err != nil {
		t.Fatal(err)
	}
	h.ahead += 10 * time.Minute // longer than the first pause before it is asked for again
	h.open(func(s *server.Server) {
		r, _ := sync(s, o.fresh)
		rec, err := r.Get(lost)
		if err != nil || rec.Fields["name"] != name {
			t.Errorf("after the repair the phone has %v, %v", rec, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range h.problems() {
		t.Errorf("check after the repair: %s", p)
	}
}
