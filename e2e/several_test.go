package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// Several servers share one PostgreSQL, behind one address.

// address sends each request to the next server.
type address struct {
	mu      sync.Mutex
	servers []*server.Server
	turn    int
}

func (a *address) next() *server.Server {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.turn++
	return a.servers[a.turn%len(a.servers)]
}

func (a *address) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.next().Handler().ServeHTTP(w, r)
}

// several makes a world of n servers behind one address.
func several(t testing.TB, n int, store string) (*world, *address) {
	t.Helper()
	w := newWorldOn(t, store)
	a := &address{servers: []*server.Server{w.server}}
	for len(a.servers) < n {
		a.servers = append(a.servers, w.join())
	}
	w.link.handler = a
	return w, a
}

// join starts one more server, on a machine of its own: it has the key.
func (w *world) join() *server.Server {
	w.t.Helper()
	c := w.config()
	c.Data = w.t.TempDir()
	key, err := os.ReadFile(filepath.Join(w.dir, "server", "server.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(c.Data, "server.key"), key, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := server.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.t.Error(err)
		}
	})
	return s
}

// fleet are phones that work at the same time.
type fleet struct {
	*world
	phones []*sambang.Replica
	mu     sync.Mutex
	ids    []sambang.ID
	held   map[sambang.ID]bool // of which a phone has a receipt
	syncs  int                 // that succeeded
}

// await waits until so many more syncs have succeeded.
func (f *fleet) await(more int) {
	f.t.Helper()
	count := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.syncs
	}
	enough := count() + more
	for begun := time.Now(); count() < enough; time.Sleep(5 * time.Millisecond) {
		if time.Since(begun) > 2*time.Minute {
			f.t.Fatalf("%d syncs succeeded, want %d", count(), enough)
		}
	}
}

func (w *world) fleet(n int) *fleet {
	f := &fleet{world: w, held: map[sambang.ID]bool{}}
	for i := range n {
		f.phones = append(f.phones, w.phone([]string{"budi", "sari"}[i%2]))
	}
	return f
}

// work lets all phones write and sync so many times, or until ctx ends. A sync
// may fail.
func (f *fleet) work(ctx context.Context, rounds int) (synced int) {
	var all sync.WaitGroup
	for i, r := range f.phones {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // a test's
			var mine []sambang.ID
			for round := 0; round < rounds && ctx.Err() == nil; round++ {
				for range 1 + rng.IntN(6) {
					mine = f.write(r, rng, mine)
				}
				f.clock.Add(time.Second)
				if _, err := r.Sync(ctx); err != nil {
					if !errors.Is(err, syncproto.CodeOffline) && !errors.Is(err, syncproto.CodeUnavailable) && !errors.Is(err, syncproto.CodeInternal) && ctx.Err() == nil {
						f.t.Errorf("phone %d: %v", i, err)
					}
					continue
				}
				f.mu.Lock()
				synced++
				f.syncs++
				f.mu.Unlock()
				f.noteHeld(r, mine)
			}
		})
	}
	all.Wait()
	return synced
}

// write makes a record, or edits one of anybody's.
func (f *fleet) write(r *sambang.Replica, rng *rand.Rand, mine []sambang.ID) []sambang.ID {
	f.mu.Lock()
	ids := f.ids
	f.mu.Unlock()
	if len(ids) > 0 && rng.IntN(2) == 0 {
		err := r.Edit(ids[rng.IntN(len(ids))], func(d *sambang.Draft) error { d.Set("rooms", rng.IntN(100)); return nil })
		if err == nil || errors.Is(err, syncproto.CodeNotFound) { // it has not come here yet
			return mine
		}
		f.t.Error(err)
	}
	id, err := r.Create("site", "35.24.14", sambang.Fields{"name": fmt.Sprint("Losmen ", rng.IntN(1000)), "owner_name": "Tuan X"})
	if err != nil {
		f.t.Error(err)
		return mine
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ids = append(f.ids, id)
	return append(mine, id)
}

func (f *fleet) noteHeld(r *sambang.Replica, mine []sambang.ID) {
	for _, id := range mine {
		c, err := r.Custody(id)
		if err != nil {
			f.t.Error(err)
		}
		if c == sambang.CustodyHeld {
			f.mu.Lock()
			f.held[id] = true
			f.mu.Unlock()
		}
	}
}

// mustAgree syncs all phones until nothing is left, and compares them, and a
// new one, with each other.
func (f *fleet) mustAgree() {
	f.t.Helper()
	for range 3 {
		for _, r := range f.phones {
			f.sync(r)
		}
	}
	fresh := f.phone("budi")
	for f.sync(fresh).Pulled > 0 {
		continue
	}
	want := contents(f.t, fresh)
	if len(want) < len(f.ids) {
		f.t.Errorf("the server has %d records of %d", len(want), len(f.ids))
	}
	for i, r := range f.phones {
		got := contents(f.t, r)
		for id, text := range want {
			if got[id] != text {
				f.t.Errorf("phone %d has %s\n%s, a new one\n%s", i, id, got[id], text)
			}
		}
		if n := r.Counts().Waiting; n != 0 || len(got) != len(want) {
			f.t.Errorf("phone %d: %d wait, %d records, want %d", i, n, len(got), len(want))
		}
	}
	for id := range f.held {
		if want[id] == "" {
			f.t.Errorf("record %s, which was receipted, is lost", id)
		}
	}
	f.mustHold()
}

func contents(t testing.TB, r *sambang.Replica) map[sambang.ID]string {
	t.Helper()
	out := map[sambang.ID]string{}
	for rec, err := range r.List(sambang.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		conflicts, err := r.Conflicts(rec.ID)
		if err != nil {
			t.Fatal(err)
		}
		values := []string{}
		for _, c := range conflicts {
			for _, v := range c.Values {
				values = append(values, fmt.Sprint(c.Field, "=", v.Value))
			}
		}
		out[rec.ID] = fmt.Sprint(rec.Fields, values)
	}
	return out
}

func (f *fleet) epochs() int {
	f.t.Helper()
	n := 0
	for _, line := range strings.Split(f.log.String(), "\n") {
		if strings.Contains(line, "rolled back") {
			n++
		}
	}
	return n
}

// Phones that meet another server with every request end up with the same, and
// no server takes the work of another for a rollback.
func TestSeveralServersConverge(t *testing.T) {
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprint(n, " servers"), func(t *testing.T) {
			w, _ := several(t, n, pgtest.Start(t).Database(t))
			f := w.fleet(4)
			if got := f.work(t.Context(), 12); got != 4*12 {
				t.Errorf("%d of %d syncs succeeded", got, 4*12)
			}
			f.mustAgree()
			if f.epochs() > 0 {
				t.Errorf("a server took the store for rolled back:\n%s", w.log)
			}
		})
	}
}

