//go:build linux

package crash_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
)

var (
	images       = flag.Int("crash.images", 1500, "how many distinct images to try, phone and server together")
	first        = flag.Uint64("crash.seed", 1, "the first seed of the workloads")
	phoneFaults  = flag.Int("crash.phonefaults", 4, "let every n-th operation of the phone fail; 1: each")
	serverFaults = flag.Int("crash.serverfaults", 40, "let every n-th operation of the server fail; 1: each")
	workers      = flag.Int("crash.workers", runtime.GOMAXPROCS(0), "images that are tried at once")
	child        = flag.String("crash.child", "", "for this program itself: run a workload, as JSON")
)

// A workload runs in a process of its own: this program again, with
// -crash.child.
func TestMain(m *testing.M) {
	flag.Parse()
	if *child != "" {
		if err := runChild(*child); err != nil {
			fmt.Fprintln(os.Stderr, "workload:", err)
			os.Exit(1)
		}
		os.Exit(0) // what is open stays open: the power goes
	}
	os.Exit(m.Run())
}
