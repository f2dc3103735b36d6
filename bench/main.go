// Command bench measures sambang on the workload that its peers were measured with, each figure beside the
// floor of its own run, and prints one table.
//
//	go run ./bench                      every scenario, five runs each
//	go run ./bench -scenario A,B -runs 7
//	go run ./bench -store postgres -scenario F,N -size 1000000
//	go run ./bench -list                what the scenarios are
//	go run ./bench -write DIR           write the workload's files and verify them
//	go run ./bench -verify DIR          compare files, of the original too, with the workload
//
// What is always true of it:
//   - it reaches sambang through the SDK's and the server's public import paths, as an application does;
//   - everything it writes is in one scratch directory, removed at the end; when that is in memory, where
//     an fsync is free, it says so;
//   - each scenario with a server runs on each store, in turn, run by run; the PostgreSQL is one that the
//     bench starts, on the disk of its scratch directory, with fsync on, unless -postgres names another;
//   - the table is written to the standard output, progress to the standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/workload"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp): // the text is printed
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// scenario is an entry of the list. Its constructor may take long: it is not measured.
type scenario struct {
	key   string // what -scenario names
	about string
	open  func(context.Context, env) (table.Scenario, error)
	// size is that of the store, which the table names; 0: of no matter.
	size int
	// phone: there is no server in it, so it runs once for all stores.
	phone bool
}

// title is what the table calls the scenario.
func (s scenario) title() string {
	if s.size == 0 {
		return s.key
	}
	return fmt.Sprintf("%s %d", s.key, s.size)
}

// env is what a scenario is made from. It is shared by all of them.
type env struct {
	// set is the workload, made when it is first asked for.
	set func() (*workload.Set, error)
	// dir outlives the runs: for what a scenario keeps between them.
	dir string
	// keep keeps the stores of its servers.
	keep keeper
	// grown is the store of the scenario N, which its sizes share.
	grown *grown
	// profile is where the server's process writes its CPU profiles, "" for none.
	profile string
}

// onlySQLite is a target that was set for one store, and says nothing of another's floor.
func (e env) onlySQLite(t table.Target) table.Target {
	if e.keep.name() != onSQLite {
		return table.Target{}
	}
	return t
}

// scenarios are in the order in which they run.
func scenarios(size int) []scenario {
	return append([]scenario{
		{"L", "limits of this machine: bare bbolt and SQLite, the floors of A, B and C alone", openLimits, 0, true},
		{"A", "a phone saves, one durable write each, beside the same fsyncs through bare bbolt", openSaves, 0, true},
		{"B", "first push of everything to an empty server, beside bare inserts of the same rows", openFirstPush, 0, false},
		{"C", "first pull by a new phone, beside bare bbolt puts", openFirstPull, 0, false},
		{"D", "reconnect with 60 changes up and 40 down, on a plain and on a village link", openReconnects, 0, false},
		{"E", "concurrent edits: visible, hidden, lost", openConflicts, 0, false},
		{"F", "20 phones push 500 records each at once", openManyPush, 0, false},
		{"I", "idle sync with 40,000 records in scope", openIdle, 0, false},
	}, sizeScenarios(size)...)
}

type flags struct {
	scenario, dir, write, verify string
	store, postgres              string
	serve, certs, at, profile    string // the first three for the server's process, see serve.go
	runs, size                   int
	markdown, list               bool
	workload                     workload.Options
}

