package table_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/bench/internal/table"
	"github.com/sambang-id/sambang/bench/internal/usage"
)

// script yields the figures of one run after the other.
type script struct {
	runs [][]table.Figure
	dirs []string
	err  error
}

func (s *script) Run(_ context.Context, dir string) ([]table.Figure, error) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		return nil, errors.New("not an empty directory")
	}
	if err := os.WriteFile(filepath.Join(dir, "left"), nil, 0o600); err != nil {
		return nil, err
	}
	s.dirs = append(s.dirs, dir)
	if len(s.runs) == 0 {
		return nil, s.err
	}
	f := s.runs[0]
	s.runs = s.runs[1:]
	return f, nil
}

func (s *script) Close() error { return nil }

func measure(t *testing.T, tb *table.Table, name string, runs ...[]table.Figure) {
	t.Helper()
	if err := tb.Measure(t.Context(), name, &script{runs: runs}, len(runs), t.TempDir(), nil); err != nil {
		t.Fatal(err)
	}
}

func one(f ...table.Figure) []table.Figure { return f }

func TestMediansAreOfTheRunsAndRatiosOfEachRunsOwnFloor(t *testing.T) {
	took := func(v, floor time.Duration) []table.Figure {
		return one(table.Took("save", time.Millisecond, v, floor, table.RatioAtMost(1.3)))
	}
	var tb table.Table
	const ms = time.Millisecond
	measure(t, &tb, "odd", took(2*ms, 1*ms), took(30*ms, 25*ms), took(4*ms, 4*ms))
	measure(t, &tb, "even", took(2*ms, 2*ms), took(4*ms, 2*ms))
	want := []table.Row{
		{Scenario: "odd", Name: "save", Unit: "ms", Target: table.RatioAtMost(1.3),
			Figure: table.Spread{Median: 4, Min: 2, Max: 30}, Floor: table.Spread{Median: 4, Min: 1, Max: 25}, Ratio: table.Spread{Median: 1.2, Min: 1, Max: 2}},
		{Scenario: "even", Name: "save", Unit: "ms", Target: table.RatioAtMost(1.3),
			Figure: table.Spread{Median: 3, Min: 2, Max: 4}, Floor: table.Spread{Median: 2, Min: 2, Max: 2}, Ratio: table.Spread{Median: 1.5, Min: 1, Max: 2}},
	}
	if diff := cmp.Diff(want, tb.Rows, cmp.Comparer(func(a, b table.Target) bool { return a == b })); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if met, all := tb.Targets(); met != 1 || all != 2 {
		t.Errorf("%d of %d targets met, want 1 of 2", met, all)
	}
}

func TestVerdictIsOfTheMedianAndItsTarget(t *testing.T) {
	for _, tc := range []struct {
		name   string
		figure table.Figure
		want   string
	}{
		{"no target", table.Count("n", "records", 5, table.Target{}), ""},
		{"at most, equal", table.Count("n", "records", 5, table.AtMost(5)), "met"},
		{"at most, above", table.Count("n", "records", 5.1, table.AtMost(5)), "missed"},
		{"at most nothing", table.Count("lost", "edits", 1, table.AtMost(0)), "missed"},
		{"at least, equal", table.Count("n", "records/s", 8000, table.AtLeast(8000)), "met"},
		{"at least, below", table.Count("n", "records/s", 7999, table.AtLeast(8000)), "missed"},
		{"kilobytes", table.Bytes("wire", 16_000, table.AtMost(16)), "met"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var tb table.Table
			measure(t, &tb, "X", one(tc.figure))
			if got := tb.Rows[0].Verdict(); got != tc.want {
				t.Errorf("%q, want %q", got, tc.want)
			}
		})
	}
}

