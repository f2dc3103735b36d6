//go:build linux

package crash_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/crash/disk"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

func TestNoCrashOfAPhoneLosesWhatWasSaved(t *testing.T) {
	tryImages(t, "phone", 40, *images/2, verifyPhone)
}

const (
	district = "35.24.14"
	kind     = "site"
	epoch    = 1_772_000_000_000 // where clocks begin, in milliseconds
)

// phone is an install of the SDK, and what it knows of itself.
type phone struct {
	dir, mark string
	rotate    bool
	transport http.RoundTripper
	rand      *source
	clock     func() time.Time
	r         *sambang.Replica
}

func (p *phone) open() (err error) {
	p.r, err = sambang.Open(p.dir, sambang.Options{
		Key: make([]byte, sambang.KeySize), MarkDir: p.mark, RotateOnOpen: p.rotate, Pack: testPack(),
		Transport: p.transport, Rand: p.rand, Clock: p.clock, PullEntries: 2,
	})
	return err
}

// handler carries requests to a server in this process.
type handler struct{ srv func() *server.Server }

func (h handler) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	in := req.Clone(req.Context())
	in.RequestURI, in.RemoteAddr = req.URL.RequestURI(), "127.0.0.1:4000"
	h.srv().Handler().ServeHTTP(rec, in)
	res := rec.Result()
	res.Request = req
	return res, nil
}

// copier copies the server's store after each request of the phone, before the
// phone gets the answer: if the power goes then, this is the server that it
// meets again.
type copier struct {
	w   *fieldwork
	way http.RoundTripper
}

func (c copier) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.way.RoundTrip(req)
	if err != nil || c.w.job.Faulty || req.URL.Path != "/v1/sync" {
		return res, err
	}
	c.w.copies++
	to := filepath.Join(c.w.job.Scratch, fmt.Sprintf("copy%d.db", c.w.copies))
	if err := c.w.srv.Backup(req.Context(), to); err != nil {
		return nil, err
	}
	c.w.say.say(note{Kind: noteCopy, Text: to})
	return res, nil
}

// offline is a network that is not there.
type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("no network")
}

// field work: what a phone does on the recorded disk.
type fieldwork struct {
	job  job
	say  *speaker
	rng  *rand.Rand
	p    *phone // recorded
	mate *phone // elsewhere, of the same server
	srv  *server.Server

	mine   []sambang.ID
	fresh  map[string]string // states of the mate's records that the server has and p does not
	theirs []sambang.ID
	copies int
	last   error
}

func phoneWorkload(j job, say *speaker) error {
	w := &fieldwork{job: j, say: say, rng: rand.New(rand.NewPCG(j.Seed, 1)), fresh: map[string]string{}}
	if err := w.prepare(); err != nil {
		return err
	}
	w.step("open", nil, w.p.open)
	if w.p.r == nil {
		return fmt.Errorf("the phone does not open: %w", w.last)
	}
	for range w.job.Steps {
		w.any()
		if w.last != nil && !j.Faulty {
			return w.last
		}
	}
	return nil
}

func (w *fieldwork) prepare() (err error) {
	clock := clockFrom(epoch)
	w.srv, err = server.New(serverConfig(filepath.Join(w.job.Scratch, "server"), w.job.Seed, clock))
	if err != nil {
		return err
	}
	if err := w.srv.PutOfficer(context.Background(), server.Officer{ID: "o1", Name: "O", Agency: "A"}); err != nil {
		return err
	}
	audit, err := enrolAuditor(w.srv, w.job.Seed)
	if err != nil {
		return err
	}
	w.say.say(note{Kind: noteAck, Step: w.say.begin("auditor", nil), Text: audit.id})
	way := handler{func() *server.Server { return w.srv }}
	w.p = &phone{
		dir: filepath.Join(w.job.Mount, "app", "phone"), mark: filepath.Join(w.job.Mount, "nobackup", "mark"),
		transport: copier{w, way}, rand: newSource(w.job.Seed, "phone"), clock: clock,
	}
	w.mate = &phone{dir: filepath.Join(w.job.Scratch, "mate"), transport: way, rand: newSource(w.job.Seed, "mate"), clock: clock}
	if err := w.mate.open(); err != nil {
		return err
	}
	return enrol(w.srv, w.mate.r, "mate")
}

func enrol(srv *server.Server, r *sambang.Replica, name string) error {
	code, err := srv.Enrol(context.Background(), server.EnrolRequest{Officer: "o1", Grants: syncproto.Grants{{Region: district, Classes: []syncproto.Class{"D"}}}})
	if err != nil {
		return err
	}
	return r.Enrol(context.Background(), code, name)
}