// A phone that heard nothing sends the same again at once, to another server,
// while the first request is still at work.
func TestSeveralServersTakeTheSameRetriesAtOnce(t *testing.T) {
	w, a := several(t, 3, pgtest.Start(t).Database(t))
	f := w.fleet(3)
	var ghosts sync.WaitGroup
	rng, mu := rand.New(rand.NewPCG(7, 7)), sync.Mutex{} //nolint:gosec // a test's
	left := 0
	w.link.before = func(r *http.Request) error {
		if !strings.HasSuffix(r.URL.Path, "/sync") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if rng.IntN(2) == 0 {
			return nil
		}
		left++
		in := r.Clone(context.WithoutCancel(r.Context()))
		in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:40000"
		ghosts.Go(func() { answered(a, httptest.NewRecorder(), in) })
		return errLost
	}
	f.work(t.Context(), 20)
	ghosts.Wait()
	w.link.before = nil
	if left < 20 {
		t.Errorf("only %d requests were left behind", left)
	}
	f.mustAgree()
	if f.epochs() > 0 {
		t.Errorf("a server took the store for rolled back:\n%s", w.log)
	}
}

// What one server decides, the others know at the next request.
func TestSeveralServersKnowWhatOneDecided(t *testing.T) {
	ctx := t.Context()
	w, a := several(t, 2, pgtest.Start(t).Database(t))
	one, other := a.servers[0], a.servers[1]
	w.link.handler = other.Handler()
	p, q := w.phone("budi"), w.phone("sari")
	id := w.create(p, sambang.Fields{"name": "x"})
	w.sync(p)
	w.sync(q)

	if err := one.SetGrants(ctx, q.Status().Device, syncproto.Grants{grant("35.24.15", "D")}); err != nil {
		t.Fatal(err)
	}
	w.sync(q)
	if got := q.Status().Grants; len(got) != 1 || got[0].Region != "35.24.15" {
		t.Errorf("the other server still gives %v", got)
	}

	if err := one.Purge(ctx, id.String(), "siti", "masa simpan"); err != nil {
		t.Fatal(err)
	}
	w.sync(p)
	if _, err := p.Get(id); !errors.Is(err, syncproto.CodeNotFound) {
		t.Errorf("the other server leaves a purged record on the phone: %v", err)
	}

	kept := w.create(p, sambang.Fields{"name": "y"})
	w.sync(p)
	if err := one.BeginEpoch(ctx); err != nil {
		t.Fatal(err)
	}
	if rep := w.sync(p); rep.Repairs == 0 {
		t.Errorf("the other server did not tell of the new epoch: %+v", rep)
	}
	w.wantCustody(p, kept, sambang.CustodyHeld)

	if err := one.DisableOfficer(ctx, "budi", true); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Sync(ctx); !errors.Is(err, syncproto.CodeForbidden) {
		t.Errorf("the other server lets a disabled officer in: %v", err)
	}
	if err := errors.Join(one.DisableOfficer(ctx, "budi", false), one.Revoke(ctx, p.Status().Device, false)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Sync(ctx); !errors.Is(err, syncproto.CodeDeviceRevoked) {
		t.Errorf("the other server lets a revoked device in: %v", err)
	}
	code, err := one.Enrol(ctx, server.EnrolRequest{Officer: "budi", Grants: syncproto.Grants{grant("35.24.14", "D")}})
	if err != nil {
		t.Fatal(err)
	}
	n := w.open(filepath.Join(t.TempDir(), "phone"), w.options())
	if err := n.Enrol(ctx, code, "baru"); err != nil {
		t.Errorf("a code of one server, at the other: %v", err)
	}
	w.link.handler = one.Handler()
	m := w.open(filepath.Join(t.TempDir(), "phone"), w.options())
	if err := m.Enrol(ctx, code, "kedua"); !errors.Is(err, syncproto.CodeEnrolmentUsed) {
		t.Errorf("a code that was used at the other server: %v", err)
	}
}

// A token opens one request, at whichever server.
func TestSeveralServersTakeATokenOnce(t *testing.T) {
	w, a := several(t, 2, pgtest.Start(t).Database(t))
	p := w.phone("budi")
	var seen *http.Request
	var body []byte
	w.link.before = func(r *http.Request) (err error) {
		seen = r
		body, err = io.ReadAll(r.Body)
		return err
	}
	w.sync(p)
	for i, s := range a.servers {
		r := httptest.NewRequest(seen.Method, seen.URL.RequestURI(), bytes.NewReader(body))
		r.Header = seen.Header.Clone()
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, r)
		if rec.Code != http.StatusUnauthorized || !strings.Contains(rec.Body.String(), string(syncproto.CodeTokenReplayed)) {
			t.Errorf("server %d takes a used token: %d %s", i, rec.Code, rec.Body)
		}
	}
}

