package kill_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
)

// phone is a device that writes and syncs for as long as the test runs.
type phone struct {
	name string
	r    *sambang.Replica
	rng  *rand.Rand

	mu    sync.Mutex
	mine  map[sambang.ID]int // the version that was saved last
	order []sambang.ID       // of their making
	held  map[sambang.ID]int // the version that a receipt covers
	fresh map[sambang.ID]int // of them, those that came since somebody looked
	syncs int
	err   error
}

// phones enrols phones, each with random choices of its own.
func (h *headquarters) phones(n int) (all []*phone) {
	h.Helper()
	h.open(func(s *server.Server) {
		for i := range n {
			name := fmt.Sprintf("phone-%d", i)
			dir := filepath.Join(h.TempDir(), name)
			if err := h.enrol(s, dir).Close(); err != nil {
				h.Fatal(err)
			}
			o := phoneOptions()
			o.Transport = h.epochs
			r, err := sambang.Open(dir, o)
			if err != nil {
				h.Fatal(err)
			}
			all = append(all, newPhone(name, r, *seed+uint64(i))) //nolint:gosec // not negative
		}
	})
	return all
}

// atWork lets phones write and sync until stop, at the latest until the test
// ends, when they are closed.
func atWork(t *testing.T, phones []*phone) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	for _, p := range phones {
		work.Go(func() { p.run(ctx) })
	}
	stop = func() {
		cancel()
		work.Wait()
	}
	t.Cleanup(func() {
		stop()
		for _, p := range phones {
			if err := p.r.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return stop
}

func newPhone(name string, r *sambang.Replica, seed uint64) *phone {
	return &phone{
		name: name, r: r, rng: rand.New(rand.NewPCG(seed, 1)),
		mine: map[sambang.ID]int{}, held: map[sambang.ID]int{}, fresh: map[sambang.ID]int{},
	}
}

// run works until ctx ends.
func (p *phone) run(ctx context.Context) {
	waiting := map[sambang.ID]bool{}
	for ctx.Err() == nil {
		// Without end, what waits would be too much for the short life of a server.
		for range min(1+p.rng.IntN(5), 40-p.r.Counts().Waiting) {
			id, err := p.write()
			if err != nil {
				p.fail(err)
				return
			}
			waiting[id] = true
		}
		if _, err := p.r.Sync(ctx); err != nil {
			time.Sleep(time.Duration(5+p.rng.IntN(20)) * time.Millisecond) // no server now
			continue
		}
		p.mu.Lock()
		p.syncs++
		p.mu.Unlock()
		for id := range waiting {
			c, err := p.r.Custody(id)
			if err != nil {
				p.fail(err)
				return
			}
			if c == sambang.CustodyHeld {
				p.mu.Lock()
				p.held[id], p.fresh[id] = p.mine[id], p.mine[id]
				p.mu.Unlock()
				delete(waiting, id)
			}
		}
	}
}

func (p *phone) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = fmt.Errorf("phone %s: %w", p.name, err)
}

// write makes a record, or the next version of one.
func (p *phone) write() (id sambang.ID, err error) {
	n := 1
	if known := len(p.order); known > 0 && p.rng.IntN(3) > 0 {
		id = p.order[p.rng.IntN(known)]
		n = p.mine[id] + 1
	} else if id, err = p.r.NewID(); err != nil {
		return id, err
	}
	if err := save(p.r, p.name, id, n); err != nil {
		return id, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mine[id] = n; n == 1 {
		p.order = append(p.order, id)
	}
	return id, nil
}

// save writes one version of a record.
func save(r *sambang.Replica, by string, id sambang.ID, n int) error {
	if n == 1 {
		return r.CreateWith(id, "site", district, version(by, id, n))
	}
	return r.Edit(id, func(d *sambang.Draft) error {
		for name, value := range version(by, id, n) {
			d.Set(name, value)
		}
		return nil
	})
}

// taken returns what was receipted since the last call.
func (p *phone) taken() map[sambang.ID]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.fresh
	p.fresh = map[sambang.ID]int{}
	return out
}

// await waits until the phones have synced so many times more, so that a slow
// machine kills servers at work too, but not for longer than patience.
func await(phones []*phone, more int, patience time.Duration) {
	count := func() (n int) {
		for _, p := range phones {
			p.mu.Lock()
			n += p.syncs
			p.mu.Unlock()
		}
		return n
	}
	enough := count() + more
	for begun := time.Now(); count() < enough && time.Since(begun) < patience; {
		time.Sleep(2 * time.Millisecond)
	}
}

// TestAKilledServerHonoursItsReceipts kills the server again and again while
// three phones write and sync. What a phone holds a receipt for is there at the
// next start, in that version or a later one; the store is sound; and no phone
// is told that the server was put back to an earlier state.
func TestAKilledServerHonoursItsReceipts(t *testing.T) {
	t.Logf("seed %d", *seed)
	rng := rand.New(rand.NewPCG(*seed, 2))
	h := newHeadquarters(t)
	phones := h.phones(3)
	stop := atWork(t, phones)

	honoured := 0
	for cycle := range (*cycles + 1) / 2 {
		h.start()
		await(phones, rng.IntN(6), 3*time.Second)
		time.Sleep(time.Duration(rng.Int64N(int64(100 * time.Millisecond))))
		h.kill()
		h.open(func(s *server.Server) {
			hq := newReader(t, s)
			for _, p := range phones {
				for id, n := range p.taken() {
					if got, err := hq.version(id); err != nil || got < n {
						t.Errorf("cycle %d: %s has a receipt for version %d of %s, the server has %d: %v", cycle, p.name, n, id, got, err)
					}
					honoured++
				}
			}
			if err := s.Check(t.Context(), func(problem string) { t.Errorf("cycle %d: check: %s", cycle, problem) }); err != nil {
				t.Error(err)
			}
		})
		if t.Failed() {
			return
		}
	}

	// In the end everything that was ever receipted, and all that was written,
	// is there.
	h.start()
	stop()
	for _, p := range phones {
		if p.err != nil {
			t.Fatal(p.err)
		}
		if _, err := p.r.Sync(t.Context()); err != nil {
			t.Fatalf("%s: the last sync: %v", p.name, err)
		}
	}
	out, err := exec.CommandContext(t.Context(), sambangd(t), "check", "-data", h.data).CombinedOutput()
	if err != nil {
		t.Errorf("sambangd check: %v\n%s", err, out)
	}
	h.kill()
	h.open(func(s *server.Server) {
		hq := newReader(t, s)
		for _, p := range phones {
			for id, n := range p.mine {
				if got, err := hq.version(id); err != nil || got != n {
					t.Errorf("%s wrote version %d of %s, the server has %d: %v", p.name, n, id, got, err)
				}
			}
		}
	})
	h.epochs.check(t)
	written, syncs := 0, 0
	for _, p := range phones {
		for n := range maps.Values(p.mine) {
			written += n
		}
		syncs += p.syncs
	}
	if honoured == 0 {
		t.Error("no receipt was put to the test")
	}
	t.Logf("%d kills of the server, %d versions written, %d syncs, %d receipts put to the test between, all honoured", (*cycles+1)/2, written, syncs, honoured)
}
