//go:build linux

package crash_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/crash/disk"
	"github.com/sambang-id/sambang/crash/recorder"
	"github.com/sambang-id/sambang/server"
)

// A log that has grown to its limit is moved into the file while the server
// runs, and is then written over from its start. The other workloads are too
// small for that.
func TestNoCrashInACheckpointLosesWhatWasSigned(t *testing.T) {
	began := time.Now()
	rec := record(t, job{Workload: "bulk", Seed: *first, Steps: 40}, recorder.Fault{})
	from := firstCheckpoint(rec.log)
	if from < 0 {
		t.Fatal("the log was never moved: this test needs more steps")
	}
	crashes := 0
	for _, op := range rec.log.Ops[from:] {
		if op.Kind != disk.Note {
			crashes++
		}
	}
	share := float64(min(*images/300, 500)) / float64(crashes)
	rng := rand.New(rand.NewPCG(*first, 3))
	r := newTrial(t, newServerVerifier().verify)
	rec.log.Images(from, rng, func(c disk.Crash) bool {
		if c.After == from || rng.Float64() < share {
			r.crash(rec, c)
		}
		return !r.failed()
	})
	r.end()
	t.Logf("checkpoint: %d distinct images of %d crashes from operation %d of %d on, seed %d, %d bad, %.1f s",
		len(r.distinct), crashes, from, len(rec.log.Ops), *first, r.bad, time.Since(began).Seconds())
}

// firstCheckpoint is the index of the first write to the store's file once it
// has its name.
func firstCheckpoint(log *disk.Log) int {
	store := disk.Node(-1)
	return slices.IndexFunc(log.Ops, func(op disk.Op) bool {
		if op.Kind == disk.Link && op.Name == server.StoreFile {
			store = op.Node
		}
		return op.Kind == disk.Write && op.Node == store && store >= 0
	})
}

// bulkWorkload pushes large values of a few records again and again.
func bulkWorkload(j job, say *speaker) error {
	w := &headquarters{job: j, say: say, rng: rand.New(rand.NewPCG(j.Seed, 4))}
	w.now.Store(epoch)
	if err := w.prepare(); err != nil {
		return err
	}
	r := w.phones[0].r
	ids := make([]sambang.ID, 8)
	for i := range ids {
		var err error
		if ids[i], err = r.Create(kind, district, nil); err != nil {
			return err
		}
	}
	for range j.Steps {
		states := map[string]string{}
		for _, id := range ids {
			v := bulk(w.rng)
			if err := r.Edit(id, func(d *sambang.Draft) error { d.Set("a", v); return nil }); err != nil {
				return err
			}
			states[id.String()] = stateOf(v, false)
		}
		w.step("push", states, func() error { return w.send(0, states) })
		if w.last != nil {
			return w.last
		}
	}
	return nil
}

// bulk is a value that no compression makes small.
func bulk(rng *rand.Rand) string {
	var b strings.Builder
	for b.Len() < 48<<10 {
		fmt.Fprintf(&b, "%016x", rng.Uint64())
	}
	return b.String()
}
