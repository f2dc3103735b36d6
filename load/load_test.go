package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/server"
)

// TestMain lets the test's program be the server's process too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		main()
		return
	}
	os.Exit(m.Run())
}

// hasty limits cut slow connections while a test can wait for it.
func hasty() server.Limits {
	return server.Limits{HeaderTimeout: time.Second, BodyGrace: 1500 * time.Millisecond, ReadStall: 2 * time.Second, IdleTimeout: 2 * time.Second}
}

func TestNoAttackBreaksABound(t *testing.T) {
	o := memoryOptions{size: size{slow: 60, parallel: 2, window: 3 * time.Second, rest: 50 * time.Millisecond}, only: "all at once", limits: hasty()}
	o.dir = t.TempDir()
	rows, err := memory(t.Context(), o, t.Output())
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	printMemory(t.Output(), rows)
	r := rows[0]
	if why := r.broken(); len(why) > 0 {
		t.Errorf("broken: %q", why)
	}
	if r.honest.times.count() == 0 {
		t.Error("the honest device has not synced once")
	}
	// Each kind of attack has really met the server.
	for _, answer := range []string{"cut", "401", "408", "400 malformed", "413 too_many", "200 quarantined too_many", "200 quarantined too_deep"} {
		if r.out.codes.get(answer) == 0 {
			t.Errorf("nobody was answered %q: %s", answer, r.out.refused())
		}
	}
}

func TestAFleetThatReconnectsIsTakenInWhole(t *testing.T) {
	o := pushOptions{devices: 12, changes: 25, readers: 3, runs: 1, seconds: 1, perDistrict: 3, pause: 50 * time.Millisecond}
	o.dir = t.TempDir()
	r, err := push(t.Context(), o, 7, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	r.print(t.Output())
	if why := r.broken(); len(why) > 0 {
		t.Errorf("broken: %q", why)
	}
	if r.fleet.pushes.count() != o.devices || r.readers.pages.count() == 0 {
		t.Errorf("%d pushes were timed, and %d pages", r.fleet.pushes.count(), r.readers.pages.count())
	}
}

func TestDevicesComeAgainWhenTheServerSaysSo(t *testing.T) {
	t.Parallel()
	s, err := start(t.Context(), filepath.Join(t.TempDir(), "server"), server.Limits{PerDevice: 0.19}) // one now, the next in 5 s
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	}()
	p, err := preparePhone(t.Context(), s, 0, pushOptions{perDistrict: 1}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer p.replica.Close()
	if _, err := p.replica.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.replica.Create("site", district(0), sambang.Fields{"name": "x"}); err != nil {
		t.Fatal(err)
	}
	var totals deviceTotals
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p.reconnect(ctx, 0, &totals)
	p.transport.CloseIdleConnections()
	if totals.done.Load() != 1 || totals.limited.Load() == 0 || totals.impatient.Load() != 0 || totals.errors.total() != 0 {
		t.Errorf("done %d, limited %d, impatient %d, errors %q", totals.done.Load(), totals.limited.Load(), totals.impatient.Load(), totals.errors.most())
	}
}

// TestABrokenBoundIsNoticed is the positive control of the verdicts.
func TestABrokenBoundIsNoticed(t *testing.T) {
	row := func(change func(*memoryRow)) memoryRow {
		r := memoryRow{out: &outcome{}, honest: &bystander{saved: 1}, calm: true, kept: 1, cut: time.Second}
		change(&r)
		return r
	}
	for name, c := range map[string]struct {
		row          memoryRow
		broken, late bool
	}{
		"nothing":            {row(func(*memoryRow) {}), false, false},
		"memory":             {row(func(r *memoryRow) { r.rss = memoryBound + 1 }), true, false},
		"goroutines":         {row(func(r *memoryRow) { r.calm = false }), true, false},
		"a record":           {row(func(r *memoryRow) { r.kept = 0 }), true, false},
		"the store":          {row(func(r *memoryRow) { r.problems = "x" }), true, false},
		"an error":           {row(func(r *memoryRow) { r.honest.errors.add("x") }), true, false},
		"a held connection":  {row(func(r *memoryRow) { r.out.codes.add("still held at the end") }), true, false},
		"a late cut":         {row(func(r *memoryRow) { r.out.cuts.add(2 * time.Second) }), false, true},
		"a late sync":        {row(func(r *memoryRow) { r.honest.times.add(time.Second) }), false, true},
		"an honest one told": {row(func(r *memoryRow) { r.honest.limited.Add(1) }), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			if len(c.row.broken()) > 0 != c.broken || len(c.row.late()) > 0 != c.late {
				t.Errorf("broken %q, late %q", c.row.broken(), c.row.late())
			}
			for _, strict := range []bool{false, true} {
				if bad := errors.Is(judgeMemory([]memoryRow{c.row}, strict), errBroken); bad != (c.broken || strict && c.late) {
					t.Errorf("strict %t: the verdict is %t", strict, bad)
				}
			}
		})
	}
	fleet := func(change func(*pushResult)) *pushResult {
		r := &pushResult{o: pushOptions{devices: 1, changes: 1}, fleet: &deviceTotals{}, readers: &readerTotals{}, calm: true, records: 1}
		r.fleet.done.Add(1)
		change(r)
		return r
	}
	for what, r := range map[string]*pushResult{
		"":                                 fleet(func(*pushResult) {}),
		"devices done":                     fleet(func(r *pushResult) { r.fleet.done.Store(0) }),
		"records at the server":            fleet(func(r *pushResult) { r.records = 0 }),
		"came before Retry-After was over": fleet(func(r *pushResult) { r.fleet.impatient.Add(1) }),
		"other errors of devices":          fleet(func(r *pushResult) { r.fleet.errors.add("x") }),
		"other errors of readers":          fleet(func(r *pushResult) { r.readers.errors.add("x") }),
		"RSS of the server, peak":          fleet(func(r *pushResult) { r.rss = pushMemory + 1 }),
		"goroutines before, after":         fleet(func(r *pushResult) { r.calm = false }),
		"what server.Check finds":          fleet(func(r *pushResult) { r.problems = "x" }),
	} {
		if got := strings.Join(r.broken(), ", "); got != what {
			t.Errorf("broken: %q, want %q", got, what)
		}
	}
	if late := fleet(func(r *pushResult) { r.fleet.pushes.add(pushTarget + 1) }).late(); !slices.Equal(late, []string{"push, p99"}) {
		t.Errorf("late: %q", late)
	}
}

func TestATimeThatIsShownWasSeen(t *testing.T) {
	var s samples
	if s.at(0.99) != 0 {
		t.Error("a time of nothing")
	}
	for i := range 100 {
		s.add(time.Duration(100-i) * time.Millisecond)
	}
	for part, want := range map[float64]time.Duration{0: 1, 0.5: 50, 0.99: 99, 0.995: 100, 1: 100} {
		if got := s.at(part); got != want*time.Millisecond {
			t.Errorf("%g: %s, want %d ms", part, got, want)
		}
	}
}
