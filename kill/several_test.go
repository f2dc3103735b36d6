package kill_test

import (
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
)

// balancer sends each request to the next server, whether that is there or not.
type balancer struct {
	http.Transport
	mu      sync.Mutex
	targets []*url.URL
	turn    int
}

func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	b.mu.Lock()
	b.turn++
	target := b.targets[b.turn%len(b.targets)]
	b.mu.Unlock()
	in := r.Clone(r.Context())
	in.URL.Scheme, in.URL.Host = target.Scheme, target.Host
	return b.Transport.RoundTrip(in)
}

// TestAKilledServerOfSeveralHonoursItsReceipts kills one and then the other of
// two servers on one database, behind one address, while phones write and sync.
// Nothing that a phone holds a receipt for is lost, whichever server gave it,
// and no phone is told that the store was put back.
func TestAKilledServerOfSeveralHonoursItsReceipts(t *testing.T) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 3))
	database := pgtest.Start(t).Database(t)
	shared := func(h *headquarters) { h.store = database }
	first := newHeadquarters(t, shared)
	key, err := os.ReadFile(filepath.Join(first.data, "server.key"))
	if err != nil {
		t.Fatal(err)
	}
	second := newHeadquarters(t, shared, func(h *headquarters) {
		if err := os.MkdirAll(h.data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.data, "server.key"), key, 0o600); err != nil {
			t.Fatal(err)
		}
	})
	both := []*headquarters{first, second}
	b := &balancer{Transport: http.Transport{DisableKeepAlives: true}} // of a server that is gone
	for _, h := range both {
		b.targets = append(b.targets, &url.URL{Scheme: "http", Host: h.address})
	}
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(*httputil.ProxyRequest) {}, Transport: b,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // the phone's connection ends too
	})
	defer front.Close()

	first.address = front.Listener.Addr().String() // what codes name
	phones := first.phones(3)
	first.address = b.targets[0].Host
	for _, h := range both {
		h.start()
	}
	stop := atWork(t, phones)
	for cycle := range (*cycles + 1) / 2 {
		await(phones, 3+rng.IntN(6), 5*time.Second)
		time.Sleep(time.Duration(rng.Int64N(int64(50 * time.Millisecond))))
		both[cycle%2].kill()
		await(phones, rng.IntN(4), 2*time.Second) // the other one is there
		both[cycle%2].start()
	}
	stop()
	honoured := 0
	second.open(func(s *server.Server) {
		hq := newReader(t, s)
		for _, p := range phones {
			if p.err != nil {
				t.Fatal(p.err)
			}
			for id, n := range p.held {
				if got, err := hq.version(id); err != nil || got < n {
					t.Errorf("%s has a receipt for version %d of %s, the servers have %d: %v", p.name, n, id, got, err)
				}
				honoured++
			}
			if _, err := p.r.Sync(t.Context()); err != nil {
				t.Fatalf("%s: the last sync: %v", p.name, err)
			}
			for id, n := range p.mine {
				if got, err := hq.version(id); err != nil || got != n {
					t.Errorf("%s wrote version %d of %s, the servers have %d: %v", p.name, n, id, got, err)
				}
			}
		}
	})
	check := exec.CommandContext(t.Context(), sambangd(t), "check", "-data", first.data)
	check.Env = append(os.Environ(), "SAMBANG_STORE="+database)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sambangd check: %v\n%s", err, out)
	}
	first.epochs.check(t)
	if honoured == 0 {
		t.Error("no receipt was put to the test")
	}
	t.Logf("%d kills, %d receipts honoured", (*cycles+3)/4, honoured)
}