// The database is restarted, and crashes, while phones work: whatever has a
// receipt is there, and no server takes that for a rollback.
func TestSeveralServersOutliveTheirDatabase(t *testing.T) {
	c := pgtest.StartOwn(t, pgtest.Options{})
	w, _ := several(t, 2, c.Database(t))
	f := w.fleet(3)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { f.work(ctx, 1<<20); close(done) }()
	for _, mode := range []pgtest.Mode{pgtest.Crash, pgtest.Fast, pgtest.Crash, pgtest.Immediate} {
		f.await(3)
		if err := c.Restart(mode); err != nil {
			t.Fatal(err)
		}
	}
	f.await(3)
	stop()
	<-done
	f.mustAgree()
	if f.epochs() > 0 {
		t.Errorf("a server took the store for rolled back:\n%s", w.log)
	}
	t.Logf("%d records, %d with a receipt", len(f.ids), len(f.held))
}

// The database is put back while the servers go on: the witness notices, once
// for all servers, and everything comes back.
func TestSeveralServersGetEverythingAgain(t *testing.T) {
	c := pgtest.Start(t)
	w, _ := several(t, 3, c.Database(t))
	f := w.fleet(3)
	f.work(t.Context(), 4)
	before := c.Snapshot(t, w.store)
	f.work(t.Context(), 4)
	before.Restore(t)
	w.clock.Add(10 * time.Second)
	f.mustAgree()
	if n := f.epochs(); n != 1 {
		t.Errorf("%d new epochs:\n%s", n, w.log)
	}
}

// The same to before the first exchange: the store of that time had no epoch,
// and the servers knew that it had one. The author's phone is gone, so that
// another has to bring his writes, as it may after a rollback alone.
func TestSeveralServersGetEverythingAgainFromTheVeryBeginning(t *testing.T) {
	c := pgtest.Start(t)
	w, _ := several(t, 2, c.Database(t))
	author, other, third := w.phone("budi"), w.phone("sari"), w.phone("sari")
	before := c.Snapshot(t, w.store)
	id := w.create(author, sambang.Fields{"name": "x"})
	w.sync(author)
	w.sync(other)
	before.Restore(t)
	w.clock.Add(10 * time.Second)
	for range 3 { // at each of the servers
		w.sync(other)
		w.sync(third)
	}
	w.wantField(third, id, "name", "x")
	w.mustHold()
}

// How often the network is crossed does not grow with what an exchange carries.
func TestSeveralServersCrossTheNetworkAsOften(t *testing.T) {
	p := pgtest.NewProxy(t, pgtest.Start(t).Database(t))
	w := newWorldOn(t, p.URL())
	phone, reader := w.phone("budi"), w.phone("sari")
	exchange := func(records int) (push, pull int) {
		for range records {
			w.create(phone, sambang.Fields{"name": "x", "owner_name": "Tuan X"})
		}
		push = p.Measure(func() { w.sync(phone) }).Syncs
		pull = p.Measure(func() { w.sync(reader) }).Syncs
		return push, pull
	}
	// The least of a few: a connection that is new, or had no such statement
	// before, takes more.
	least := func(records int) (push, pull int) {
		push, pull = exchange(records)
		for range 3 {
			a, b := exchange(records)
			push, pull = min(push, a), min(pull, b)
		}
		return push, pull
	}
	push, pull := least(3)
	manyPush, manyPull := least(60)
	t.Logf("%d and %d round trips for 3 records, %d and %d for 60", push, pull, manyPush, manyPull)
	if manyPush > push || manyPull > pull {
		t.Errorf("a push took %d round trips, and %d with 20 times as much; a pull %d and %d", push, manyPush, pull, manyPull)
	}
}
