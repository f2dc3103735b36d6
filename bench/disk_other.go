//go:build !linux

package main

// inMemory reports whether a directory is known to be on a file system in memory.
func inMemory(string) bool { return false }

// freeBytes is what a directory's disk has left; -1: unknown.
func freeBytes(string) int64 { return -1 }
