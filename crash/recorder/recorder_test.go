//go:build linux

package recorder_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/sambang-id/sambang/crash/disk"
	"github.com/sambang-id/sambang/crash/recorder"
)

// mounted runs do on a recorded disk and returns what was recorded.
func mounted(t *testing.T, fault recorder.Fault, do func(dir string) error) ([]string, *disk.Log) {
	t.Helper()
	dir := t.TempDir()
	d, err := recorder.Mount(dir, fault)
	if err != nil {
		t.Fatal(err)
	}
	failed := do(dir)
	log, err := d.Unmount()
	if err := errors.Join(failed, err); err != nil {
		t.Fatal(err)
	}
	var ops []string
	for _, op := range log.Ops {
		ops = append(ops, op.String())
	}
	return ops, log
}

// save writes a file as a careful program does.
func save(dir string) error {
	temp := filepath.Join(dir, "new")
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte("0123456789")); err != nil {
		return err
	}
	if err := f.Truncate(4); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(dir, "file")); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

var saved = []string{
	`link "new" to node 1`, "write 10 bytes at 0 of node 1", "truncate node 1 to 4", "sync node 1", `rename "new" to "file"`, "sync folder ",
}

func TestEveryOperationIsRecordedInOrder(t *testing.T) {
	ops, log := mounted(t, recorder.Fault{}, func(dir string) error {
		notes, err := os.OpenFile(filepath.Join(dir, recorder.Notes), os.O_WRONLY|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer notes.Close()
		if err := save(dir); err != nil {
			return err
		}
		if _, err := notes.Write([]byte("saved")); err != nil {
			return err
		}
		if b, err := os.ReadFile(filepath.Join(dir, "file")); err != nil || string(b) != "0123" {
			return fmt.Errorf("file is %q, %w", b, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "a-shm"), []byte("not recorded"), 0o600); err != nil {
			return err
		}
		if err := os.Link(filepath.Join(dir, "file"), filepath.Join(dir, "twin")); err != nil {
			return err
		}
		return os.Remove(filepath.Join(dir, "file"))
	})
	want := append(slices.Clone(saved), "note saved", `link "a-shm" to node 2`, `link "twin" to node 1`, `unlink "file"`)
	if !slices.Equal(ops, want) {
		t.Errorf("recorded %q, want %q", ops, want)
	}
	if log.Crashes() != len(want)-1 {
		t.Errorf("%d crashes", log.Crashes())
	}
}

func TestEachOperationCanFail(t *testing.T) {
	for at := range saved {
		for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
			ops, _ := mounted(t, recorder.Fault{At: at + 1, Errno: errno}, func(dir string) error {
				if err := save(dir); !errors.Is(err, errno) {
					return fmt.Errorf("operation %d: %w, want %w", at, err, errno)
				}
				return nil
			})
			want := append(slices.Clone(saved[:at]), fmt.Sprintf("refused %s: %s", saved[at], errno))
			if !slices.Equal(ops, want) {
				t.Errorf("recorded %q, want %q", ops, want)
			}
		}
	}
}

func TestARefusedWriteLeavesNothingToRead(t *testing.T) {
	mounted(t, recorder.Fault{At: 3, Errno: syscall.EIO}, func(dir string) error {
		f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return err
		}
		defer f.Close()
		old, fresh := bytes.Repeat([]byte{1}, 8192), bytes.Repeat([]byte{2}, 8192)
		if _, err := f.WriteAt(old, 0); err != nil {
			return err
		}
		if _, err := f.WriteAt(fresh, 0); !errors.Is(err, syscall.EIO) {
			return fmt.Errorf("the second write: %w", err)
		}
		got := make([]byte, len(old))
		if _, err := f.ReadAt(got, 0); err != nil || !bytes.Equal(got, old) {
			return fmt.Errorf("what was refused is read: %w", err)
		}
		return nil
	})
}

func TestAFailedSyncCanDropItsPages(t *testing.T) {
	ops, _ := mounted(t, recorder.Fault{At: 4, Errno: syscall.EIO, Drop: true}, func(dir string) error {
		if err := save(dir); !errors.Is(err, syscall.EIO) {
			return fmt.Errorf("save: %w", err)
		}
		b, err := os.ReadFile(filepath.Join(dir, "new"))
		if string(b) != "0123" {
			return fmt.Errorf("the program reads %q, %w", b, err)
		}
		return err
	})
	if want := append(slices.Clone(saved[:3]), "dropped node 1"); !slices.Equal(ops, want) {
		t.Errorf("recorded %q, want %q", ops, want)
	}
}
