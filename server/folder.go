package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
)

// syncFolders makes the names in a folder durable, and its own name and those
// of the folders above it: POSIX promises no name after a power cut before the
// folder that it is in was synced. It is done at every start, because one
// before may have made the names and died. A folder that may not be opened was
// not made here, and one that its file system cannot sync needs none.
func syncFolders(dir string) error {
	if runtime.GOOS == "windows" {
		return nil // folders cannot be opened for this there
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		err := syncFolder(dir)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("sync folder: %w", err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return nil
		}
		dir = parent
	}
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