func parse(args []string, stderr io.Writer) (f flags, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&f.scenario, "scenario", "", "`keys` of the scenarios to run, with commas. Default: all")
	fs.IntVar(&f.runs, "runs", 5, "runs of each scenario")
	fs.StringVar(&f.dir, "dir", "", "`directory` for scratch files, on the disk to measure. Default: the system's temporary directory")
	fs.StringVar(&f.store, "store", "", "`stores` of the servers, with commas: sqlite, postgres. Default: both, or what this machine has")
	fs.StringVar(&f.postgres, "postgres", "", "`URL` of a PostgreSQL, as a role that may make databases. Default: one is started, on the disk of -dir")
	fs.IntVar(&f.size, "size", 100_000, "records up to which the store of N grows; 1,000,000 need some 15 GB of disk")
	fs.BoolVar(&f.markdown, "markdown", false, "print the table as Markdown")
	fs.BoolVar(&f.list, "list", false, "list the scenarios")
	fs.StringVar(&f.write, "write", "", "write the workload's files into `directory` and verify them")
	fs.StringVar(&f.verify, "verify", "", "compare the workload's files in `directory`")
	fs.IntVar(&f.workload.Records, "n", workload.DefaultRecords, "records of the workload")
	fs.StringVar(&f.profile, "profile", "", "write CPU profiles of both sides into `directory`, to see where the time goes")
	fs.StringVar(&f.serve, "serve", "", "for the bench itself: serve this `directory`")
	fs.StringVar(&f.certs, "certs", "", "for the bench itself: with the certificate in this `directory`")
	fs.StringVar(&f.at, "at", "", "for the bench itself: with the store at this `URL`")
	seed := fs.Uint("seed", workload.DefaultSeed, "seed of the workload, above 0")
	if err := fs.Parse(args); err != nil {
		return f, err
	}
	if fs.NArg() > 0 {
		return f, fmt.Errorf("unexpected argument %q: every option begins with a dash", fs.Arg(0))
	}
	if f.runs < 1 {
		return f, fmt.Errorf("-runs %d: at least one run is needed", f.runs)
	}
	if f.workload.Records < workload.MinRecords {
		return f, fmt.Errorf("-n %d: the conflict pairs need %d records", f.workload.Records, workload.MinRecords)
	}
	if f.size < sizes[0] {
		return f, fmt.Errorf("-size %d: the smallest is %d", f.size, sizes[0])
	}
	if *seed == 0 || uint64(*seed) > 1<<32-1 {
		return f, fmt.Errorf("-seed %d: want 1 to %d", *seed, uint32(1<<32-1))
	}
	f.workload.Seed = uint32(*seed)
	return f, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stderr)
	if err != nil {
		return err
	}
	stop, err := profileTo(f.profile, f.serve != "")
	if err != nil {
		return err
	}
	defer stop()
	if f.serve != "" {
		cert, key := "", ""
		if f.certs != "" {
			cert, key = filepath.Join(f.certs, "cert.pem"), filepath.Join(f.certs, "key.pem")
		}
		return serve(ctx, f.serve, f.at, cert, key, os.Stdin, stdout)
	}
	set := sync.OnceValues(func() (*workload.Set, error) { return workload.Generate(f.workload) })
	switch {
	case f.list:
		for _, s := range scenarios(f.size) {
			fmt.Fprintf(stdout, "%-9s %s\n", s.title(), s.about)
		}
		return nil
	case f.write != "" || f.verify != "":
		return files(f, set, stdout)
	}
	chosen, err := choose(f.scenario, f.size)
	if err != nil {
		return err
	}
	return measure(ctx, f, chosen, set, stdout, stderr)
}