// step does something that is acknowledged by returning nil. After an error,
// what the phone shows counts as said.
func (w *fieldwork) step(what string, states map[string]string, do func() error) {
	n := w.say.begin(what, states)
	if w.last = do(); w.last == nil {
		w.say.say(note{Kind: noteAck, Step: n, High: w.high(states)})
		return
	}
	w.last = fmt.Errorf("%s: %w", what, w.last)
	w.say.say(note{Kind: noteFail, Step: n, Text: w.last.Error()})
	for range 3 { // one operation fails, once
		if w.p.r != nil && !errors.Is(w.last, syncproto.CodeCacheClosed) {
			shown := map[string]string{}
			if err := w.show(shown, states); err == nil {
				w.say.say(note{Kind: noteShown, States: shown})
				return
			}
			_ = w.p.r.Close()
		}
		if err := w.p.open(); err != nil {
			w.p.r, w.last = nil, err
		}
	}
}

// show reads the records that a step was about.
func (w *fieldwork) show(shown, states map[string]string) error {
	for id := range states {
		s, err := phoneState(w.p.r, mustID(id))
		if err != nil {
			return err
		}
		shown[id] = s
	}
	_, err := w.p.r.Get(sambang.ID{}) // that it is open at all
	if errors.Is(err, syncproto.CodeNotFound) {
		return nil
	}
	return err
}

// high is how far the phone has counted in records.
func (w *fieldwork) high(states map[string]string) map[syncproto.ReplicaID]uint64 {
	out := map[syncproto.ReplicaID]uint64{}
	own := w.p.r.Status().Replica
	for id := range states {
		rec, err := w.p.r.Get(mustID(id))
		if err != nil {
			continue
		}
		for _, s := range rec.States() {
			out[own] = max(out[own], s.Context().Get(own))
		}
	}
	return out
}

func phoneState(r *sambang.Replica, id sambang.ID) (string, error) {
	rec, err := r.Get(id)
	if errors.Is(err, syncproto.CodeNotFound) {
		return absent, nil
	}
	if err != nil {
		return "", err
	}
	if len(rec.Conflicts) > 0 {
		return "", fmt.Errorf("record %s has conflicts at %v", id, rec.Conflicts)
	}
	value, _ := rec.Fields["a"].(string)
	return stateOf(value, rec.Deleted), nil
}

func mustID(s string) sambang.ID {
	id, err := syncproto.ParseRecordID(s)
	if err != nil {
		panic(err)
	}
	return id
}

// value is a new one, from a few bytes to several pages.
func value(rng *rand.Rand) string {
	n := 20 + rng.IntN(200)
	switch rng.IntN(8) {
	case 0:
		n += rng.IntN(3000)
	case 1:
		n += rng.IntN(9000)
	}
	return strings.Repeat(fmt.Sprintf("%08x ", rng.Uint32()), 1+n/9)
}

// any does something at random.
func (w *fieldwork) any() {
	if w.p.r == nil {
		w.step("open", nil, w.p.open)
		return
	}
	switch n := w.rng.IntN(20); {
	case n < 6 || len(w.mine) == 0:
		w.create()
	case n < 12:
		w.edit(pick(w.rng, w.mine))
	case n < 13:
		w.delete(pick(w.rng, w.mine))
	case n < 17:
		w.sync()
	case n < 18 && len(w.theirs) > 0:
		w.edit(pick(w.rng, w.theirs))
	default:
		w.reopen()
	}
}

func pick(rng *rand.Rand, from []sambang.ID) sambang.ID { return from[rng.IntN(len(from))] }

func (w *fieldwork) create() {
	id, err := w.p.r.NewID()
	if err != nil {
		w.last = err
		return
	}
	v := value(w.rng)
	w.step("create", map[string]string{id.String(): stateOf(v, false)}, func() error {
		return w.p.r.CreateWith(id, kind, district, sambang.Fields{"a": v})
	})
	if w.last == nil {
		w.mine = append(w.mine, id)
	}
}

func (w *fieldwork) edit(id sambang.ID) {
	rec, err := w.p.r.Get(id)
	if err != nil {
		w.last = err
		return
	}
	if rec.Deleted {
		w.delete(id) // taken back: an edit beside a deletion is a conflict
		return
	}
	v := value(w.rng)
	w.step("edit", map[string]string{id.String(): stateOf(v, false)}, func() error {
		return w.p.r.Edit(id, func(d *sambang.Draft) error { d.Set("a", v); return nil })
	})
}

func (w *fieldwork) delete(id sambang.ID) {
	rec, err := w.p.r.Get(id)
	if err != nil {
		w.last = err
		return
	}
	v, _ := rec.Fields["a"].(string)
	w.step("delete", map[string]string{id.String(): stateOf(v, !rec.Deleted)}, func() error {
		if rec.Deleted {
			return w.p.r.Undelete(id)
		}
		return w.p.r.Delete(id)
	})
}

