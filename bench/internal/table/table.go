// Package table runs scenarios several times and prints one table of what they took.
//
// What is always true of it:
//   - every number is a median over the runs, with the least and the greatest beside it;
//   - a ratio is the median of the ratios of the runs, each figure over the floor of its own run, so that
//     a machine that was slow for a while is slow in both;
//   - figures of several stores are columns of one row, and their ratio is the median of the ratios of
//     the runs too;
//   - a verdict is of the median: "met", "missed", or nothing where there is no target.
package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
)

// ErrUneven is returned when the runs of a scenario do not yield the same figures.
var ErrUneven = errors.New("runs of one scenario yield different figures")

// Scenario is one thing to measure.
type Scenario interface {
	// Run does it once, and its floors beside it. dir is an empty directory of the run, removed after it.
	// Every run yields figures of the same names, units and targets, in the same order.
	Run(ctx context.Context, dir string) ([]Figure, error)
	// Close ends what the scenario keeps between runs.
	Close() error
}

// Figure is one number of one run.
type Figure struct {
	Name   string
	Unit   string
	Value  float64 // in Unit
	Floor  float64 // in Unit, of the same run. Zero: there is none.
	Target Target  // the zero Target: none
}

// Row is a figure over all runs, of one store.
type Row struct {
	Scenario string
	Store    string // "" for what needs none, and where there is one alone
	Name     string
	Unit     string
	Figure   Spread
	Floor    Spread // zero without a floor
	Ratio    Spread // zero without a floor
	Beside   Spread // over the figure of the first store, run by run; zero for that itself
	Target   Target
}

// Spread is a number over the runs.
type Spread struct{ Median, Min, Max float64 }

// Verdict is "met", "missed", or empty without a target.
func (r Row) Verdict() string {
	switch {
	case r.Target == Target{}:
		return ""
	case r.Target.met(r.Figure.Median, r.Ratio.Median):
		return "met"
	default:
		return "missed"
	}
}

// Table is the rows to print. The zero value is empty.
type Table struct{ Rows []Row }

// On is a scenario on one store.
type On struct {
	Store    string
	Scenario Scenario
}

// Measure runs a scenario, which is called name in the table, several times in directories under scratch,
// and adds its rows. progress, unless nil, is told before each run which it is, from 1. Garbage of an
// earlier run is given back to the system first, so that no run pays for it. On an error nothing is
// added.
func (t *Table) Measure(ctx context.Context, name string, s Scenario, runs int, scratch string, progress func(run int)) error {
	return t.Compare(ctx, name, []On{{Scenario: s}}, runs, scratch, func(run int, _ string) {
		if progress != nil {
			progress(run)
		}
	})
}

// Compare is Measure of a scenario on several stores: each run is one on each, in turn, so that they
// share what the machine was like. Their figures come beside each other.
func (t *Table) Compare(ctx context.Context, name string, on []On, runs int, scratch string, progress func(run int, store string)) error {
	if runs < 1 {
		return fmt.Errorf("measure %s: %d runs", name, runs)
	}
	all := make([][][]Figure, len(on))
	for run := 1; run <= runs; run++ {
		for i, o := range on {
			if progress != nil {
				progress(run, o.Store)
			}
			figures, err := once(ctx, o.Scenario, scratch)
			if err != nil {
				return fmt.Errorf("measure %s: run %d of %d: %w", strings.TrimSpace(name+" "+o.Store), run, runs, err)
			}
			all[i] = append(all[i], figures)
		}
	}
	var rows []Row
	for i, o := range on {
		more, err := summarize(name, o.Store, all[i])
		if err != nil {
			return fmt.Errorf("measure %s: %w", strings.TrimSpace(name+" "+o.Store), err)
		}
		if i > 0 {
			beside(more, all[i], all[0])
		}
		rows = append(rows, more...)
	}
	t.Rows = append(t.Rows, rows...)
	return nil
}

// beside sets the ratios to the figures of the same names and units in the runs of the first store.
func beside(rows []Row, runs, first [][]Figure) {
	for i, f := range runs[0] {
		at := slices.IndexFunc(first[0], func(o Figure) bool { return o.Name == f.Name && o.Unit == f.Unit })
		if at < 0 {
			continue
		}
		var ratios []float64
		for n := range runs {
			if first[n][at].Value > 0 {
				ratios = append(ratios, runs[n][i].Value/first[n][at].Value)
			}
		}
		rows[i].Beside = spread(ratios)
	}
}

// Targets returns how many targets are met, and how many there are.
func (t *Table) Targets() (met, all int) {
	for _, r := range t.Rows {
		switch r.Verdict() {
		case "met":
			met++
			all++
		case "missed":
			all++
		}
	}
	return met, all
}

func once(ctx context.Context, s Scenario, scratch string) (figures []Figure, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(scratch, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	debug.FreeOSMemory()
	return s.Run(ctx, dir)
}

func summarize(name, store string, runs [][]Figure) ([]Row, error) {
	var rows []Row
	for i, first := range runs[0] {
		var values, floors, ratios []float64
		for n, figures := range runs {
			if len(figures) != len(runs[0]) {
				return nil, fmt.Errorf("%d figures in run 1, %d in run %d: %w", len(runs[0]), len(figures), n+1, ErrUneven)
			}
			f := figures[i]
			if f.Name != first.Name || f.Unit != first.Unit || f.Target != first.Target || (f.Floor > 0) != (first.Floor > 0) {
				return nil, fmt.Errorf("%s (%s) in run 1, %s (%s) in run %d, or their targets or floors: %w", first.Name, first.Unit, f.Name, f.Unit, n+1, ErrUneven)
			}
			values = append(values, f.Value)
			if f.Floor > 0 {
				floors, ratios = append(floors, f.Floor), append(ratios, f.Value/f.Floor)
			}
		}
		if first.Target.of == ratio && len(ratios) == 0 {
			return nil, fmt.Errorf("%s has a target for its ratio and no floor", first.Name)
		}
		rows = append(rows, Row{Scenario: name, Store: store, Name: first.Name, Unit: first.Unit,
			Figure: spread(values), Floor: spread(floors), Ratio: spread(ratios), Target: first.Target})
	}
	return rows, nil
}

func spread(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return Spread{Median: (v[(n-1)/2] + v[n/2]) / 2, Min: v[0], Max: v[n-1]}
}
