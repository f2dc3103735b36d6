package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sambang-id/sambang/bench/internal/floor"
	"github.com/sambang-id/sambang/bench/internal/usage"
	"github.com/sambang-id/sambang/internal/pgtest"
)

// The stores that servers are measured on.
const (
	onSQLite   = "sqlite"
	onPostgres = "postgres"
)

// keeper keeps the stores of the bench's servers: each belongs to a data folder.
type keeper interface {
	// name is the title of the store's column.
	name() string
	// address is what the server of a data folder is given as its Store; "" for a file in the folder.
	address(ctx context.Context, data string) (string, error)
	// clone copies a data folder, and the store that belongs to it. Nobody uses it.
	clone(ctx context.Context, from, to string) error
	// floor inserts the rows of a stopped server's tables once more, with nothing around them. dir is empty.
	floor(ctx context.Context, data, dir string, tables ...string) (floor.Result, error)
	// cpu is what the store takes in processes of its own; ok is false if there are none, or it can't be told.
	cpu() (spent time.Duration, ok bool)
	// size is how many bytes a store has on disk.
	size(ctx context.Context, data string) (int64, error)
	// tidy removes the stores whose data folders are gone.
	tidy(ctx context.Context) error
	close() error
}

// openKeepers opens the stores of a list of names; "": all that this machine has. What it leaves out, it says.
func openKeepers(ctx context.Context, f flags, said io.Writer) (out []keeper, err error) {
	names := strings.Split(f.store, ",")
	if f.store == "" {
		names = []string{onSQLite, onPostgres}
	}
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			err = fmt.Errorf("-store names %s twice", name)
			break
		}
		var k keeper
		switch name {
		case onSQLite:
			k = sqliteKeeper{}
		case onPostgres:
			k, err = openPostgres(ctx, f)
			if errors.Is(err, pgtest.ErrMissing) && f.store == "" {
				fmt.Fprintf(said, "NOT MEASURED, the store on PostgreSQL: %v\n", err)
				err = nil
				continue
			}
		default:
			err = fmt.Errorf("-store %q: there are %s and %s", name, onSQLite, onPostgres)
		}
		if err != nil {
			break
		}
		out = append(out, k)
	}
	if err != nil {
		return nil, errors.Join(err, closeKeepers(out))
	}
	return out, nil
}

func closeKeepers(all []keeper) (err error) {
	for _, k := range all {
		err = errors.Join(err, k.close())
	}
	return err
}

// sqliteKeeper has nothing of its own: a store is a file in its folder.
type sqliteKeeper struct{}

func (sqliteKeeper) name() string                                    { return onSQLite }
func (sqliteKeeper) address(context.Context, string) (string, error) { return "", nil }
func (sqliteKeeper) clone(_ context.Context, from, to string) error  { return copyDir(from, to) }
func (sqliteKeeper) cpu() (time.Duration, bool)                      { return 0, false }
func (sqliteKeeper) tidy(context.Context) error                      { return nil }
func (sqliteKeeper) close() error                                    { return nil }

func (sqliteKeeper) floor(ctx context.Context, data, dir string, tables ...string) (floor.Result, error) {
	rows, err := floor.Load(ctx, sub(data, "sambang.db"), tables...)
	if err != nil {
		return floor.Result{}, err
	}
	return floor.Inserts(ctx, dir, rows...)
}

func (sqliteKeeper) size(_ context.Context, data string) (n int64, err error) {
	files, err := filepath.Glob(sub(data, "sambang.db*"))
	for _, name := range files {
		info, e := os.Stat(name)
		if e != nil {
			return 0, e
		}
		n += info.Size()
	}
	return n, err
}

// postgresKeeper has a database for each data folder, on a server that it started, or was told of.
type postgresKeeper struct {
	cluster   *pgtest.Cluster // nil: it runs without us
	server    *url.URL
	databases map[string]string // by data folder
	made      int
}

// postgresConfig is that of a small server of its own: PostgreSQL's defaults are for one that must run anywhere.
//
//nolint:gochecknoglobals // settings, never written to
var postgresConfig = map[string]string{
	"shared_buffers": "512MB", "max_wal_size": "4GB", "fsync": "on", "synchronous_commit": "on",
}

func openPostgres(_ context.Context, f flags) (keeper, error) {
	k := &postgresKeeper{databases: map[string]string{}}
	at := f.postgres
	if at == "" {
		var err error
		if k.cluster, err = pgtest.Run(pgtest.Options{Disk: true, Folder: f.dir, Config: postgresConfig}); err != nil {
			return nil, err
		}
		at = k.cluster.URL()
	}
	var err error
	if k.server, err = url.Parse(at); err != nil {
		return nil, errors.Join(errors.New("-postgres is not a URL"), k.close())
	}
	return k, nil
}

func (k *postgresKeeper) name() string { return onPostgres }

func (k *postgresKeeper) at(name string) string {
	u := *k.server
	u.Path = "/" + name
	return u.String()
}

// exec runs a statement on the server.
func (k *postgresKeeper) exec(ctx context.Context, statement string) (err error) {
	conn, err := pgx.Connect(ctx, k.server.String())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// create makes the database of a data folder.
func (k *postgresKeeper) create(ctx context.Context, data, template string) (string, error) {
	k.made++
	name := fmt.Sprintf("sambang_bench_%d_%d", os.Getpid(), k.made)
	if err := k.exec(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template+` ENCODING 'UTF8'`); err != nil {
		return "", err
	}
	k.databases[data] = name
	return name, nil
}

func (k *postgresKeeper) address(ctx context.Context, data string) (string, error) {
	name, ok := k.databases[data]
	if !ok {
		var err error
		if name, err = k.create(ctx, data, "template0"); err != nil {
			return "", err
		}
	}
	return k.at(name), nil
}

// leaving is how long the connections of a server that has ended may take to be gone.
const leaving = 10 * time.Second

func (k *postgresKeeper) clone(ctx context.Context, from, to string) error {
	if err := copyDir(from, to); err != nil {
		return err
	}
	for began := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		_, err := k.create(ctx, to, k.databases[from])
		var refused *pgconn.PgError
		const inUse = "55006"
		if !errors.As(err, &refused) || refused.Code != inUse || time.Since(began) > leaving {
			return err
		}
	}
}

func (k *postgresKeeper) floor(ctx context.Context, data, _ string, tables ...string) (floor.Result, error) {
	at := k.at(k.databases[data])
	rows, err := floor.LoadCopies(ctx, at, tables...)
	if err != nil {
		return floor.Result{}, err
	}
	return floor.Copies(ctx, at, runtime.GOMAXPROCS(0), rows...)
}

func (k *postgresKeeper) cpu() (time.Duration, bool) {
	if k.cluster == nil {
		return 0, false
	}
	spent, err := usage.Family(k.cluster.PID())
	return spent, err == nil
}

func (k *postgresKeeper) size(ctx context.Context, data string) (n int64, err error) {
	conn, err := pgx.Connect(ctx, k.at(k.databases[data]))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	return n, conn.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&n)
}

func (k *postgresKeeper) tidy(ctx context.Context) error {
	for data, name := range k.databases {
		if _, err := os.Stat(data); err == nil {
			continue
		}
		if err := k.exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			return err
		}
		delete(k.databases, data)
	}
	return nil
}

func (k *postgresKeeper) close() error {
	if k.cluster != nil {
		return k.cluster.Close()
	}
	var err error
	for _, name := range k.databases { // the server is somebody's
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		err = errors.Join(err, k.exec(ctx, `DROP DATABASE `+name+` WITH (FORCE)`))
		stop()
	}
	return err
}
