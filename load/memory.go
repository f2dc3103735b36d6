package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/sambang-id/sambang/server"
)

// memoryBound is what a server may have resident, whatever it is sent (RELIABILITY.md, R9).
const memoryBound = 256 << 20

// honestTarget is how long the slowest of a hundred syncs of an honest device may take during an attack.
const honestTarget = 200 * time.Millisecond

type memoryOptions struct {
	common
	size
	only   string
	limits server.Limits
}

func runMemory(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o memoryOptions
	f := o.flags("memory", stderr)
	f.IntVar(&o.slow, "slow", 1000, "slow connections of each kind at once")
	f.IntVar(&o.parallel, "parallel", 20, "hostile requests of each kind at once")
	f.DurationVar(&o.window, "window", 25*time.Second, "how long each attack lasts at least")
	f.DurationVar(&o.rest, "rest", 100*time.Millisecond, "pause of an attacker between two requests")
	f.StringVar(&o.only, "only", "", "`part` of the names of the attacks to run. Default: all")
	quick := f.Bool("quick", false, "a tenth of it")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *quick {
		o.slow, o.parallel, o.window = o.slow/10, max(2, o.parallel/10), 21*time.Second
	}
	rows, err := memory(ctx, o, stderr)
	printMemory(stdout, rows)
	if err != nil {
		return err
	}
	return judgeMemory(rows, o.strict)
}

// memoryRow is one line of the table.
type memoryRow struct {
	name     string
	out      *outcome
	cut      time.Duration // bound; 0: none
	rss      int64
	honest   *bystander
	before   float64 // goroutines
	after    float64
	calm     bool
	problems string // of the store
	kept     float64
}

func (r memoryRow) broken() (why []string) {
	if r.rss > memoryBound {
		why = append(why, "RSS")
	}
	if n := r.honest.errors.total(); n > 0 {
		why = append(why, fmt.Sprintf("%d syncs of the honest device failed (%s)", n, strings.Join(r.honest.errors.most(), "; ")))
	}
	if !r.calm {
		why = append(why, "goroutines")
	}
	if r.problems != "" {
		why = append(why, "store")
	}
	if int(r.kept) != r.honest.saved {
		why = append(why, fmt.Sprintf("%.0f of %d records of the honest device are held", r.kept, r.honest.saved))
	}
	if n := r.out.codes.get("still held at the end"); n > 0 {
		why = append(why, fmt.Sprintf("%d connections were not cut", n))
	}
	return why
}

// late tells what was slower than its target.
func (r memoryRow) late() (why []string) {
	if p99 := r.honest.times.at(0.99); p99 > honestTarget {
		why = append(why, "honest p99")
	}
	if n := r.honest.limited.Load(); n > 0 {
		why = append(why, fmt.Sprintf("the honest device was told %d times to wait", n))
	}
	if r.cut > 0 && r.out.cuts.at(1) > r.cut {
		why = append(why, "cut")
	}
	return why
}

