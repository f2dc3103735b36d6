package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables of the file to schemaVersion. Each migration is
// one transaction, with the version in the file's header.
func migrate(ctx context.Context, path string, o Options) (err error) {
	connector, err := sqlite.NewConnector(dsn(path, o, false))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()

	version, err := userVersion(ctx, db)
	if err != nil || version == schemaVersion {
		return err
	}
	if err := checkVersion(version, o); err != nil {
		return err
	}
	if version == 0 {
		if _, err := db.ExecContext(ctx, `PRAGMA application_id = `+strconv.Itoa(applicationID)); err != nil {
			return translate(err)
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	_, failed := provider.Up(ctx)
	if version, err = userVersion(ctx, db); err != nil {
		return errors.Join(failed, err)
	}
	// Another process may have been faster; then its transaction won.
	if version != schemaVersion {
		return fmt.Errorf("migrate tables of version %d to %d: %w", version, schemaVersion, translate(failed))
	}
	return nil
}

const sqlUserVersion = `PRAGMA user_version`

func userVersion(ctx context.Context, db *sql.DB) (v int64, err error) {
	err = db.QueryRowContext(ctx, sqlUserVersion).Scan(&v)
	return v, translate(err)
}
