package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// A stream at one server hears of what a phone pushed to another, and not only
// when it looks for itself; also after the connection by which it hears was cut.
func TestAStreamHearsOfWhatAnotherServerTook(t *testing.T) {
	database := pgtest.Start(t)
	c := server.WithPoll(server.Config{Data: t.TempDir(), Store: database.Database(t), URL: "http://127.0.0.1:1", Listen: "127.0.0.1:0"}, time.Hour)
	opened(t, c, func(a *server.Server) {
		running(t, a)
		second := c
		second.Data = identity(t, c.Data)
		opened(t, second, func(b *server.Server) {
			running(t, b)
			names := follow(t, a)
			p := phone(t, b, handlerLink{b.Handler()})
			push := func(name string) {
				t.Helper()
				if _, err := p.Create("site", "35.24.14", sambang.Fields{"name": name}); err != nil {
					t.Fatal(err)
				}
				if _, err := p.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				select {
				case got := <-names:
					if got != name {
						t.Errorf("heard of %q, want %q", got, name)
					}
				case <-time.After(time.Minute):
					t.Fatalf("did not hear of %q", name)
				}
			}
			push("first")
			push("second")
			database.Exec(t, c.Store, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()`)
			push("missed, or heard on the next connection")
			push("heard again")
		})
	})
}

// running runs a server until the test ends, before it is closed.
func running(t *testing.T, s *server.Server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	if _, err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// follow follows the log at a server, and tells the names of the records.
func follow(t *testing.T, s *server.Server) <-chan string {
	t.Helper()
	token, err := s.Token(server.Person{Subject: "pusat", Role: server.Viewer, Regions: []syncproto.Region{"35"}, Classes: []syncproto.Class{"D", "T"}}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr.String()+"/v1/log?follow=true", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/x-ndjson")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %d", res.StatusCode)
	}
	names := make(chan string, 10)
	lines := bufio.NewScanner(res.Body)
	lines.Scan() // its first cursor: it has begun to follow
	go func() {
		for lines.Scan() {
			var line struct {
				Entry *struct {
					Doc map[string]any `json:"doc"`
				} `json:"entry"`
			}
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Entry != nil {
				name, _ := line.Entry.Doc["name"].(string)
				names <- name
			}
		}
	}()
	return names
}
