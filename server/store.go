package server

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/internal/disk"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/syncproto"
)

// StoreFile is the name of the store in the data folder.
const StoreFile = "sambang.db"

// opener opens a store of one engine. Commit is nil, or the checker's hand.
type opener func(ctx context.Context, c Config, commit func(do func() error) error) (store.Store, error)

// engine returns how the store that Config.Store names is opened. The address
// may hold a password wherever it is not what it should be, so the error shows
// nothing of it.
func (c Config) engine() (opener, error) {
	if c.Store == "" {
		return openSQLite, nil
	}
	if isPostgres(c.Store) {
		return openPostgres, nil
	}
	return nil, syncproto.Errorf(syncproto.CodeStoreAddress, "the address of the store does not begin with postgres://")
}

func isPostgres(address string) bool {
	scheme, _, found := strings.Cut(address, "://")
	return found && (scheme == "postgres" || scheme == "postgresql")
}

func openStore(ctx context.Context, c Config) (store.Store, error) {
	open, err := c.engine()
	if err != nil {
		return nil, err
	}
	var commit func(do func() error) error
	if hand := disk.Of(c.Rand); hand != nil { // the checker's
		commit = func(do func() error) error { return hand("commit", do) }
	}
	s, err := open(ctx, c, commit)
	if err != nil {
		return nil, err
	}
	if c.Store == "" && disk.Apart(c.Rand) { // on PostgreSQL they are
		return apart{s}, nil
	}
	return s, nil
}

// apart makes each step of an update a commit of its own.
type apart struct{ store.Store }

// Update implements [store.Store].
func (s apart) Update(ctx context.Context, steps ...store.Step) error {
	for todo := slices.Clone(steps); len(todo) > 0; {
		step, then := todo[0], []store.Step(nil)
		err := s.Store.Update(ctx, store.Step{Scopes: step.Scopes, Do: func(tx store.Tx) (_ []store.Step, err error) {
			then, err = step.Do(tx)
			return nil, err
		}})
		if err != nil {
			return err
		}
		todo = append(todo[1:], then...)
	}
	return nil
}

func openSQLite(ctx context.Context, c Config, commit func(do func() error) error) (store.Store, error) {
	return sqlite.Open(ctx, filepath.Join(c.Data, StoreFile), sqlite.Options{OnDamage: damaged(c.Logger), Commit: commit})
}

func openPostgres(ctx context.Context, c Config, commit func(do func() error) error) (store.Store, error) {
	return postgres.Open(ctx, c.Store, postgres.Options{OnDamage: damaged(c.Logger), Commit: commit, Logger: c.Logger})
}

// damaged logs a row that is not what was written: whoever runs the server has
// to know before anybody asks.
func damaged(logger *slog.Logger) func(*store.Damage) {
	return func(d *store.Damage) {
		logger.Error("the store is damaged: run sambangd check", "table", d.Table, "scope", d.Scope, "seq", d.Seq, "id", d.Key)
	}
}

// DefaultRolePrefix begins the names of the roles in a PostgreSQL database.
const DefaultRolePrefix = postgres.DefaultPrefix

// RolesSQL returns the SQL with which an administrator of PostgreSQL makes the
// roles of a store, in its database: prefix_owner, prefix_server, and
// prefix_reader. It can be run again.
func RolesSQL(prefix string) (string, error) { return postgres.Roles(prefix) }

// PrepareStore makes or upgrades the tables of the PostgreSQL database at an
// address, as the role that owns it, and gives the roles of [RolesSQL] what
// they need. It reports whether headquarters' reads have their second lock: that
// PostgreSQL itself holds each reader to his grants.
func PrepareStore(ctx context.Context, address string) (locked bool, err error) {
	c := Config{Store: address}
	if _, err := c.engine(); err != nil {
		return false, err
	}
	if address == "" {
		return false, syncproto.Errorf(syncproto.CodeStoreAddress, "the address of a PostgreSQL database is needed")
	}
	s, err := postgres.Open(ctx, address, postgres.Options{})
	if err != nil {
		return false, err
	}
	return s.Locked(), s.Close()
}
