package kill_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var (
	cycles = flag.Int("kill.cycles", 20, "how many processes to kill, half of them servers")
	files  = flag.Int("damage.files", 60, "how many damaged copies of the server's files to read")
	seed   = flag.Uint64("kill.seed", 1, "the seed of moments, writes and damage")
	child  = flag.String("kill.device", "", "for this program itself: be the device in this folder")
	site   = flag.String("kill.name", "", "for this program itself: the device's name")
)

// A device runs in a process of its own: this program again, with -kill.device.
func TestMain(m *testing.M) {
	flag.Parse()
	if *child != "" {
		if err := work(*child, *site, *seed); err != nil {
			fmt.Fprintln(os.Stderr, "device:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	dir, err := os.MkdirTemp("", "sambang-kill-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaries = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

var (
	binaries string
	build    sync.Once
	buildErr error
)

// sambangd returns the path of the real command, built at the first call.
func sambangd(t *testing.T) string {
	t.Helper()
	path := filepath.Join(binaries, "sambangd")
	build.Do(func() {
		out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../server/cmd/sambangd").CombinedOutput()
		if err != nil {
			buildErr = fmt.Errorf("build sambangd: %w\n%s", err, out)
		}
	})
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return path
}
