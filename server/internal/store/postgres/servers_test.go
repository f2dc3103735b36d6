package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// two opens two servers on one database.
func two(t *testing.T) (address string, a, b *postgres.Store) {
	address = database(t)
	return address, open(t, address, postgres.Options{}), open(t, address, postgres.Options{})
}

// A token that one server took, another refuses, also at the same moment.
func TestATokenIsUsedOnceAcrossServers(t *testing.T) {
	_, a, b := two(t)
	const now = 1_800_000_000_000
	use := func(s *postgres.Store, device, jti string, now int64) bool {
		fresh, err := s.UseToken(t.Context(), device, jti, now+150_000, now)
		if err != nil {
			t.Error(err)
		}
		return fresh
	}
	for i := range 20 {
		var won atomic.Int64
		var all sync.WaitGroup
		for j := range 8 {
			all.Go(func() {
				if use([]*postgres.Store{a, b}[j%2], "dev-1", fmt.Sprintf("jti-%d", i), now) {
					won.Add(1)
				}
			})
		}
		if all.Wait(); won.Load() != 1 {
			t.Errorf("%d callers were told that a token is fresh", won.Load())
		}
	}
	if !use(a, "dev-2", "jti-0", now) {
		t.Error("the token of another device counts as used")
	}
	// Whatever the clocks of the servers are, within the slack.
	if use(b, "dev-1", "jti-0", now+150_000+store.TokenSlack) || use(a, "dev-1", "jti-0", now-store.TokenSlack) {
		t.Error("a used token is fresh for a server with another clock")
	}
}

// Tokens that no server takes any more are not kept for ever.
func TestTokensAreForgotten(t *testing.T) {
	address, a, _ := two(t)
	now := int64(1_800_000_000_000)
	for i := range 100 {
		if _, err := a.UseToken(t.Context(), "dev-1", fmt.Sprintf("jti-%d", i), now+150_000, now); err != nil {
			t.Fatal(err)
		}
		now += store.TokenSlack / 10
	}
	if n := query(t, address, `SELECT count(*)::text FROM used_tokens`)[0]; len(n) > 2 {
		t.Errorf("%s of 100 tokens are kept", n)
	}
}

// The commit of a token does not wait for the disk, and every other does.
func TestATokenIsRememberedLazily(t *testing.T) {
	address, a, _ := two(t)
	sqlOn(t, address, `CREATE TABLE seen (setting text)`)
	sqlOn(t, address, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO seen VALUES (TG_TABLE_NAME || current_setting(''synchronous_commit'')); RETURN NEW; END'`)
	for _, table := range []string{"used_tokens", "records"} {
		sqlOn(t, address, `CREATE TRIGGER note BEFORE INSERT ON `+table+` FOR EACH ROW EXECUTE FUNCTION note()`)
	}
	if _, err := a.UseToken(t.Context(), "dev-1", "jti", 1, 1); err != nil {
		t.Fatal(err)
	}
	if err := a.Update(t.Context(), storetest.OneStep(storetest.Next)); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(query(t, address, `SELECT setting FROM seen ORDER BY 1`), " "); got != "recordson used_tokensoff" {
		t.Errorf("synchronous_commit was %q", got)
	}
	for _, pool := range []string{"writers", "readers"} {
		if got := postgres.Setting(t.Context(), a, pool, "synchronous_commit"); got != "on" {
			t.Errorf("synchronous_commit of the %s is %s afterwards", pool, got)
		}
	}
}

// Of servers with different keys that start at once, one has its way.
func TestOneServerIsPinned(t *testing.T) {
	_, a, b := two(t)
	if got, err := a.PinnedServer(t.Context()); got != "" || err != nil {
		t.Errorf("a new store is that of %q, %v", got, err)
	}
	got := make([]string, 8)
	var all sync.WaitGroup
	for i := range got {
		all.Go(func() {
			var err error
			if got[i], err = []*postgres.Store{a, b}[i%2].PinServer(t.Context(), fmt.Sprintf("srv-%d", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	pinned, err := b.PinnedServer(t.Context())
	if err != nil || pinned == "" {
		t.Fatalf("pinned %q, %v", pinned, err)
	}
	for i := range got {
		if got[i] != pinned {
			t.Errorf("one was told %q, the store says %q", got[i], pinned)
		}
	}
}

func TestTheClockIsThatOfTheDatabase(t *testing.T) {
	_, a, _ := two(t)
	before := time.Now()
	got, err := a.Time(t.Context())
	if at := time.UnixMicro(got); err != nil || at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("the database's clock says %v, %v", at, err)
	}
}

// What servers agree on survives that all connections are lost.
func TestServersAgreeAfterALostConnection(t *testing.T) {
	address, a, _ := two(t)
	for i := range 5 {
		sqlOn(t, address, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		if fresh, err := a.UseToken(context.Background(), "dev-1", fmt.Sprintf("jti-%d", i), 1, 1); !fresh || err != nil {
			t.Errorf("after a lost connection: %v, %v", fresh, err)
		}
	}
}
