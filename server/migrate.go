package server

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"strings"

	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/move"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// Migration is what [Migrate] needs. From and To are required.
type Migration struct {
	// From is the file to move, sqlite:/path/to/sambang.db.
	From string
	// To is the database to move it to, postgres://... Its user must own the
	// schema and may make temporary views, and there is no pooler in between. It
	// may hold a password, so it is in no error.
	To string
	// WithDamage takes damaged rows along as they are, so that they are known as
	// damaged there too. Default: a store with problems is not moved.
	WithDamage bool
	// Pack is that of the server. Default: the embedded Timpora pack.
	Pack *pack.Pack
	// Seed chooses the rows that are compared byte for byte. Default: a random
	// one.
	Seed uint64
	// Progress is told how far the move is, many times a second. Default: nobody
	// is told.
	Progress func(MigrationProgress)
	// Problem is told of each problem that is found. Default: nobody is told.
	Problem func(string)
}

// MigrationProgress is how far a move is.
type MigrationProgress = move.Progress

// MigrationResult is what a move did.
type MigrationResult = move.Result

// Migrate moves a store to another database. A server may go on serving the
// file meanwhile: it reads, and refuses writes, so that devices keep what they
// have and come again. When Migrate returns nil, nobody can write the file any
// more, and the database is the store, with the same history: a server with the
// same identity (server.key) serves it with Config.Store, and no device notices.
//
// When it fails or is killed, the same call goes on where it was. Until it has
// returned nil no server can open the database. Errors carry the codes
// move_direction, store_address, store_moved, store_occupied, store_damaged and
// store_differs.
func Migrate(ctx context.Context, c Migration) (_ MigrationResult, err error) {
	from, to, err := c.sides()
	if err != nil {
		return MigrationResult{}, err
	}
	if c.Pack == nil {
		c.Pack = pack.Timpora()
	}
	if c.Seed == 0 {
		var b [8]byte
		_, _ = rand.Read(b[:]) // never fails
		c.Seed = binary.BigEndian.Uint64(b[:])
	}
	source, err := sqlite.OpenSource(ctx, from, sqlite.Options{})
	if err != nil {
		return MigrationResult{}, err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := postgres.OpenTarget(ctx, to, postgres.Options{})
	if err != nil {
		return MigrationResult{}, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	return move.Run(ctx, move.Config{
		Source: source, Target: target, WithDamage: c.WithDamage, Seed: c.Seed, Progress: c.Progress, Problem: c.Problem,
		Check: func(ctx context.Context, s store.Store, report func(string)) error {
			return engine.New(engine.Config{Store: s, Pack: c.Pack}).Check(ctx, report)
		},
	})
}

// sides reads the two addresses. What can't be read is not shown: it may hold a
// password.
func (c Migration) sides() (file, url string, err error) {
	file, isFile := strings.CutPrefix(c.From, "sqlite:")
	toFile := strings.HasPrefix(c.To, "sqlite:")
	fromURL, toURL := isPostgres(c.From), isPostgres(c.To)
	switch {
	case fromURL || toFile:
		return "", "", syncproto.Errorf(syncproto.CodeMoveDirection, "a store moves from sqlite: to postgres://")
	case !isFile || file == "":
		return "", "", syncproto.Errorf(syncproto.CodeMoveDirection, "what is moved does not begin with sqlite:")
	case !toURL:
		return "", "", syncproto.Errorf(syncproto.CodeStoreAddress, "where it is moved to does not begin with postgres://")
	}
	return file, c.To, nil
}
