package sim_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/sim"
)

var (
	seeds   = flag.Int("sim.seeds", seedsOf(os.Getenv("SAMBANG_SIM_SEEDS")), "how many seeds to run")
	first   = flag.Uint64("sim.first", 1, "the first of them")
	steps   = flag.Int("sim.steps", 200, "steps of each")
	workers = flag.Int("sim.workers", runtime.GOMAXPROCS(0), "seeds that run at once")
	trace   = flag.Bool("sim.trace", false, "print the whole trace of a failing seed")
	shrinks = flag.Int("sim.shrink", 40, "runs to spend on shrinking a failing schedule")
)

func TestMain(m *testing.M) {
	flag.IntVar(seeds, "n", *seeds, "short for -sim.seeds")
	flag.Parse()
	// A run has some megabytes, and makes many more of garbage.
	debug.SetGCPercent(400)
	if f := flag.Lookup("test.memprofile"); f == nil || f.Value.String() == "" {
		runtime.MemProfileRate = 0 // else each half megabyte is booked with its stack
	}
	os.Exit(m.Run())
}

// seedsOf is the number of seeds of an ordinary test run unless told
// otherwise.
func seedsOf(env string) int {
	if n, err := strconv.Atoi(env); err == nil && n > 0 {
		return n
	}
	return 40
}

// found are seeds that once failed, each with the steps that it had then. What
// a seed does changes whenever a step or a fault is added: each bug has a test
// of its own in the product too.
var found = []struct {
	seed  uint64
	steps int
	what  string
}{
	{1, 200, "a phone locked out by a colleague's overwritten write after a rollback"},
	{2, 200, "a released message and its phone never became one; a clock set back locked every device out"},
	{4, 200, "the journal of absorbed writes could not be read"},
	{3, 200, "the count of records put aside drifted"},
	{5, 200, "the same, on several phones"},
	{6, 200, "a grant that ended by time left its records on the phone"},
	{8, 200, "(the checker's own) a move by the server, seen after the one that replaced it"},
	{102037, 200, "(the checker's own) a move by the server over a write that a copy had made again"},
	{1005, 150, "what a restored phone learned of its own retired id was never pushed again"},
	{1028, 150, "a purge that comes back after a rollback, over new contents"},
	{874, 200, "what a hostile device sent, put beside by a repair, was no known write (oracle)"},
	{450, 200, "a repair by a hostile device gave a record a home that its scope did not follow"},
	{2075, 200, "grants that were set after an unnoticed rollback had the version of lost ones"},
	{1270, 200, "(the checker's own) a write of the hostile device that was seen after the one that replaced it"},
	{1300, 200, "a phone with newer grants than a rolled-back server trusted nothing any more, and asked for ever"},
	{1789, 200, "a record was pushed to a home that its sender did not know, and lost the right to read"},
	{1117, 200, "(the checker's own) a tripwire after a proven fork, whose writes a copy forgot and others had replaced"},
	{331, 200, "a flag did not come with later changes of a record that its author had pushed and never been sent"},
	{582, 200, "a grant that had ended by a clock that was ahead never ended again"},
	{241, 200, "(the checker's own) a message of the inbox that came with a request whose answer died with the server"},
	{112, 150, "resolving a home took a companion out of its class"},
}

// runner runs one seed.
type runner func(sim.Config) sim.Result

// run runs one seed in memory, where there is such a file system.
func run(cfg sim.Config) sim.Result {
	dir, err := os.MkdirTemp("/dev/shm", "sambang-sim-")
	if err != nil {
		dir, err = os.MkdirTemp("", "sambang-sim-")
	}
	if err != nil {
		return sim.Result{Failure: &sim.Failure{What: err.Error()}}
	}
	defer os.RemoveAll(dir)
	cfg.Dir = dir
	return sim.Run(cfg)
}

// all runs seeds side by side; done is called one at a time, and stops the
// rest by returning false.
func all(run runner, cfgs func(n int) (sim.Config, bool), done func(sim.Config, sim.Result) bool) {
	var mu sync.Mutex
	var group sync.WaitGroup
	next, stop := 0, false
	for range *workers {
		group.Go(func() {
			for {
				mu.Lock()
				cfg, more := cfgs(next)
				next++
				if stop = stop || !more; stop {
					mu.Unlock()
					return
				}
				mu.Unlock()
				res := run(cfg)
				mu.Lock()
				stop = !done(cfg, res) || stop
				mu.Unlock()
			}
		})
	}
	group.Wait()
}

