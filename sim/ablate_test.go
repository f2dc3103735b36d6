//go:build ablate

package sim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/sim"
)

// ablated are the rules whose removal the checker notices, each within so many
// consecutive seeds from the first on, of the profiles that those seeds have
// or of hostile ones. The removal of others is noticed by tests beside the code
// (server/internal/engine, server/internal/store/sqlite, e2e):
//
//   - A07: rare in the design's own table (0 to 3 of 1,000).
//   - A15: what is refused goes to the inbox, and the checker's headquarters
//     release everything in the end.
//   - A24: two answers are never under way to one device.
//   - A26: the server has judged the claims before it answers, so that the
//     device's look at the heads of the answer is the second one.
//   - R09: whether the commit comes in time is a race.
//
// And these rows of the design's table have nothing here to switch off:
//
//   - A14, counters per record: the one counter is the journal's key, the mark
//     and the chain; there is no other to switch to.
//   - A20, a stub vector for evicted records: dropped from the design.
//   - A21, a verdict that ignores the version of the grants: it is A24.
//   - Whatever concerns peers and files: there are none yet. The counterparts of
//     A15 and A16 are a recovering server and the claims of a push.
var ablated = []struct {
	rules   []ablate.Rule
	first   uint64
	within  int
	hostile bool
	servers int // on a PostgreSQL database; 0: one, on SQLite
}{
	{rules: []ablate.Rule{ablate.A01BaseCheck, ablate.A00Net}, first: 4, within: 40},
	{rules: []ablate.Rule{ablate.A02AckNamesCtx}, first: 1, within: 40},
	{rules: []ablate.Rule{ablate.A03DeleteHasDot}, first: 1, within: 10},
	{rules: []ablate.Rule{ablate.A04Fence}, first: 1, within: 40},
	{rules: []ablate.Rule{ablate.A05Counter, ablate.A04Fence}, first: 1, within: 40},
	{rules: []ablate.Rule{ablate.A06Witness}, first: 29, within: 80},
	{rules: []ablate.Rule{ablate.A08Cursor, ablate.A01BaseCheck, ablate.A00Net}, first: 4, within: 40},
	{rules: []ablate.Rule{ablate.A09Evict}, first: 15, within: 80},
	{rules: []ablate.Rule{ablate.A10WholeRecord, ablate.A00Net}, first: 1, within: 10},
	{rules: []ablate.Rule{ablate.A11NoHiding, ablate.A00Net}, first: 1, within: 10},
	{rules: []ablate.Rule{ablate.A12OwnHigh}, first: 1, within: 40},
	{rules: []ablate.Rule{ablate.A13EpochForgets}, first: 4, within: 80},
	{rules: []ablate.Rule{ablate.A16Forged}, first: 1, within: 40, hostile: true},
	{rules: []ablate.Rule{ablate.A17CursorLast}, first: 8, within: 80},
	{rules: []ablate.Rule{ablate.A18NoGC, ablate.A00Net}, first: 2, within: 40},
	{rules: []ablate.Rule{ablate.A19NoPruning, ablate.A00Net}, first: 7, within: 40},
	{rules: []ablate.Rule{ablate.A22ProjectionPure}, first: 4, within: 40},
	{rules: []ablate.Rule{ablate.A23ServerReplica}, first: 4, within: 40},
	{rules: []ablate.Rule{ablate.A25MarkEachMint}, first: 19, within: 160},
	{rules: []ablate.Rule{ablate.R10Idempotency}, first: 1, within: 20},
	{rules: []ablate.Rule{ablate.R13RegionFilter}, first: 1, within: 10},
	{rules: []ablate.Rule{ablate.R15ReplayedJTI}, first: 1, within: 20, servers: 2},
	{rules: []ablate.Rule{ablate.A23ServerReplica}, first: 1, within: 20, servers: 2},
}

// TestAblated takes the rules out one after another: each must be missed.
func TestAblated(t *testing.T) {
	defer ablate.Set()
	for _, a := range ablated {
		t.Run(nameOf(a.rules)+strings.Repeat(" of a server", min(a.servers, 1)), func(t *testing.T) {
			run := runner(run)
			if a.servers > 0 {
				run = newDatabases(t).run
			}
			ablate.Set(a.rules...)
			ran, caught := 0, ""
			all(run, func(n int) (sim.Config, bool) {
				seed := a.first + uint64(n) //nolint:gosec // not negative
				profile := sim.ProfileOf(seed)
				if a.hostile {
					profile = sim.Profile{Hostile: true}
				}
				profile.Servers = a.servers
				return sim.Config{Seed: seed, Steps: 150, Profile: profile}, n < a.within
			}, func(cfg sim.Config, res sim.Result) bool {
				if ran++; res.Failure != nil && caught == "" {
					caught = fmt.Sprintf("seed %d, step %d: %.240s", cfg.Seed, res.Failure.Step, res.Failure.What)
				}
				return caught == ""
			})
			if caught == "" {
				t.Fatalf("not missed in %d seeds from %d on: a hole in the checker", a.within, a.first)
			}
			t.Logf("missed after %d seeds: %s", ran, caught)
		})
	}
}

// TestAblatedNet is the reverse: without the safety net alone nothing happens,
// because the protocol does not lean on it.
func TestAblatedNet(t *testing.T) {
	ablate.Set(ablate.A00Net)
	defer ablate.Set()
	all(run, func(n int) (sim.Config, bool) {
		seed := uint64(n) + 1 //nolint:gosec // not negative
		return sim.Config{Seed: seed, Steps: 150, Profile: sim.Profile{Calm: n%8 == 7}}, n < 24
	}, func(cfg sim.Config, res sim.Result) bool {
		if res.Failure != nil {
			t.Errorf("seed %d: %v", cfg.Seed, res.Failure)
		}
		return true
	})
}

func nameOf(rules []ablate.Rule) string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = string(r)
	}
	return strings.Join(names, " and ")
}
