package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"github.com/sambang-id/sambang/server/internal/store"
)

// applicationID marks a file as a store of this program, in the header that
// SQLite reserves for it: "Smbg".
const applicationID = 0x536d6267

// schemaVersion is the version of the tables that this program writes: the
// number of its last migration.
const schemaVersion = 3

// firstVersion is the oldest that can be read. The one before, whose rows have
// no sums, was never released.
const firstVersion = 2

// prepareFile makes sure that path is a store of ours, or makes it one.
func prepareFile(ctx context.Context, path string, o Options) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return createFile(ctx, path, o)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("not a regular file: %w", store.ErrForeign)
	case info.Size() == 0:
		if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
			return fmt.Errorf("file is empty, but its log is not: restore a backup: %w", store.ErrForeign)
		}
		return createFile(ctx, path, o)
	}
	if err := checkHeader(ctx, path, o); err != nil {
		return err
	}
	const others = 0o077
	if info.Mode().Perm()&others != 0 {
		return os.Chmod(path, ownerOnly)
	}
	return nil
}

const ownerOnly = 0o600 // it holds personal data

// checkHeader looks at the file as if it could not change: SQLite then takes
// no lock, rolls back no journal of a foreign program and creates no file.
//
// It goes through SQLite and not through os.Open: closing a descriptor drops
// every POSIX lock that this process has on the file, those of a store that is
// open included.
func checkHeader(ctx context.Context, path string, o Options) (err error) {
	// After a crash while its log was moved into it, the file is shorter than
	// its header says. The log heals that; until then writable_schema lets it
	// pass.
	c, err := connect(ctx, fileURI(path, url.Values{"mode": {"ro"}, "immutable": {"1"}, "_pragma": {"writable_schema(1)"}}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	s := &session{conn: c, ctx: ctx}
	number := func(c *cursor) int64 { return c.Int(0) }
	id, err := one(s, store.ErrForeign, number, `PRAGMA application_id`)
	switch {
	case err != nil:
		return fmt.Errorf("not an SQLite database: %w", err)
	case id != applicationID:
		return fmt.Errorf("an SQLite database of another program: %w", store.ErrForeign)
	}
	version, err := one(s, store.ErrForeign, number, sqlUserVersion)
	if err != nil {
		return err
	}
	return checkVersion(version, o)
}

// movedVersion, and on top of it the version of the tables, is the version of a
// file that was moved to another engine. An older program takes it for one of a
// newer, and leaves it alone too.
const movedVersion = 1_000_000

func checkVersion(v int64, o Options) error {
	switch {
	case v >= movedVersion && !o.source:
		return store.ErrMoved
	case v >= movedVersion && v != movedVersion+schemaVersion:
		return fmt.Errorf("moved with tables of version %d, this program knows %d: end the move with the program that began it", v-movedVersion, schemaVersion)
	case v >= movedVersion:
		return nil
	}
	if v > schemaVersion {
		return fmt.Errorf("tables of version %d, this program knows %d: upgrade it: %w", v, schemaVersion, store.ErrNewer)
	}
	if v != 0 && v < firstVersion {
		return fmt.Errorf("tables of version %d, this program knows %d to %d: begin with an empty folder, the devices send again what they hold: %w", v, firstVersion, schemaVersion, store.ErrOlder)
	}
	return nil
}

// createFile makes an empty store with all its tables under another name, and
// links it to path when it is complete and durable. A crash leaves either no
// store or a good one, and of two processes that start at once, one creates.
func createFile(ctx context.Context, path string, o Options) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".sambang-new-*") // for its owner only
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	temp := f.Name()
	defer func() { err = errors.Join(err, removeAll(temp, temp+"-journal", temp+"-wal", temp+"-shm")) }()
	if err := f.Close(); err != nil {
		return err
	}
	if err := migrate(ctx, temp, o); err != nil { // its last connection moves the log into the file
		return fmt.Errorf("create: %w", err)
	}
	// SQLite tells nobody when it could not move the log, and leaves it there.
	if _, err := os.Lstat(temp + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, errors.New("create: the disk failed while the log was moved into the file"))
	}
	if err := syncFile(temp); err != nil {
		return err
	}
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		// An empty file, or another process was faster.
		if info, statErr := os.Stat(path); statErr == nil && info.Size() == 0 {
			err = os.Rename(temp, path)
		} else {
			err = errors.Join(statErr, checkHeader(ctx, path, o))
		}
		if err != nil {
			return fmt.Errorf("create: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	return syncFile(dir) // the name is as durable as the content
}

// syncFile makes a file's content, or a directory's names, durable.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// removeAll removes files that may not exist.
func removeAll(paths ...string) error {
	var errs []error
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