// TestSim runs the fleet through fresh seeds.
func TestSim(t *testing.T) { fresh(t, run, sim.ProfileOf, *seeds) }

// fresh runs so many seeds from the first on, and shows what they counted.
func fresh(t *testing.T, run runner, profileOf func(seed uint64) sim.Profile, seeds int) {
	t.Helper()
	total, failures, hosts := map[string]int{}, 0, 0
	started := time.Now()
	all(run, func(n int) (sim.Config, bool) {
		seed := *first + uint64(n) //nolint:gosec // not negative
		return sim.Config{Seed: seed, Steps: *steps, Profile: profileOf(seed)}, n < seeds
	}, func(cfg sim.Config, res sim.Result) bool {
		for k, v := range res.Stats {
			total[k] += v
		}
		hosts++
		total["steps"] += res.Steps + res.Stats["steps inside requests"]
		total["worst rounds to quiescence"] = max(total["worst rounds to quiescence"], res.Rounds)
		if res.Failure != nil {
			failures++
			t.Errorf("seed %d: %v", cfg.Seed, res.Failure)
			if failures == 1 {
				explain(t, run, cfg, res.Failure)
			}
		}
		return failures < 5
	})
	for _, k := range slices.Sorted(maps.Keys(total)) {
		t.Logf("%9d %s", total[k], k)
	}
	t.Logf("%d seeds in %s", hosts, time.Since(started).Round(time.Millisecond))
}

// explain prints the shrunk schedule of a failure and the trace of its record.
func explain(t *testing.T, run runner, cfg sim.Config, failure *sim.Failure) {
	t.Helper()
	kept, last := sim.Shrink(cfg, run, *shrinks)
	if last == nil {
		t.Errorf("seed %d does not fail again: the run is not deterministic", cfg.Seed)
		return
	}
	t.Logf("seed %d, shrunk to the steps %v: %v", cfg.Seed, kept, last)
	cfg.Trace, cfg.Steps, cfg.Without = true, min(cfg.Steps, last.Step+1), map[int]bool{}
	for n := range cfg.Steps {
		cfg.Without[n] = !slices.Contains(kept, n)
	}
	about := last.Record
	if *trace {
		about = ""
	}
	t.Log("\n" + strings.Join(run(cfg).About(about), "\n"))
}

// TestSimFound runs the seeds that once failed.
func TestSimFound(t *testing.T) {
	all(run, func(n int) (sim.Config, bool) {
		if n >= len(found) {
			return sim.Config{}, false
		}
		return sim.Config{Seed: found[n].seed, Steps: found[n].steps, Profile: sim.ProfileOf(found[n].seed)}, true
	}, func(cfg sim.Config, res sim.Result) bool {
		if res.Failure != nil {
			t.Errorf("seed %d: %v", cfg.Seed, res.Failure)
		}
		return true
	})
}

// TestSimIsDeterministic runs twenty seeds twice: the traces must be the same
// to the last line.
func TestSimIsDeterministic(t *testing.T) {
	hashes := map[uint64]string{}
	all(run, func(n int) (sim.Config, bool) {
		seed := uint64(n/2) + 1 //nolint:gosec // not negative
		return sim.Config{Seed: seed, Steps: 60, Profile: sim.ProfileOf(seed)}, n < 40
	}, func(cfg sim.Config, res sim.Result) bool {
		if was, ok := hashes[cfg.Seed]; ok && was != res.Hash {
			t.Errorf("seed %d gave the trace %s, and then %s", cfg.Seed, was, res.Hash)
		}
		hashes[cfg.Seed] = res.Hash
		return true
	})
}

// TestSimNotices is the positive control: each broken rule must be caught
// within so many seeds.
func TestSimNotices(t *testing.T) {
	within := map[sim.Sabotage]int{sim.StripWitness: 60, sim.LoseMark: 60, sim.SkipEntries: 24}
	for _, s := range sim.Sabotages() {
		t.Run(string(s), func(t *testing.T) {
			limit := within[s]
			if limit == 0 {
				limit = 8
			}
			caught := ""
			all(run, func(n int) (sim.Config, bool) {
				return sim.Config{Seed: uint64(n)*4 + 1, Steps: 120, Sabotage: s}, n < limit //nolint:gosec // not negative
			}, func(cfg sim.Config, res sim.Result) bool {
				if res.Failure != nil && caught == "" {
					caught = fmt.Sprintf("seed %d: %v", cfg.Seed, res.Failure)
				}
				return caught == ""
			})
			if caught == "" {
				t.Fatalf("not noticed within %d seeds", limit)
			}
			t.Logf("%.200s", caught)
		})
	}
}
