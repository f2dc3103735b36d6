package sqlite

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sambang-id/sambang/server/internal/store"
)

// applicationID marks a file as a store of this program, in the header that
// SQLite reserves for it: "Smbg".
const applicationID = 0x536d6267

// schemaVersion is the version of the tables that this program writes: the
// number of its last migration.
const schemaVersion = 1

// prepareFile makes sure that path is a store of ours, or makes it one.
func prepareFile(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return createFile(ctx, path)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("not a regular file: %w", store.ErrForeign)
	case info.Size() == 0:
		if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
			return fmt.Errorf("file is empty, but its log is not: restore a backup: %w", store.ErrForeign)
		}
		return createFile(ctx, path)
	}
	if err := checkHeader(path); err != nil {
		return err
	}
	const others = 0o077
	if info.Mode().Perm()&others != 0 {
		return os.Chmod(path, ownerOnly)
	}
	return nil
}

const ownerOnly = 0o600 // it holds personal data

// checkHeader reads the header with plain reads: SQLite would already change a
// foreign file by looking at it, when it has a journal to roll back.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// https://sqlite.org/fileformat2.html#the_database_header
	var header [100]byte
	if _, err := io.ReadFull(f, header[:]); err != nil {
		return fmt.Errorf("shorter than the header of a database: %w", store.ErrForeign)
	}
	const userVersion, appID = 60, 68
	switch {
	case !bytes.HasPrefix(header[:], []byte("SQLite format 3\x00")):
		return fmt.Errorf("not an SQLite database: %w", store.ErrForeign)
	case binary.BigEndian.Uint32(header[appID:]) != applicationID:
		return fmt.Errorf("an SQLite database of another program: %w", store.ErrForeign)
	}
	return checkVersion(int64(binary.BigEndian.Uint32(header[userVersion:])))
}

func checkVersion(v int64) error {
	if v > schemaVersion {
		return fmt.Errorf("tables of version %d, this program knows %d: upgrade it: %w", v, schemaVersion, store.ErrNewer)
	}
	return nil
}

// createFile makes an empty store that carries our mark from its first byte
// on: under another name, linked to path when it is complete and durable. A
// crash leaves either no store or a good one.
func createFile(ctx context.Context, path string) (err error) {
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
	c, err := connect(ctx, dsn(temp, Options{}.withDefaults(), false))
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	_, err = c.exec(ctx, fmt.Sprintf(`PRAGMA application_id = %d`, applicationID))
	if err := errors.Join(err, c.close()); err != nil { // the log goes into the file
		return fmt.Errorf("create: %w", err)
	}
	if err := syncFile(temp); err != nil {
		return err
	}
	if err := os.Link(temp, path); errors.Is(err, fs.ErrExist) {
		// An empty file, or another process was faster.
		if info, statErr := os.Stat(path); statErr == nil && info.Size() == 0 {
			err = os.Rename(temp, path)
		} else {
			err = errors.Join(statErr, checkHeader(path))
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
