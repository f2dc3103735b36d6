// Package storetest is the suite that every engine of the store must pass. It
// says of each case why it is there: most of them are ways in which a server
// has lost, doubled or shown what it must not.
//
// What is always true of it:
//
//   - It knows the contract alone: no SQL, no files, except in [RunFiles].
//   - Every store that a case used ends with a clean Check, so the checks are
//     run against every kind of row.
//   - Loads are bounded by counts, not by time, and random choices come from a
//     seed that a failure prints.
package storetest

import (
	"context"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
)

// Run runs the suite. open returns a fresh, empty store, which the suite
// closes.
func Run(t *testing.T, open func(t *testing.T) store.Store) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			c.run(newBench(t, open(t)))
		})
	}
}

// testCase is one case: a name that reads as a sentence.
type testCase struct {
	name string
	run  func(*bench)
}

func cases() []testCase {
	var all []testCase
	for _, group := range [][]testCase{sequenceCases(), stepCases(), viewCases(), recordCases(), journalCases(), logCases(), inboxCases(), deviceCases(), registryCases()} {
		all = append(all, group...)
	}
	return all
}

// newBench returns a bench on a store that is checked and closed at the end.
func newBench(t *testing.T, s store.Store) *bench {
	t.Helper()
	b := &bench{T: t, s: s}
	t.Cleanup(func() {
		b.check()
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// check reports every violation that the store finds in itself.
func (b *bench) check() {
	b.Helper()
	err := b.s.Check(context.WithoutCancel(b.Context()), func(problem string) { b.Errorf("check: %s", problem) })
	if err != nil {
		b.Errorf("check: %v", err)
	}
}
