//go:build linux

package crash_test

import (
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sambang-id/sambang/crash/disk"
	"github.com/sambang-id/sambang/crash/recorder"
	"github.com/sambang-id/sambang/server"
)

// Each operation that changes the disk fails once, with each error; the
// program goes on as an app or a server does; then the power goes.

func TestAFailingDiskUnderAPhone(t *testing.T) {
	tryFaults(t, job{Workload: "phone", Seed: *first, Steps: 8}, *phoneFaults, verifyPhone)
}

func TestAFailingDiskUnderAServer(t *testing.T) {
	tryFaults(t, job{Workload: "server", Seed: *first, Steps: 8}, *serverFaults, newServerVerifier().verify)
}

// failures are the ways in which an operation fails.
func failures(kind disk.Kind) []recorder.Fault {
	all := []recorder.Fault{{Errno: syscall.EIO}, {Errno: syscall.ENOSPC}}
	if kind == disk.Sync {
		all = append(all, recorder.Fault{Errno: syscall.EIO, Drop: true})
	}
	return all
}

// afterFault is how many images of a run with a failure are tried, about.
const afterFault = 12

// tryFaults lets every n-th operation fail, in each way. Which ones these are
// depends on the seed, so that n runs of different seeds have them all.
func tryFaults(t *testing.T, j job, every int, verify verifier) {
	began := time.Now()
	r := newTrial(t, verify)
	failed, runs, missed := 0, 0, 0
	kinds := operations(record(t, j, recorder.Fault{}).log)
	for at := 1 + int(j.Seed)%every; at <= len(kinds); at += every {
		failed++
		for _, f := range failures(kinds[at-1]) {
			if r.failed() {
				break
			}
			f.At = at
			rec := record(t, j, f)
			runs++
			if rec.hit < 0 {
				missed++ // the run was shorter this time
				continue
			}
			r.after(rec)
		}
	}
	r.end()
	t.Logf("%s: %d of %d operations failed, %d runs, %d without the failure, %d distinct images, tried %d times, seed %d, %d bad, %.1f s",
		j.Workload, failed, len(kinds), runs, missed, len(r.distinct), len(r.judged), j.Seed, r.bad, time.Since(began).Seconds())
	if missed*10 > runs {
		t.Errorf("%d of %d runs did not meet their failure", missed, runs)
	}
}

// operations are the kinds of all that can fail, in order.
func operations(log *disk.Log) (kinds []disk.Kind) {
	for _, op := range log.Ops {
		if op.Kind != disk.Note {
			kinds = append(kinds, op.Kind)
		}
	}
	return kinds
}

// after tries images of a run from its failure on: of the failure itself, of
// the end, and of some crashes between.
func (r *trial) after(rec recording) {
	rng := rand.New(rand.NewPCG(uint64(rec.hit), rec.job.Seed))
	end := len(rec.log.Ops) - 1
	for rec.log.Ops[end].Kind == disk.Note {
		end--
	}
	share := float64(afterFault) / perCrash / float64(end-rec.hit+1)
	rec.log.Images(rec.hit, rng, func(c disk.Crash) bool {
		if slices.Contains([]int{rec.hit, end}, c.After) || rng.Float64() < share {
			r.crash(rec, c)
		}
		return !r.failed()
	})
}

// A new store's log is moved into its file before the file gets its name. When
// the disk fails there SQLite says nothing, and the store was made of half.
func TestAFailedMoveOfTheLogMakesNoStore(t *testing.T) {
	j := job{Workload: "server", Seed: *first, Steps: 2}
	log := record(t, j, recorder.Fault{}).log
	named := slices.IndexFunc(log.Ops, func(op disk.Op) bool { return op.Kind == disk.Link && op.Name == server.StoreFile })
	if named < 0 {
		t.Fatal("no store was made")
	}
	at, moves := 0, []int{}
	for _, op := range log.Ops[:named] {
		if op.Kind != disk.Note {
			at++
		}
		if op.Kind == disk.Write && op.Node == log.Ops[named].Node {
			moves = append(moves, at)
		}
	}
	r := newTrial(t, newServerVerifier().verify)
	for _, at := range []int{moves[0], moves[len(moves)/2], moves[len(moves)-1]} {
		rec := record(t, j, recorder.Fault{At: at, Errno: syscall.EIO})
		if rec.hit < 0 {
			t.Fatalf("no operation %d", at)
		}
		r.after(rec)
	}
	r.end()
}
