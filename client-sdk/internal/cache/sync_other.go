//go:build !linux

package cache

import "os"

// syncData makes written bytes durable. On Apple systems Sync is F_FULLFSYNC, which also empties the drive's cache.
func syncData(f *os.File) error { return f.Sync() }

// startSync begins what syncData ends, where the system can.
func startSync(*os.File, int64, int64) {}
