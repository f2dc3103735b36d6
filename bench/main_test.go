package main

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/bench/internal/workload"
)

func bench(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, progress bytes.Buffer
	err = run(t.Context(), args, &out, &progress)
	return out.String(), progress.String(), err
}

func TestWriteAndVerifyPrintTheOriginalsHashes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	const inspections = "e9a80c67ea73be94f7449ae2aac887e70ba58614c5aab43893915aab382bb5e3"
	for _, option := range []string{"-write", "-verify"} {
		out, _, err := bench(t, option, dir, "-n", "1500")
		if err != nil {
			t.Fatalf("%s: %v", option, err)
		}
		if !strings.HasPrefix(out, inspections) || strings.Count(out, "\n") != 3 {
			t.Errorf("%s printed:\n%s", option, out)
		}
	}
	if _, _, err := bench(t, "-verify", dir, "-n", "1500", "-seed", "7"); !errors.Is(err, workload.ErrDiffers) {
		t.Errorf("verify with another seed: %v", err)
	}
}

func TestTheLimitsFillATableAndLeaveNothingBehind(t *testing.T) {
	scratch := t.TempDir()
	out, progress, err := bench(t, "-scenario", "L", "-runs", "1", "-n", "1200", "-dir", scratch)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "runs: 1, 1200 records") || strings.Count(out, "\nL ") != 3 {
		t.Errorf("table:\n%s", out)
	}
	if !strings.Contains(progress, "L run 1 of 1") {
		t.Errorf("progress: %q", progress)
	}
	if left, err := os.ReadDir(scratch); err != nil || len(left) != 0 {
		t.Errorf("%d entries left in the scratch directory, error %v", len(left), err)
	}
}

func TestListNamesEveryScenarioOnce(t *testing.T) {
	out, _, err := bench(t, "-list")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios(100_000) {
		if strings.Count("\n"+out, "\n"+s.title()+" ") != 1 {
			t.Errorf("scenario %s in:\n%s", s.title(), out)
		}
	}
}

func TestWrongOptionsAreRefused(t *testing.T) {
	for _, args := range [][]string{
		{"-scenario", "nothing"}, {"-scenario", "L,L"}, {"-runs", "0"}, {"-n", "10"}, {"-seed", "0"}, {"-seed", "4294967296"}, {"L"}, {"-nothing"},
	} {
		if out, _, err := bench(t, args...); err == nil || out != "" {
			t.Errorf("%q: error %v, output %q", args, err, out)
		}
	}
	if _, usage, err := bench(t, "-help"); !errors.Is(err, flag.ErrHelp) || !strings.Contains(usage, "-scenario") {
		t.Errorf("help: error %v, text %q", err, usage)
	}
}
