package cache_test

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// These tests let the kernel fail bbolt's own writes and syncs: bbolt's file descriptor is made to name another device. What
// bbolt has mapped stays the store's file, so it reads on and meets the error where a broken disk would give it.

// redirect makes f write to a device until the returned function is called, or f is closed.
func redirect(t *testing.T, f *os.File, device string) {
	t.Helper()
	d, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := syscall.Dup3(int(d.Fd()), int(f.Fd()), syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
}

func TestTheDiskFailsUnderACommit(t *testing.T) {
	for _, c := range []struct {
		name, device string
		noSpace      bool
	}{
		{"it is full", "/dev/full", true},        // pwrite: ENOSPC
		{"it does not sync", "/dev/null", false}, // pwrite succeeds and is lost, fdatasync: EINVAL
		{"it is gone", "/dev/zero", false},       // likewise
	} {
		for _, size := range []int{100, 6 << 20} { // in free pages; and with growth of the file
			t.Run(fmt.Sprintf("%s, %d bytes", c.name, size), func(t *testing.T) {
				dir := t.TempDir()
				db := open(t, dir, sealedOptions())
				for i := range 50 {
					put(t, db, records, fmt.Sprint(i), "kept")
				}
				redirect(t, db.File(), c.device)
				err := db.Update(func(tx *cache.Tx) error {
					return errors.Join(tx.Delete(records, []byte("1")), tx.Put(records, []byte("new"), make([]byte, size)))
				})
				if !errors.Is(err, cache.ErrNotCommitted) || (size == 100 && errors.Is(err, cache.ErrNoSpace) != c.noSpace) {
					t.Errorf("Update: %v", err)
				}
				// The fence has opened the file anew, so the disk is whole again.
				put(t, db, records, "after", "saved")
				for i := range 50 {
					if got := get(t, db, records, fmt.Sprint(i)); got != "kept" {
						t.Errorf("row %d = %s", i, got)
					}
				}
				if damages, err := db.Check(); err != nil || len(damages) > 0 {
					t.Errorf("Check: %v, %v", damages, err)
				}
				if got := get(t, db, records, "new"); got != "(absent)" {
					t.Error("the failed transaction is there")
				}
				closeDB(t, db)
				db = open(t, dir, sealedOptions())
				if got := get(t, db, records, "after"); got != "saved" {
					t.Errorf("after = %s", got)
				}
			})
		}
	}
}

func TestTheDiskFailsUnderTheMark(t *testing.T) {
	for device, noSpace := range map[string]bool{"/dev/full": true, "/dev/null": false} {
		t.Run(device, func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir, sealedOptions())
			if err := db.WriteMark(cache.Mark{Replica: 1, N: 5}); err != nil {
				t.Fatal(err)
			}
			redirect(t, db.MarkFile(), device)
			for range 3 {
				if err := db.WriteMark(cache.Mark{Replica: 1, N: 6}); err == nil || errors.Is(err, cache.ErrNoSpace) != noSpace {
					t.Errorf("WriteMark: %v", err)
				}
			}
			if m, state := db.ReadMark(); state != cache.MarkValid || m.N != 5 {
				t.Errorf("mark %v, %v", m, state)
			}
			closeDB(t, db)
			db = open(t, dir, sealedOptions())
			if m, state := db.ReadMark(); state != cache.MarkValid || m.N != 5 {
				t.Errorf("after reopening: mark %v, %v", m, state)
			}
		})
	}
}

// TestAFileCutWhileItIsOpenIsAnError takes the file away under the map: reads fault (SIGBUS), and the process lives.
func TestAFileCutWhileItIsOpenIsAnError(t *testing.T) {
	for _, size := range []int64{0, 4096, 8192, 40960} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			dir := t.TempDir()
			db := open(t, dir, sealedOptions())
			for i := range 200 {
				put(t, db, records, fmt.Sprint(i), string(make([]byte, 500)))
			}
			if err := os.Truncate(dbFile(dir), size); err != nil {
				t.Fatal(err)
			}
			failed := 0
			for i := range 200 {
				err := db.View(func(tx *cache.Tx) error { _, err := tx.Get(records, []byte(fmt.Sprint(i))); return err })
				if err != nil && !errors.Is(err, cache.ErrDamaged) {
					t.Fatalf("View: %v", err)
				}
				if err != nil {
					failed++
				}
			}
			if failed == 0 {
				t.Error("nothing failed")
			}
			err := db.Update(func(tx *cache.Tx) error { return tx.Put(records, []byte("1"), nil) })
			if err == nil || errors.Is(err, cache.ErrNotFound) {
				t.Errorf("Update: %v", err)
			}
			_ = db.Close()
		})
	}
}
