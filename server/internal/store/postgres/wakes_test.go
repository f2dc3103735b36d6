package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/store/postgres"
)

// Each server hears the others and not itself, and the end of what it hears by.
func TestServersTellEachOther(t *testing.T) {
	tellEachOther(t, database(t))
}

func tellEachOther(t *testing.T, address string) {
	t.Helper()
	servers := [3]*postgres.Store{}
	var heard [3]chan struct{}
	var ended [3]chan error
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range servers {
		s := open(t, address, postgres.Options{})
		servers[i], heard[i], ended[i] = s, make(chan struct{}, 100), make(chan error, 1)
		go func() { ended[i] <- s.Hear(ctx, func() { heard[i] <- struct{}{} }) }()
	}
	hears := func(i int) {
		t.Helper()
		select {
		case <-heard[i]:
		case err := <-ended[i]:
			t.Fatalf("server %d: %v", i, err)
		case <-time.After(time.Minute):
			t.Fatalf("server %d hears nothing", i)
		}
	}
	for i := range servers {
		hears(i) // it listens
	}
	for i, s := range servers {
		if err := s.Tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		hears((i + 1) % 3)
		hears((i + 2) % 3)
	}
	for i := range servers { // what was told comes in order: an echo of its own would be here by now
		if n := len(heard[i]); n > 0 {
			t.Errorf("server %d was told %d times too much", i, n)
		}
	}

	sqlOn(t, address, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database() AND pid <> pg_backend_pid()`)
	for i := range servers {
		if err := <-ended[i]; err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("server %d ended with %v", i, err)
		}
	}
	go func() { ended[0] <- servers[0].Hear(ctx, func() { heard[0] <- struct{}{} }) }()
	hears(0)
	stop()
	if err := <-ended[0]; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