// sync pushes, and pulls what the mate made meanwhile.
func (w *fieldwork) sync() {
	ctx := context.Background()
	if !w.p.r.Status().Enrolled {
		w.step("enrol", nil, func() error { return enrol(w.srv, w.p.r, "phone") })
		return
	}
	for range w.rng.IntN(5) {
		v := value(w.rng)
		id, err := w.mate.r.Create(kind, district, sambang.Fields{"a": v})
		if err != nil {
			w.last = err
			return
		}
		w.fresh[id.String()] = stateOf(v, false)
	}
	if _, err := w.mate.r.Sync(ctx); err != nil {
		w.last = err
		return
	}
	w.step("sync", maps.Clone(w.fresh), func() error { _, err := w.p.r.Sync(ctx); return err })
	if w.last != nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(w.fresh)) {
		w.theirs = append(w.theirs, mustID(id))
	}
	w.fresh = map[string]string{}
}

// reopen ends the app and starts it, sometimes under a new replica id.
func (w *fieldwork) reopen() {
	w.step("reopen", nil, func() error {
		if err := w.p.r.Close(); err != nil {
			return err
		}
		w.p.rotate = w.rng.IntN(2) == 0
		return w.p.open()
	})
}

// verifyPhone opens the SDK on what is left of a phone.
func verifyPhone(folder string, _ *disk.Image, said promise, number int) error {
	p := phone{
		dir: filepath.Join(folder, "app", "phone"), mark: filepath.Join(folder, "nobackup", "mark"), transport: offline{},
		rand: newSource(uint64(number), "verify"), clock: clockFrom(epoch + 1_000_000_000),
	}
	if number%dear == 0 && said.copy != "" {
		srv, err := serverOf(folder, said, p.clock)
		if err != nil {
			return err
		}
		defer srv.Close()
		p.transport = handler{func() *server.Server { return srv }}
		if err := verifyPhoneOpen(&p, said); err != nil {
			return err
		}
		defer p.r.Close()
		return syncAgain(&p, srv, said)
	}
	if err := verifyPhoneOpen(&p, said); err != nil {
		return err
	}
	return p.r.Close()
}

// serverOf opens the server as the phone left it.
func serverOf(folder string, said promise, clock func() time.Time) (*server.Server, error) {
	to := filepath.Join(folder, "server")
	if err := restore(said.copy, filepath.Join(filepath.Dir(said.copy), "server"), to); err != nil {
		return nil, err
	}
	return server.New(serverConfig(to, said.seed+1<<32, clock))
}

// syncAgain lets the phone go on with its server: then both have the same.
func syncAgain(p *phone, srv *server.Server, said promise) error {
	if _, err := p.r.Sync(context.Background()); err != nil {
		return fmt.Errorf("sync after the crash: %w", err)
	}
	has, err := phoneStates(p.r)
	if err != nil {
		return err
	}
	audit := &auditor{key: auditorKey(said.seed), id: said.done["auditor"].Text}
	server, err := audit.pull(srv, p.clock().UnixMilli())
	if err != nil {
		return err
	}
	if !maps.Equal(has, server) {
		return fmt.Errorf("after a sync the phone has %v and the server %v", has, server)
	}
	if c := p.r.Counts(); c.Waiting+c.Quarantined > 0 {
		return fmt.Errorf("after a sync %+v", c)
	}
	return nil
}

// verifyPhoneOpen opens the phone, and leaves it open if all is well.
func verifyPhoneOpen(p *phone, said promise) (err error) {
	if err := p.open(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() {
		if err != nil {
			_ = p.r.Close()
		}
	}()
	if _, ok := said.done["enrol"]; ok && !p.r.Status().Enrolled {
		return errors.New("the enrolment is lost")
	}
	has, err := phoneStates(p.r)
	if err != nil {
		return err
	}
	if err := said.judge(has); err != nil {
		return err
	}
	return writeAgain(p.r, said)
}

func phoneStates(r *sambang.Replica) (map[string]string, error) {
	has := map[string]string{}
	for rec, err := range r.List(sambang.Filter{Deleted: true}) {
		if err != nil {
			return nil, fmt.Errorf("list: %w", err)
		}
		if has[rec.ID.String()], err = phoneState(r, rec.ID); err != nil {
			return nil, err
		}
	}
	return has, nil
}

// writeAgain makes a record, and looks at the dots that it gets.
func writeAgain(r *sambang.Replica, said promise) error {
	id, err := r.Create(kind, district, sambang.Fields{"a": "after"})
	if err != nil {
		return fmt.Errorf("create after the crash: %w", err)
	}
	rec, err := r.Get(id)
	if err != nil || rec.Fields["a"] != "after" {
		return fmt.Errorf("what was created after the crash reads %v, %w", rec, err)
	}
	for _, s := range rec.States() {
		for d := range s.Context().All() {
			if d.N <= said.high[d.Replica] {
				return fmt.Errorf("dot %s is given out again: %d were", d, said.high[d.Replica])
			}
		}
	}
	return nil
}
