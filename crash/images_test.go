//go:build linux

package crash_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/crash/disk"
	"github.com/sambang-id/sambang/crash/recorder"
)

// verifier opens the product on an image in a folder, and judges it. number
// counts the images: what is dear is done on some of them.
type verifier func(folder string, img *disk.Image, p promise, number int) error

// trial tries images on several processors.
type trial struct {
	t      *testing.T
	verify verifier
	dir    string
	queue  chan attempt
	done   sync.WaitGroup

	distinct map[[16]byte]bool
	judged   map[[16]byte]bool

	mu  sync.Mutex
	bad int
}

type attempt struct {
	img    *disk.Image
	notes  []string
	seed   uint64
	number int
	where  string
}

func newTrial(t *testing.T, verify verifier) *trial {
	r := &trial{
		t: t, verify: verify, dir: scratch(t), queue: make(chan attempt),
		distinct: map[[16]byte]bool{}, judged: map[[16]byte]bool{},
	}
	for range *workers {
		r.done.Go(func() {
			for a := range r.queue {
				r.try(a)
			}
		})
	}
	return r
}

func (r *trial) try(a attempt) {
	folder := filepath.Join(r.dir, fmt.Sprint(a.number))
	p, err := read(a.notes, a.seed)
	if err == nil {
		err = os.Mkdir(folder, 0o700)
	}
	if err == nil {
		err = a.img.Write(folder)
	}
	if err == nil {
		err = r.verify(folder, a.img, p, a.number)
	}
	if err != nil {
		r.mu.Lock()
		r.bad++
		if r.bad <= 5 {
			r.t.Errorf("%s, %s: %v", a.where, a.img.Variant, err)
		}
		r.mu.Unlock()
	}
	_ = os.RemoveAll(folder)
}

// crash tries the images of one crash that were not tried yet. An image is
// tried again when more was acknowledged in front of it.
func (r *trial) crash(rec recording, c disk.Crash) {
	said := sha256.Sum256([]byte(strings.Join(c.Notes, "\n")))
	for _, img := range c.Images() {
		r.distinct[img.Hash()] = true
		h := img.Hash()
		key := [16]byte(sha256Of(h[:], said[:]))
		if r.judged[key] {
			continue
		}
		r.judged[key] = true
		r.queue <- attempt{
			img: img, notes: c.Notes, seed: rec.job.Seed, number: len(r.judged),
			where: fmt.Sprintf("%s, power lost after operation %d (%s)", rec, c.After, rec.log.Ops[c.After]),
		}
	}
}

func sha256Of(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)[:16]
}

func (r *trial) end() {
	close(r.queue)
	r.done.Wait()
	if r.bad > 5 {
		r.t.Errorf("and %d more", r.bad-5)
	}
}

func (r *trial) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bad > 100
}

// perCrash is about how many new images a crash has.
const perCrash = 6

// tryImages runs workloads, seed after seed, until enough distinct images were
// tried.
func tryImages(t *testing.T, workload string, steps, want int, verify verifier) {
	began := time.Now()
	r := newTrial(t, verify)
	seed, crashes := *first, 0
	for ; len(r.distinct) < want && !r.failed(); seed++ {
		rec := record(t, job{Workload: workload, Seed: seed, Steps: steps}, recorder.Fault{})
		rng := rand.New(rand.NewPCG(seed, 0))
		// A part of the crashes, all over the run, when that is enough.
		share := float64(want) / float64(rec.log.Crashes()*perCrash)
		rec.log.Images(0, rng, func(c disk.Crash) bool {
			if rng.Float64() < share {
				crashes++
				r.crash(rec, c)
			}
			return len(r.distinct) < want && !r.failed()
		})
	}
	r.end()
	t.Logf("%s: %d distinct images of %d crashes, tried %d times, seeds %d to %d, %d bad, %.1f s",
		workload, len(r.distinct), crashes, len(r.judged), *first, seed-1, r.bad, time.Since(began).Seconds())
}
