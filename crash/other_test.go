//go:build !linux

package crash_test

import "testing"

func TestCrashImages(t *testing.T) {
	t.Fatal("recording a disk needs Linux with FUSE: run the suite there")
}
