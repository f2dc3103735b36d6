package main

import (
	"slices"
	"sync"
	"time"
)

// samples are times of one kind. It is safe for concurrent use; the zero value is empty.
type samples struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *samples) add(d time.Duration) {
	s.mu.Lock()
	s.all = append(s.all, d)
	s.mu.Unlock()
}

func (s *samples) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.all)
}

// at returns the time that a part of them does not exceed: the nearest rank, so that no time is shown that was
// not seen; 0 if there are none.
func (s *samples) at(part float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s.all))
	rank := int(part*float64(len(sorted)) + 0.999999)
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// tally counts by name. It is safe for concurrent use; the zero value is empty.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) add(name string) {
	t.mu.Lock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[name]++
	t.mu.Unlock()
}

func (t *tally) get(name string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n[name]
}

// total counts all.
func (t *tally) total() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.n {
		n += c
	}
	return n
}

// most returns the names with their counts, the most frequent first.
func (t *tally) most() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var names []string
	for name := range t.n {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int {
		if t.n[a] != t.n[b] {
			return t.n[b] - t.n[a]
		}
		if a < b {
			return -1
		}
		return 1
	})
	return names
}
