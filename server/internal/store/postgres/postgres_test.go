package postgres_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s, err := postgres.Open(t.Context(), database(t), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestDamagedRows(t *testing.T) {
	runDamaged(t, func(t testing.TB) string { return database(t) })
}

// runDamaged runs the suite of damages on databases that database makes.
func runDamaged(t *testing.T, database func(testing.TB) string) {
	t.Helper()
	storetest.RunDamaged(t, func(t *testing.T) (store.Store, func(store.Damage)) {
		address := database(t)
		s, err := postgres.Open(t.Context(), address, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		content := map[string]string{
			"records": `doc = replace(doc::text, '1', '2')::json, state = state || '\x00'`, "changes": `ops = ops || '\x00'`, "past_writes": `value = value || '\x00'`,
			"quarantine": `raw = raw || '\x00'`, "receipts": `body = body || '\x00'`,
		}
		number := map[string]string{"records": "seq", "changes": "seq", "past_writes": "n", "receipts": "n", "quarantine": "0"}
		return s, func(d store.Damage) {
			sqlOn(t, address, `UPDATE `+d.Table+` SET `+content[d.Table]+` WHERE scope = $1 AND `+number[d.Table]+` = $2`, d.Scope, int64(d.Seq)) //nolint:gosec // a test's
		}
	})
}

// pair is two servers on one database: each call goes to the next of them, so
// nothing that one of them knows by itself can hold the contract.
type pair struct {
	stores [2]store.Store
	turn   atomic.Uint64
}

func (p *pair) next() store.Store { return p.stores[p.turn.Add(1)%2] }

func (p *pair) Update(ctx context.Context, steps ...store.Step) error {
	return p.next().Update(ctx, steps...)
}

func (p *pair) View(ctx context.Context, fn func(store.Reader) error) error {
	return p.next().View(ctx, fn)
}

func (p *pair) Check(ctx context.Context, report func(string)) error {
	return p.next().Check(ctx, report)
}

func (p *pair) Backup(ctx context.Context, to string) error { return p.next().Backup(ctx, to) }

func (p *pair) Close() error { return errors.Join(p.stores[0].Close(), p.stores[1].Close()) }

func TestTwoServersAreOneStore(t *testing.T) {
	runPair(t, func(t testing.TB) string { return database(t) })
}

// runPair runs the contract on two servers of one database.
func runPair(t *testing.T, database func(testing.TB) string) {
	t.Helper()
	storetest.Run(t, func(t *testing.T) store.Store {
		address := database(t)
		var p pair
		for i := range p.stores {
			s, err := postgres.Open(t.Context(), address, postgres.Options{Writers: 4, Readers: 4})
			if err != nil {
				t.Fatal(err)
			}
			p.stores[i] = s
		}
		return &p
	})
}

// A hand on the commit sees each of them, and gives the database's own errors;
// when it fails one, nothing of it is there, and when it fails one afterwards,
// all of it is.
func TestAHandOnTheCommit(t *testing.T) {
	address := database(t)
	var before, after error
	s := open(t, address, postgres.Options{Commit: func(do func() error) error {
		if before != nil {
			return before
		}
		return errors.Join(do(), after)
	}})
	put := func() error { return s.Update(t.Context(), storetest.OneStep(storetest.Next)) }
	before = pgtest.ErrNoRoom
	if err := put(); !errors.Is(err, store.ErrFull) {
		t.Errorf("a full disk: %v", err)
	}
	before, after = nil, errors.New("the power went")
	if err := put(); !errors.Is(err, after) {
		t.Errorf("failed afterwards: %v", err)
	}
	after = nil
	if err := put(); err != nil {
		t.Errorf("the next: %v", err)
	}
	if got := query(t, address, `SELECT count(*)::text FROM changes`); got[0] != "2" {
		t.Errorf("%s changes, want 2", got[0])
	}
}
