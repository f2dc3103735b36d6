package floor

import (
	"errors"
	"os"
	"syscall"
)

// syncData makes the bytes of a file durable and not its times, as bbolt does (fdatasync(2)).
func syncData(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
