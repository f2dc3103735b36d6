package cache

import (
	"os"
	"syscall"
)

// syncData makes written bytes durable when the file's size did not change (Linux and Android).
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
