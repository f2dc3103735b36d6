package sim

import (
	"fmt"
	"math/rand/v2"
	"runtime/debug"

	"github.com/sambang-id/sambang/syncproto"
)

// Config is one run.
type Config struct {
	Seed    uint64
	Steps   int
	Profile Profile
	// Dir is an empty folder for the files of the run, best in memory.
	Dir string
	// Database is where the server's store is. Default: a SQLite file in Dir.
	Database Database
	// Apart makes each step of an update a commit of its own on SQLite too, so
	// that faults come between the same two steps on every engine.
	Apart bool
	// Without leaves steps out, to shrink a failing schedule.
	Without map[int]bool
	// Trace keeps the lines of the trace.
	Trace    bool
	Sabotage Sabotage

	weights []int
}

// Profile says what world it is.
type Profile struct {
	// Calm: no faults but those of the network.
	Calm bool
	// Hostile: one device speaks the protocol by hand and lies.
	Hostile bool
	// Servers share one database, and each request comes to any of them.
	// Default: 1. A SQLite file has no more than one.
	Servers int
}

// ProfileOf spreads seeds over the profiles.
func ProfileOf(seed uint64) Profile {
	return Profile{Calm: seed%8 == 7, Hostile: seed%4 == 2}
}

// Result is what a run gave.
type Result struct {
	Steps   int
	Hash    string // of the trace: equal runs have equal ones
	Rounds  int    // to quiescence
	Stats   map[string]int
	Failure *Failure

	trace *tracer
}

// About returns the lines of the trace that name a record, and the notable
// ones; all of them for "".
func (r Result) About(record string) []string { return r.trace.about(record) }

// Run runs one seed.
func Run(cfg Config) (res Result) {
	w, err := newWorld(cfg)
	if err != nil {
		return Result{Failure: &Failure{What: fmt.Sprintf("set up: %v", err)}, trace: newTracer(false)}
	}
	defer w.close()
	defer func() {
		if p := recover(); p != nil {
			w.failure = nil
			w.fail(syncproto.RecordID{}, "V11: panic: %v\n%s", p, debug.Stack())
		}
		res.Hash, res.Stats, res.Failure, res.trace = w.trace.sum(), w.stats, w.failure, w.trace
	}()
	all := steps()
	w.cfg.weights = w.weights(all, rand.New(rand.NewPCG(cfg.Seed, 1<<41)))
	for n := range cfg.Steps {
		if w.failed() {
			return res
		}
		if cfg.Without[n] {
			continue
		}
		res.Steps++
		w.rng = rand.New(rand.NewPCG(cfg.Seed, uint64(n))) //nolint:gosec // not negative
		w.trace.step = n
		w.pass(seconds(1 + w.rng.IntN(60)))
		all[pick(w.cfg.weights, w.rng)].do(w)
	}
	w.trace.step = cfg.Steps
	w.rng = rand.New(rand.NewPCG(cfg.Seed, 1<<42))
	res.Rounds = w.quiesce()
	if !w.failed() {
		w.verdict()
	}
	return res
}
