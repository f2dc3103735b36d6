package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/sambang-id/sambang/server"
)

// The targets of RELIABILITY.md, R12.
const (
	pushTarget = 2 * time.Second
	pushMemory = 512 << 20
)

type pushOptions struct {
	common
	devices, changes, readers, runs int
	seconds                         float64
	perDistrict                     int
	pause                           time.Duration
	limits                          server.Limits
}

func (o pushOptions) check() error {
	if o.devices < 1 || o.changes < 1 || o.readers < 0 || o.runs < 1 || o.seconds <= 0 || o.perDistrict < 1 {
		return errors.New("devices, changes, runs, seconds and district are at least 1")
	}
	if o.devices > o.perDistrict*9900 {
		return fmt.Errorf("at most %d devices: there are 9,900 districts", o.perDistrict*9900)
	}
	return nil
}

func runPush(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var o pushOptions
	f := o.flags("push", stderr)
	f.IntVar(&o.devices, "devices", 500, "devices that reconnect")
	f.IntVar(&o.changes, "changes", 200, "changes that each of them brings")
	f.Float64Var(&o.seconds, "seconds", 60, "seconds within which they come")
	f.IntVar(&o.readers, "readers", 50, "people at headquarters who page through the log")
	f.DurationVar(&o.pause, "pause", time.Second, "how long one of them looks at a page, on average")
	f.IntVar(&o.perDistrict, "district", 5, "devices that share a district, and get each other's records")
	f.IntVar(&o.runs, "runs", 1, "runs, each with a new server")
	quick := f.Bool("quick", false, "a tenth of it, for the pipeline")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *quick {
		o.devices, o.seconds, o.readers = 50, 6, 5
	}
	if err := o.check(); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "seed %d\n", o.seed)
	var failed error
	for i := range o.runs {
		r, err := push(ctx, o, o.seed+uint64(i), stderr) //nolint:gosec // a small number
		if err != nil {
			return err
		}
		r.print(stdout)
		if len(r.broken()) > 0 || o.strict && len(r.late()) > 0 {
			failed = fmt.Errorf("%w: see the table", errBroken)
		}
	}
	return failed
}

// pushResult is one run.
type pushResult struct {
	o       pushOptions
	fleet   *deviceTotals
	readers *readerTotals

	took               time.Duration // until the last device was done
	server, client     time.Duration // CPU
	rss                int64
	before, after      float64 // goroutines
	calm               bool
	records            float64 // that the server holds
	requests           string  // to /v1/sync by status
	problems           string
	loadBefore, during string
}

func push(ctx context.Context, o pushOptions, seed uint64, progress io.Writer) (r pushResult, err error) {
	r = pushResult{o: o, fleet: &deviceTotals{}, readers: &readerTotals{}}
	dir, err := os.MkdirTemp(o.dir, "sambang-load-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	caches, err := os.MkdirTemp(inMemory(o.dir), "sambang-load-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(caches)) }()
	s, err := start(ctx, filepath.Join(dir, "server"), o.limits)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	fmt.Fprintf(progress, "%d devices enrol and write %d changes each ...\n", o.devices, o.changes)
	phones, err := prepareFleet(ctx, s, o, caches)
	defer func() {
		for _, p := range phones {
			_ = p.replica.Close() // the run is over, its caches are thrown away
		}
	}()
	if err != nil {
		return r, err
	}
	if r.before, err = s.gauge(ctx, goroutines); err != nil {
		return r, err
	}
	fmt.Fprintf(progress, "they reconnect within %.0f s ...\n", o.seconds)
	if err := r.measure(ctx, s, phones, seed); err != nil {
		return r, err
	}
	if r.after, r.calm, err = s.calm(ctx, r.before, 15*time.Second); err != nil {
		return r, err
	}
	if !r.calm && o.profile != "" {
		if _, err := s.order("stacks", filepath.Join(o.profile, "stacks.txt")); err != nil {
			return r, err
		}
	}
	if r.records, err = s.gauge(ctx, `sambang_store_rows{what="records"}`); err != nil {
		return r, err
	}
	if r.requests, err = s.labels(ctx, `sambang_http_requests_total{method="POST",route="/v1/sync",status=`); err != nil {
		return r, err
	}
	r.problems, err = s.order("check")
	return r, err
}

// inMemory is where caches of devices go, so that it is the server's disk that is measured.
func inMemory(or string) string {
	const shared = "/dev/shm"
	if info, err := os.Stat(shared); err == nil && info.IsDir() {
		return shared
	}
	return or
}

