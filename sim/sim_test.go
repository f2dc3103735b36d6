package sim_test

import (
	"flag"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/sim"
)

func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "sambang-sim-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

var (
	seeds = flag.Int("sim.seeds", 40, "how many seeds to run")
	first = flag.Uint64("sim.first", 1, "the first of them")
	steps = flag.Int("sim.steps", 200, "steps of each")
)

func TestSim(t *testing.T) {
	var mu sync.Mutex
	next, total, failures := *first, map[string]int{}, 0
	started := time.Now()
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for {
				mu.Lock()
				seed := next
				next++
				stop := seed >= *first+uint64(*seeds) || failures >= 5
				mu.Unlock()
				if stop {
					return
				}
				res := run(t, sim.Config{Seed: seed, Steps: *steps, Profile: sim.ProfileOf(seed)})
				mu.Lock()
				for k, v := range res.Stats {
					total[k] += v
				}
				total["steps"] += res.Steps
				total["worst rounds"] = max(total["worst rounds"], res.Rounds)
				if res.Failure != nil {
					failures++
					t.Errorf("seed %d: %v", seed, res.Failure)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for _, k := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%9d %s", total[k], k)
	}
	t.Logf("%d seeds in %s", *seeds, time.Since(started).Round(time.Millisecond))
}

func run(t testing.TB, cfg sim.Config) sim.Result {
	dir, err := os.MkdirTemp("/dev/shm", "sambang-sim-")
	if err != nil {
		dir = t.TempDir()
	}
	defer os.RemoveAll(dir)
	cfg.Dir = dir
	return sim.Run(cfg)
}

// TestTrace shows one run.
func TestTrace(t *testing.T) {
	if *seeds != 1 {
		return
	}
	res := run(t, sim.Config{Seed: *first, Steps: *steps, Profile: sim.ProfileOf(*first), Trace: true})
	for _, l := range res.Trace {
		t.Log(l)
	}
	t.Log(res.Failure)
}
