package server_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// identity copies server.key from one data folder to a new one.
func identity(t *testing.T, from string) (to string) {
	t.Helper()
	to = t.TempDir()
	key, err := os.ReadFile(filepath.Join(from, "server.key"))
	if err == nil {
		err = os.WriteFile(filepath.Join(to, "server.key"), key, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func TestServersOfOneStoreHaveOneKey(t *testing.T) {
	c := server.Config{Data: t.TempDir(), Store: pgtest.Start(t).Database(t)}
	opened(t, c, func(first *server.Server) {
		other := c
		other.Data = t.TempDir()
		_, err := server.New(other)
		if !errors.Is(err, syncproto.CodeStoreIdentity) || !strings.Contains(err.Error(), first.ID()) || !strings.Contains(err.Error(), "server.key") {
			t.Errorf("a server with another key: %v", err)
		}
		other.Data = identity(t, c.Data)
		opened(t, other, func(s *server.Server) {
			if s.ID() != first.ID() {
				t.Errorf("ids %s and %s", s.ID(), first.ID())
			}
		})
	})
}

// A store that was moved from another engine has no pin yet. Its receipts say
// whose it is, so that a server that was started in a new folder by mistake does
// not make it its own.
func TestAStoreWithReceiptsIsTakenByTheirServerAlone(t *testing.T) {
	database := pgtest.Start(t)
	c := server.Config{Data: t.TempDir(), Store: database.Database(t), URL: "http://127.0.0.1:1"}
	opened(t, c, func(s *server.Server) {
		p := phone(t, s, handlerLink{s.Handler()})
		if _, err := p.Create("site", "35.24.14", sambang.Fields{"name": "x"}); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	database.Exec(t, c.Store, "DELETE FROM servers")
	other := c
	other.Data = t.TempDir()
	for range 2 { // it has not pinned itself in between
		if _, err := server.New(other); !errors.Is(err, syncproto.CodeStoreIdentity) {
			t.Errorf("a server whose receipts are not in the store: %v", err)
		}
	}
	other.Data = identity(t, c.Data)
	opened(t, other, func(*server.Server) {})
}

// The clocks of two servers are minutes apart, and each request of a phone
// meets another of them: they go by the database's.
func TestServersWhoseClocksDifferAgree(t *testing.T) {
	c := server.Config{Data: t.TempDir(), Store: pgtest.Start(t).Database(t), URL: "http://127.0.0.1:1"}
	ahead := func(d time.Duration) func() time.Time { return func() time.Time { return time.Now().Add(d) } }
	opened(t, server.WithLocal(c, ahead(7*time.Minute)), func(a *server.Server) {
		second := c
		second.Data = identity(t, c.Data)
		opened(t, server.WithLocal(second, ahead(-7*time.Minute)), func(b *server.Server) {
			servers, turn := []*server.Server{a, b}, 0
			p := phone(t, a, handlerLink{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				turn++
				servers[turn%2].Handler().ServeHTTP(w, r)
			})})
			for range 6 {
				id, err := p.Create("site", "35.24.14", sambang.Fields{"name": "x"})
				if err != nil {
					t.Fatal(err)
				}
				rep, err := p.Sync(t.Context())
				if err != nil || rep.Requests != 1 {
					t.Errorf("sync: %+v, %v", rep, err)
				}
				if got, err := p.Custody(id); got != sambang.CustodyHeld || err != nil {
					t.Errorf("custody is %s, %v", got, err)
				}
			}
			d, err := b.Devices(t.Context())
			if err != nil || len(d) != 1 || time.Until(d[0].SeenAt).Abs() > time.Minute {
				t.Errorf("seen at %v, %v", d, err)
			}
		})
	})
}

// databaseClock is ahead of this machine's, and answers late or not at all.
type databaseClock struct{ state atomic.Pointer[clockState] }

type clockState struct {
	ahead, late time.Duration
	err         error
}

func (d *databaseClock) set(s clockState) { d.state.Store(&s) }

func (d *databaseClock) Time(ctx context.Context) (int64, error) {
	s := d.state.Load()
	at := time.Now().Add(s.ahead)
	select {
	case <-time.After(s.late):
		return at.Add(s.late / 2).UnixMicro(), s.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// A server goes on by the database's clock while that does not answer, follows
// it when another machine takes its place, and believes no answer that took so
// long that nobody knows of when it is.
func TestTheClockOfADatabaseIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		database := &databaseClock{}
		database.set(clockState{ahead: time.Hour})
		c, err := server.NewSharedClock(t.Context(), database, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		wants := func(ahead time.Duration) {
			t.Helper()
			time.Sleep(time.Minute)
			if got := time.Until(c.Now()); (got - ahead).Abs() > time.Millisecond {
				t.Errorf("ahead by %v, want %v", got, ahead)
			}
		}
		wants(time.Hour)
		database.set(clockState{ahead: 2 * time.Hour, err: errors.New("it is gone")})
		wants(time.Hour)
		database.set(clockState{ahead: 2 * time.Hour})
		wants(2 * time.Hour)
		database.set(clockState{ahead: 3 * time.Hour, late: 2 * time.Second})
		wants(2 * time.Hour)
		database.set(clockState{ahead: 3 * time.Hour, late: time.Hour}) // it hangs
		wants(2 * time.Hour)
		database.set(clockState{ahead: 3 * time.Hour, late: 500 * time.Millisecond})
		wants(3 * time.Hour)
		stop()
		<-done
	})
}

// A clock that a caller gives is the one that counts.
func TestAGivenClockIsNotPutRight(t *testing.T) {
	at := time.Date(2026, 3, 10, 9, 0, 0, 0, time.UTC)
	c := server.Config{Data: t.TempDir(), Store: pgtest.Start(t).Database(t), URL: "http://127.0.0.1:1", Now: func() time.Time { return at }}
	opened(t, c, func(s *server.Server) {
		rec := httptest.NewRecorder()
		s.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v1/time", http.NoBody))
		if !strings.Contains(rec.Body.String(), `"server_time":1773133200000`) {
			t.Errorf("the server says %s", rec.Body)
		}
	})
}

// phone enrols a phone with a server, whom it reaches by a link.
func phone(t *testing.T, s *server.Server, link http.RoundTripper) *sambang.Replica {
	t.Helper()
	ctx := context.Background()
	if err := s.PutOfficer(ctx, server.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}); err != nil {
		t.Fatal(err)
	}
	code, err := s.Enrol(ctx, server.EnrolRequest{Officer: "budi", Grants: syncproto.Grants{{Region: "35.24.14", Classes: []syncproto.Class{"D", "T"}}}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := sambang.Open(filepath.Join(t.TempDir(), "phone"), sambang.Options{Plain: true, Pack: pack.Timpora(), Transport: link})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.Enrol(ctx, code, "HP uji"); err != nil {
		t.Fatal(err)
	}
	return p
}

// handlerLink is a link without a network.
type handlerLink struct{ handler http.Handler }

func (l handlerLink) RoundTrip(r *http.Request) (*http.Response, error) {
	in := r.Clone(r.Context())
	in.RequestURI, in.RemoteAddr = r.URL.RequestURI(), "127.0.0.1:40000"
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	l.handler.ServeHTTP(rec, in)
	return rec.Result(), nil
}