// measure is the part that counts: devices and readers at once.
func (r *pushResult) measure(ctx context.Context, s *site, phones []*phone, seed uint64) (err error) {
	if r.o.profile != "" {
		if _, err := s.order("profile", filepath.Join(r.o.profile, "push-server.pprof")); err != nil {
			return err
		}
	}
	endOwn, err := ownProfile(r.o.profile)
	if err != nil {
		return err
	}
	serverBefore, err := cpuTime(s.pid())
	if err != nil {
		return err
	}
	clientBefore, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	r.loadBefore = loadAverage()
	begun := time.Now()
	reading, endReading := context.WithCancel(ctx)
	defer endReading()
	var readers sync.WaitGroup
	for i := range r.o.readers {
		token, err := s.order("token", fmt.Sprintf("reader-%d", i))
		if err != nil {
			return err
		}
		rng := rand.New(rand.NewPCG(seed, uint64(i)+1)) //nolint:gosec // no secret
		readers.Go(func() { read(reading, s.url(), token, i, r.o, rng, r.readers) })
	}
	var devices sync.WaitGroup
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	for _, p := range phones {
		after := time.Duration(rng.Float64() * r.o.seconds * float64(time.Second))
		devices.Go(func() { p.reconnect(ctx, after, r.fleet) })
	}
	devices.Wait()
	r.took = time.Since(begun)
	r.during = loadAverage()
	endReading()
	readers.Wait()
	endOwn()
	for _, p := range phones {
		p.transport.CloseIdleConnections()
	}
	serverAfter, err := cpuTime(s.pid())
	if err != nil {
		return err
	}
	clientAfter, err := cpuTime(os.Getpid())
	if err != nil {
		return err
	}
	r.server, r.client = serverAfter-serverBefore, clientAfter-clientBefore
	if r.o.profile != "" {
		if _, err := s.order("profile"); err != nil {
			return err
		}
	}
	r.rss, err = peakRSS(s.pid())
	return err
}

// line is a figure with its bound.
type line struct {
	what, figure, bound string
	ok                  bool
	time                bool // decides with -strict alone
}

func (r *pushResult) lines() []line {
	f, h := r.fleet, r.readers
	want := r.o.devices * r.o.changes
	var lines []line
	add := func(what, figure, bound string, ok, timed bool) {
		lines = append(lines, line{what, figure, bound, ok, timed})
	}
	ms := func(s *samples, part float64) string { return fmt.Sprintf("%d ms", s.at(part).Milliseconds()) }
	add("push, p50 (request to receipt)", ms(&f.pushes, 0.5), "", true, true)
	add("push, p99", ms(&f.pushes, 0.99), "<= 2 s", f.pushes.at(0.99) <= pushTarget, true)
	add("push, slowest", ms(&f.pushes, 1), "", true, true)
	add("reconnect until nothing waits, p50", ms(&f.whole, 0.5), "", true, true)
	add("reconnect, p99 (with pauses that a 429 asks for)", ms(&f.whole, 0.99), "", true, true)
	add("page of the log, p50", ms(&h.pages, 0.5), "", true, true)
	add("page of the log, p99", ms(&h.pages, 0.99), "", true, true)
	add("pages read", fmt.Sprint(h.pages.count()), "", true, false)
	add("devices done", fmt.Sprintf("%d of %d", f.done.Load(), r.o.devices), "all", int(f.done.Load()) == r.o.devices, false)
	add("records at the server", fmt.Sprintf("%.0f of %d", r.records, want), "all", int(r.records) == want, false)
	add("answers 429: devices, readers", fmt.Sprintf("%d, %d", f.limited.Load(), h.limited.Load()), "", true, false)
	add("came before Retry-After was over", fmt.Sprint(f.impatient.Load()), "0", f.impatient.Load() == 0, false)
	add("requests by the server's own count", r.requests, "", true, false)
	add("other errors of devices", counted(&f.errors), "0", f.errors.total() == 0, false)
	add("other errors of readers", counted(&h.errors), "0", h.errors.total() == 0, false)
	add("RSS of the server, peak", fmt.Sprintf("%d MiB", r.rss>>20), fmt.Sprintf("<= %d MiB", pushMemory>>20), r.rss <= pushMemory, false)
	add("goroutines before, after", fmt.Sprintf("%.0f, %.0f", r.before, r.after), "back", r.calm, false)
	add("what server.Check finds", orNothing(r.problems), "nothing", r.problems == "", false)
	add("whole run", fmt.Sprintf("%.1f s", r.took.Seconds()), "", true, true)
	add("CPU: server, devices and readers", fmt.Sprintf("%.1f s, %.1f s", r.server.Seconds(), r.client.Seconds()), "", true, true)
	return lines
}

func counted(t *tally) string {
	if t.total() == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%s)", t.total(), strings.Join(t.most(), "; "))
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

func (r *pushResult) broken() (why []string) { return r.failed(false) }

func (r *pushResult) late() (why []string) { return r.failed(true) }

func (r *pushResult) failed(timed bool) (why []string) {
	for _, l := range r.lines() {
		if !l.ok && l.time == timed {
			why = append(why, l.what)
		}
	}
	return why
}

func (r *pushResult) print(out io.Writer) {
	fmt.Fprintf(out, "%d devices with %d changes each within %.0f s, %d to a district; %d readers, a page every %s each\n\n",
		r.o.devices, r.o.changes, r.o.seconds, r.o.perDistrict, r.o.readers, r.o.pause)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tfigure\tbound\tverdict")
	for _, l := range r.lines() {
		verdict := "holds"
		switch {
		case l.bound == "":
			verdict = ""
		case !l.ok && l.time:
			verdict = "late"
		case !l.ok:
			verdict = "BROKEN"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", l.what, l.figure, l.bound, verdict)
	}
	_ = w.Flush() // the standard output; what is wrong with it shows to whoever reads it
	fmt.Fprintf(out, "\nload average before %s, at the end %s\n", r.loadBefore, r.during)
}
