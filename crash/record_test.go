//go:build linux

package crash_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/sambang-id/sambang/crash/disk"
	"github.com/sambang-id/sambang/crash/recorder"
)

// job is what a child is told to do.
type job struct {
	Workload string
	Mount    string // the recorded disk
	Scratch  string // a folder on an ordinary disk
	Seed     uint64
	Steps    int
	Faulty   bool // an operation fails, so errors are to be lived with
}

// child runs a workload to its end, as runChild is told on the command line.
func runChild(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	say, err := newSpeaker(j.Mount)
	if err != nil {
		return err
	}
	switch j.Workload {
	case "phone":
		return phoneWorkload(j, say)
	case "server":
		return serverWorkload(j, say)
	case "bulk":
		return bulkWorkload(j, say)
	}
	return fmt.Errorf("no workload %q", j.Workload)
}

// recording is what a workload did to a disk.
type recording struct {
	job job
	log *disk.Log
	hit int // index of the operation that failed, -1 if none did
}

// scratch makes a folder in memory, or elsewhere if there is no such file
// system.
func scratch(t *testing.T) string {
	parent := "/dev/shm"
	if _, err := os.Stat(parent); err != nil {
		parent = ""
	}
	dir, err := os.MkdirTemp(parent, "sambang-crash-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// record runs a workload on a recorded disk.
func record(t *testing.T, j job, fault recorder.Fault) recording {
	t.Helper()
	dir := scratch(t)
	j.Mount, j.Scratch, j.Faulty = filepath.Join(dir, "mount"), filepath.Join(dir, "scratch"), fault.At > 0
	for _, d := range []string{j.Mount, j.Scratch} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	d, err := recorder.Mount(j.Mount, fault)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-crash.child="+string(text))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	failed := cmd.Run()
	log, err := d.Unmount()
	if err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Fatalf("workload %s, seed %d, fault %+v: %v\n%s", j.Workload, j.Seed, fault, failed, out.String())
	}
	if j.Faulty { // there are many of these, and nobody looks at their servers
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	return recording{job: j, log: log, hit: d.Hit()}
}

func (r recording) String() string {
	s := fmt.Sprintf("%s, seed %d", r.job.Workload, r.job.Seed)
	if r.hit >= 0 {
		s += fmt.Sprintf(", operation %d failed (%s)", r.hit, r.log.Ops[r.hit].Text)
		if r.log.Ops[r.hit].Kind == disk.Dropped {
			s += " and dropped its pages"
		}
	}
	return s
}
