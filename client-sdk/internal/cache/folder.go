package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/sambang-id/sambang/internal/ablate"
)

// makeFolder makes dir and its missing parents, readable by the app only, and makes their names durable.
func (o Options) makeFolder(dir string) error {
	info, err := os.Stat(dir)
	if err == nil {
		if !info.IsDir() {
			return fmt.Errorf("folder %q: %w", dir, fs.ErrExist)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("folder: %w", err)
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return fmt.Errorf("folder: %w", err)
	}
	if err := o.makeFolder(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("folder: %w", err)
	}
	return o.syncFolder(parent)
}

// syncAbove makes the names of a folder and of those above it durable. Whoever made them may have died, or met a failing disk,
// before his sync. A folder that may not be opened was not made by the app; one that cannot be synced needs no sync.
func (o Options) syncAbove(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("sync folder: %w", err)
	}
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		err := o.syncFolder(parent)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EINVAL) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// syncFolder makes the names in a folder durable. POSIX promises a new or renamed file after a power cut only then.
func (o Options) syncFolder(dir string) error {
	return o.durably(OpSyncDir, func() error {
		if runtime.GOOS == "windows" { // folders cannot be synced there; NTFS journals names itself
			return nil
		}
		if ablate.Off(ablate.R03DirSync) {
			return nil
		}
		d, err := os.Open(dir)
		if err != nil {
			return fmt.Errorf("sync folder: %w", err)
		}
		defer d.Close()
		if err := d.Sync(); err != nil {
			return fmt.Errorf("sync folder %q: %w", dir, err)
		}
		return nil
	})
}
