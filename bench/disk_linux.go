package main

import "syscall"

// inMemory reports whether a directory is on a file system in memory, where an fsync costs nothing.
func inMemory(dir string) bool {
	const tmpfs, ramfs = 0x01021994, 0x858458f6 // statfs(2)
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return false
	}
	t := uint32(s.Type)
	return t == tmpfs || t == ramfs
}

// freeBytes is what a directory's disk has left; -1: unknown.
func freeBytes(dir string) int64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return -1
	}
	return int64(s.Bavail) * s.Bsize //nolint:gosec // a disk
}
