//go:build unix

package cache

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes the store's lock without waiting. It is ours beside bbolt's, because it must hold across a fence, when bbolt
// is closed, and because bbolt's lock on Android (fcntl) does not keep out a second opener of the same process.
// The lock ends with the process or when the file is closed. The file stays: removing it would race with the next opener.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("lock %q (the folder must be in the app's internal storage): %w", path, err)
	}
	return f, nil
}
