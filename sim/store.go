package sim

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/sambang-id/sambang/server"
)

// Database is a PostgreSQL database that a run has for itself. It has no rows
// when the run begins.
type Database interface {
	// URL is its address, as server.Config.Store has it.
	URL() string
	// Backup copies what is in it, also while servers are between two commits of
	// an update. Restore puts that back, as often as it is called; no server
	// works meanwhile.
	Backup() (restore func() error, err error)
	// Full is the error of a commit that there is no room for.
	Full() error
}

// storage is where the server's store is.
type storage interface {
	address() string // for server.Config.Store
	backup() (restore func() error, err error)
	full() error
}

func storageOf(w *world) storage {
	if w.cfg.Database != nil {
		return inDatabase{w.cfg.Database}
	}
	return &inFile{w: w}
}

type inDatabase struct{ Database }

func (d inDatabase) address() string               { return d.URL() }
func (d inDatabase) backup() (func() error, error) { return d.Backup() }
func (d inDatabase) full() error                   { return d.Full() }

// inFile is a SQLite file.
type inFile struct {
	w       *world
	backups int
}

func (f *inFile) address() string { return "" }
func (f *inFile) full() error     { return syscall.ENOSPC }

func (f *inFile) backup() (func() error, error) {
	f.backups++
	file := filepath.Join(f.w.dir, fmt.Sprintf("server.backup%d", f.backups))
	restore := func() error {
		store := filepath.Join(f.w.serverDir(), server.StoreFile)
		for _, suffix := range []string{"-wal", "-shm"} {
			_ = os.Remove(store + suffix)
		}
		return copyFile(file, store)
	}
	return restore, f.w.srv.Backup(f.w.ctx, file)
}

// copyFile copies a file. Where it has holes, so has the copy: a cache is four
// megabytes, of which a few pages are written.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(copyData(in, out), out.Close())
}

func copyData(in, out *os.File) error {
	const seekData, seekHole = 3, 4 // of lseek, on Linux
	info, err := in.Stat()
	if err != nil {
		return err
	}
	for at := int64(0); at < info.Size(); {
		from, err := in.Seek(at, seekData)
		if errors.Is(err, syscall.ENXIO) {
			break // nothing but a hole is left
		}
		to, failed := in.Seek(from, seekHole)
		if err := errors.Join(err, failed); err != nil {
			return err
		}
		b := make([]byte, to-from)
		if _, err := in.ReadAt(b, from); err != nil {
			return err
		}
		if _, err := out.WriteAt(b, from); err != nil {
			return err
		}
		at = to
	}
	return out.Truncate(info.Size())
}