func TestMeasureGivesEachRunAnEmptyDirectoryAndRemovesIt(t *testing.T) {
	scratch := t.TempDir()
	s := &script{runs: [][]table.Figure{nil, nil, nil}}
	var told []int
	if err := new(table.Table).Measure(t.Context(), "X", s, 3, scratch, func(run int) { told = append(told, run) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{1, 2, 3}, told); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	left, err := os.ReadDir(scratch)
	if err != nil || len(left) != 0 || len(s.dirs) != 3 {
		t.Errorf("%d runs, %d directories left, error %v", len(s.dirs), len(left), err)
	}
}

func TestMeasureRefuses(t *testing.T) {
	broken := errors.New("the disk is full")
	a := table.Count("a", "n", 1, table.Target{})
	b := table.Count("b", "n", 1, table.Target{})
	for _, tc := range []struct {
		name string
		s    *script
		runs int
		is   error
	}{
		{"a run that fails", &script{runs: [][]table.Figure{one(a)}, err: broken}, 2, broken},
		{"runs with other figures", &script{runs: [][]table.Figure{one(a), one(b)}}, 2, table.ErrUneven},
		{"runs with fewer figures", &script{runs: [][]table.Figure{one(a, b), one(a)}}, 2, table.ErrUneven},
		{"a target for a ratio without a floor", &script{runs: [][]table.Figure{one(table.Count("a", "n", 1, table.RatioAtMost(2)))}}, 1, nil},
		{"no run", &script{}, 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var tb table.Table
			err := tb.Measure(t.Context(), "X", tc.s, tc.runs, t.TempDir(), nil)
			if err == nil || tc.is != nil && !errors.Is(err, tc.is) || len(tb.Rows) != 0 {
				t.Errorf("error %v, %d rows", err, len(tb.Rows))
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := new(table.Table).Measure(ctx, "X", &script{runs: [][]table.Figure{nil}}, 1, t.TempDir(), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("after a cancel: %v", err)
	}
}

func example(t *testing.T) *table.Table {
	var tb table.Table
	measure(t, &tb, "A local save",
		one(table.Took("per record", time.Millisecond, 470*time.Microsecond, 390*time.Microsecond, table.RatioAtMost(1.3))))
	measure(t, &tb, "F 20 devices", append(
		one(table.Count("accepted", "records/s", 7250.4, table.AtLeast(8000)), table.Bytes("wire up", 2_471_830, table.Target{})),
		table.Spent("server", usage.Usage{CPU: 1234567 * time.Microsecond, PeakRSS: 96_400_000})...))
	return &tb
}

func TestTextIsAligned(t *testing.T) {
	want := strings.TrimPrefix(`
scenario      figure              median      min - max  unit       floor  ratio      min - max   target  verdict
A local save  per record           0.470  0.470 - 0.470  ms         0.390  1.21x  1.21x - 1.21x  ≤ 1.30x  met
F 20 devices  accepted             7,250  7,250 - 7,250  records/s                               ≥ 8,000  missed
F 20 devices  wire up              2,472  2,472 - 2,472  KB
F 20 devices  server CPU            1.23    1.23 - 1.23  s
F 20 devices  server peak memory    96.4    96.4 - 96.4  MB
`, "\n")
	var got bytes.Buffer
	if err := example(t).WriteText(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

func TestMarkdownHasOneLineForEachRow(t *testing.T) {
	var got bytes.Buffer
	if err := example(t).WriteMarkdown(&got); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(got.String(), "\n")
	want := []string{
		"| scenario | figure | median | min - max | unit | floor | ratio | min - max | target | verdict |",
		"|---|---|---:|---:|---|---:|---:|---:|---:|---|",
		"| A local save | per record | 0.470 | 0.470 - 0.470 | ms | 0.390 | 1.21x | 1.21x - 1.21x | ≤ 1.30x | met |",
	}
	if diff := cmp.Diff(want, lines[:3]); diff != "" || len(lines) != 8 {
		t.Errorf("%d lines, the first three (-want +got):\n%s", len(lines), diff)
	}
}

func TestNumbersHaveThreeDigitsThatCount(t *testing.T) {
	for want, v := range map[string]float64{
		"0": 0, "3": 3, "0.00123": 0.0012345, "0.391": 0.39149, "1.00": 1.0001, "12.3": 12.345, "123": 123.4, "1,235": 1234.6,
		"18,516,840": 18516840, "-7.28": -7.281253, "-1,000": -1000,
	} {
		var tb table.Table
		measure(t, &tb, "X", one(table.Count("n", "n", v, table.Target{})))
		var got bytes.Buffer
		if err := tb.WriteMarkdown(&got); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.String(), "| X | n | "+want+" |") {
			t.Errorf("%v: want %s in\n%s", v, want, got.String())
		}
	}
}
