package cache

import (
	"os"
	"syscall"
)

// syncData makes written bytes durable when the file's size did not change (Linux and Android).
func syncData(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// startSync has the kernel begin to write a part of the file, so that a later syncData has less to wait for. It promises
// nothing, so its error is of no interest.
func startSync(f *os.File, at, n int64) {
	const start = 2 // SYNC_FILE_RANGE_WRITE
	_ = syscall.SyncFileRange(int(f.Fd()), at, n, start)
}
