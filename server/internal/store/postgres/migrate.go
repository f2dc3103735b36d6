package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/sambang-id/sambang/server/internal/store"
)

//go:embed migrations/*.sql
var migrations embed.FS

const (
	// versionTable marks a schema as a store of this program, and has the
	// versions of its tables.
	versionTable = "sambang_version"
	// schemaVersion is the version of the tables that this program writes: the
	// number of its last migration.
	schemaVersion = 2
	// lockID is the advisory lock under which tables are changed: "Sambang".
	lockID = 0x53616d62616e67
	// lockSeconds is how long another server's change of the tables is waited
	// for.
	lockSeconds = 600
)

// ready makes sure that the schema is a store of ours, or makes it one if the
// role of the connection may. It tells what the role may do.
func ready(ctx context.Context, config *pgx.ConnConfig) (at standing, err error) {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return at, err
	}
	defer func() { err = errors.Join(denied(ctx, err), conn.Close(context.WithoutCancel(ctx))) }()
	citus, err := set(ctx, conn, Options{}.withDefaults(), planTables)
	if err == nil && citus {
		err = assertNodes(ctx, conn)
	}
	if err != nil {
		return at, err
	}
	version, err := versionOf(ctx, conn)
	if err == nil {
		err = whole(ctx, conn)
	}
	if err != nil {
		return at, err
	}
	if version != schemaVersion {
		if err := mayUpgrade(ctx, conn, version); err != nil {
			return at, err
		}
		if err := migrate(ctx, config); err != nil {
			return at, err
		}
		if version, err = versionOf(ctx, conn); err == nil && version != schemaVersion {
			err = fmt.Errorf("tables are of version %d after they were migrated to %d", version, schemaVersion)
		}
		if err != nil {
			return at, err
		}
	}
	if err := secure(ctx, conn, citus); err != nil {
		return at, err
	}
	if at, err = stand(ctx, conn); err != nil {
		return at, err
	}
	return at, at.refuse()
}

// mayUpgrade refuses a role that could not make or change the tables.
func mayUpgrade(ctx context.Context, conn *pgx.Conn, version int64) error {
	var role string
	var may bool
	err := conn.QueryRow(ctx, `SELECT current_user::text, coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass($1)),
		has_schema_privilege(current_schema(), 'CREATE'))`, versionTable).Scan(&role, &may)
	if err == nil && !may {
		err = errUpgrade(role, version)
	}
	return err
}

// versionOf returns the version of the tables, 0 for a schema that is empty or
// whose first migration did not end.
func versionOf(ctx context.Context, conn *pgx.Conn) (version int64, err error) {
	var schema *string
	var ours bool
	var others int64
	// Views and tables of extensions may lie in the same schema.
	err = conn.QueryRow(ctx, `SELECT current_schema(), coalesce(bool_or(c.relname = $1), false), count(*) FILTER (WHERE c.relname <> $1)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`, versionTable).
		Scan(&schema, &ours, &others)
	switch {
	case err != nil:
		return 0, err
	case schema == nil:
		return 0, errors.New("no schema of the search path exists")
	case !ours && others > 0:
		return 0, fmt.Errorf("schema %q holds %d tables of another program: %w", *schema, others, store.ErrForeign)
	case !ours:
		return 0, nil
	}
	if err := conn.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM sambang_version WHERE is_applied`).Scan(&version); err != nil {
		return 0, err
	}
	if version > schemaVersion {
		return 0, fmt.Errorf("tables of version %d, this program knows %d: upgrade it: %w", version, schemaVersion, store.ErrNewer)
	}
	return version, nil
}

// migrate brings the tables to schemaVersion. Of servers that start at once,
// one does it and the others wait. Each migration is one transaction with the
// version that it makes, so one that is cut has done nothing.
func migrate(ctx context.Context, config *pgx.ConnConfig) (err error) {
	config = config.Copy()
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	return migrateDB(ctx, db)
}

func migrateDB(ctx context.Context, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockID(lockID), lock.WithLockTimeout(1, lockSeconds))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithTableName(versionTable), goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate tables to version %d: %w", schemaVersion, err)
	}
	return nil
}