// memory runs the attacks, each on a fresh server so that each has its own peak. It returns what it has measured
// also with an error.
func memory(ctx context.Context, o memoryOptions, progress io.Writer) (rows []memoryRow, err error) {
	all, err := attacks()
	if err != nil {
		return nil, err
	}
	all = append([]attack{{name: "none", run: func(ctx context.Context, _ target, _ *outcome) { <-ctx.Done() }}}, append(all, together(all))...)
	for _, a := range all {
		if !strings.Contains(a.name, o.only) {
			continue
		}
		fmt.Fprintf(progress, "%s ...\n", a.name)
		row, err := underAttack(ctx, o, a)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", a.name, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// attackers is how many devices share the hostile work.
const attackers = 50

func underAttack(ctx context.Context, o memoryOptions, a attack) (row memoryRow, err error) {
	dir, err := os.MkdirTemp(o.dir, "sambang-load-")
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s, err := start(ctx, filepath.Join(dir, "server"), o.limits)
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	t := target{site: s, size: o.size}
	for i := range attackers {
		client := clientFrom(loopback(attacker, i))
		device, err := enrolRaw(ctx, s, fmt.Sprintf("hostile-%d", i), attackRegion, client)
		if err != nil {
			return row, err
		}
		client.CloseIdleConnections()
		t.devices = append(t.devices, device)
	}
	row = memoryRow{name: a.name, out: &outcome{}, cut: a.cut}
	if row.honest, err = newBystander(ctx, s, dir); err != nil {
		return row, err
	}
	defer row.honest.replica.Close()
	if err := row.honest.settle(ctx); err != nil { // its connection is part of the base
		return row, err
	}
	if row.before, err = s.gauge(ctx, goroutines); err != nil {
		return row, err
	}
	if o.profile != "" {
		if _, err := s.order("profile", filepath.Join(o.profile, "memory-"+strings.ReplaceAll(a.name, " ", "-")+".pprof")); err != nil {
			return row, err
		}
	}
	if err := o.attack(ctx, a, t, &row); err != nil {
		return row, err
	}
	if row.rss, err = peakRSS(s.pid()); err != nil {
		return row, err
	}
	if row.after, row.calm, err = s.calm(ctx, row.before, 15*time.Second); err != nil {
		return row, err
	}
	if !row.calm && o.profile != "" {
		_, err = s.order("stacks", filepath.Join(o.profile, "stacks.txt"))
	}
	// What was refused during the attack arrives after it.
	err = errors.Join(err, row.honest.settle(ctx))
	if err == nil {
		row.kept, err = s.gauge(ctx, `sambang_store_rows{what="records"}`)
	}
	if err == nil {
		row.problems, err = s.order("check")
	}
	return row, err
}

// attack lets a device sync while others attack, for the window, and then until the slow ones are cut.
func (o memoryOptions) attack(ctx context.Context, a attack, t target, row *memoryRow) error {
	// Slow connections have their own time; what holds longer than this is never cut.
	holding, cancel := context.WithTimeout(ctx, max(2*a.cut, o.window))
	defer cancel()
	window, end := context.WithTimeout(holding, o.window)
	defer end()
	var wg sync.WaitGroup
	wg.Go(func() {
		if a.cut > 0 {
			a.run(holding, t, row.out)
		} else {
			a.run(window, t, row.out)
		}
	})
	err := row.honest.run(window)
	wg.Wait()
	return err
}

func printMemory(out io.Writer, rows []memoryRow) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "attack\tconnections\tcut after\tRSS peak\thonest p50\tp99\tsyncs\tgoroutines\tverdict\trefused how")
	for _, r := range rows {
		cut := "-"
		if r.cut > 0 {
			cut = fmt.Sprintf("%.1f s (<= %.0f)", r.out.cuts.at(1).Seconds(), r.cut.Seconds())
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d MiB\t%d ms\t%d ms\t%d\t%.0f, then %.0f\t%s\t%s\n",
			r.name, r.out.connections.Load(), cut, r.rss>>20, r.honest.times.at(0.5).Milliseconds(), r.honest.times.at(0.99).Milliseconds(),
			r.honest.times.count(), r.before, r.after, sentence(r.broken(), r.late()), r.out.refused())
	}
	_ = w.Flush() // the standard output; what is wrong with it shows to whoever reads it
	fmt.Fprintf(out, "\nbounds: RSS <= %d MiB, honest p99 <= %d ms; load average %s\n", memoryBound>>20, honestTarget.Milliseconds(), loadAverage())
}

// sentence says holds, late or BROKEN with the reasons.
func sentence(broken, late []string) string {
	switch {
	case len(broken) > 0:
		return "BROKEN: " + strings.Join(append(broken, late...), ", ")
	case len(late) > 0:
		return "late: " + strings.Join(late, ", ")
	}
	return "holds"
}

func judgeMemory(rows []memoryRow, strict bool) error {
	for _, r := range rows {
		if len(r.broken()) > 0 || strict && len(r.late()) > 0 {
			return fmt.Errorf("%w: see the table", errBroken)
		}
	}
	return nil
}