// choose returns the scenarios of a list of keys, in the order in which they run.
func choose(keys string, size int) ([]scenario, error) {
	all := scenarios(size)
	if keys == "" {
		return all, nil
	}
	wanted := strings.Split(keys, ",")
	var out []scenario
	for _, s := range all {
		i := slices.Index(wanted, s.key)
		if i >= 0 {
			wanted = slices.Delete(wanted, i, i+1)
		}
		if i >= 0 || len(out) > 0 && out[len(out)-1].key == s.key { // N has an entry for each size
			out = append(out, s)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("no scenario %q, or it is named twice: see bench -list", wanted[0])
	}
	return out, nil
}

func files(f flags, set func() (*workload.Set, error), stdout io.Writer) error {
	s, err := set()
	if err != nil {
		return err
	}
	m := s.Manifest()
	if f.write != "" {
		if m, err = s.Write(f.write); err != nil {
			return err
		}
	}
	if f.verify != "" {
		if err := s.Verify(f.verify); err != nil {
			return err
		}
	}
	for _, l := range []struct {
		name string
		file workload.File
	}{{workload.InspectionsFile, m.Files.Inspections}, {workload.ReconnectFile, m.Files.Reconnect}, {workload.ConflictsFile, m.Files.Conflicts}} {
		fmt.Fprintf(stdout, "%s  %-18s %6d lines %10d bytes\n", l.file.SHA256, l.name, l.file.Lines, l.file.Bytes)
	}
	return nil
}

// measure prints what it has measured even when a later scenario fails.
func measure(ctx context.Context, f flags, chosen []scenario, set func() (*workload.Set, error), stdout, stderr io.Writer) (err error) {
	scratch, err := os.MkdirTemp(f.dir, "sambang-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	if inMemory(scratch) {
		fmt.Fprintf(stderr, "%s is in memory: figures of saves mean nothing there. Choose a disk with -dir\n", scratch)
	}
	if !slices.ContainsFunc(chosen, func(s scenario) bool { return !s.phone }) {
		f.store = onSQLite // nobody is served
	}
	keepers, err := openKeepers(ctx, f, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeKeepers(keepers)) }()
	var envs []env
	var stores []string
	for _, k := range keepers {
		dir := filepath.Join(scratch, k.name())
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		envs = append(envs, env{set: set, dir: dir, profile: f.profile, keep: k, grown: &grown{}})
		stores = append(stores, k.name())
	}
	defer func() {
		for _, e := range envs {
			err = errors.Join(err, e.grown.close())
		}
	}()
	load := loadAverage()
	var t table.Table
	var failed error
	for _, s := range chosen {
		if failed = one(ctx, f, s, &t, envs, scratch, stderr); failed != nil {
			break
		}
	}
	if len(t.Rows) == 0 {
		return failed
	}
	fmt.Fprintf(stdout, "runs: %d, %d records of seed %d, stores: %s, %s %s/%s, %d CPUs%s\n\n",
		f.runs, f.workload.Records, f.workload.Seed, strings.Join(stores, " and "), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), load)
	write := t.WriteText
	if f.markdown {
		write = t.WriteMarkdown
	}
	if err := write(stdout); err != nil {
		return errors.Join(failed, err)
	}
	if met, all := t.Targets(); all > 0 {
		fmt.Fprintf(stdout, "\n%d of %d targets met\n", met, all)
	}
	return failed
}

// one measures a scenario on each store, or on the first alone if it has no server.
func one(ctx context.Context, f flags, s scenario, t *table.Table, envs []env, scratch string, stderr io.Writer) (err error) {
	if s.phone {
		envs = envs[:1]
	}
	var on []table.On
	defer func() {
		for _, o := range on {
			err = errors.Join(err, o.Scenario.Close())
		}
		for _, e := range envs {
			err = errors.Join(err, e.keep.tidy(ctx))
		}
	}()
	for _, e := range envs {
		sc, err := s.open(ctx, e)
		if err != nil {
			return fmt.Errorf("open scenario %s on %s: %w", s.key, e.keep.name(), err)
		}
		on = append(on, table.On{Store: e.keep.name(), Scenario: sc})
	}
	if s.phone {
		on[0].Store = ""
	}
	start := time.Now()
	return t.Compare(ctx, s.title(), on, f.runs, scratch, func(run int, store string) {
		fmt.Fprintf(stderr, "%s run %d of %d, %.1f s\n", strings.TrimSpace(s.title()+" "+store), run, f.runs, time.Since(start).Seconds())
	})
}

// loadAverage is what else the machine does, as text.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if f := strings.Fields(string(b)); err == nil && len(f) > 2 {
		return ", load average " + strings.Join(f[:3], " ") + " before"
	}
	return ""
}
