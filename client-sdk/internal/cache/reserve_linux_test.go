package cache_test

import (
	"encoding/binary"
	"os"
	"syscall"
	"testing"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// allocated is how many bytes of the file have blocks on the disk.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// TestSavesFindBlocksAllocated: most saves must not wait for the file system to find blocks, and a bulk must not be written twice.
func TestSavesFindBlocksAllocated(t *testing.T) {
	dir := t.TempDir()
	db := open(t, dir, sealedOptions())
	grew, last := 0, int64(-1)
	const saves = 400
	for n := range uint64(saves) {
		key := binary.BigEndian.AppendUint64(nil, n*0x9E3779B97F4A7C15)
		if err := db.Update(func(tx *cache.Tx) error { return tx.Put(records, key, make([]byte, 1500)) }); err != nil {
			t.Fatal(err)
		}
		if now := allocated(t, dbFile(dir)); now != last {
			grew, last = grew+1, now
		}
	}
	if grew > saves/20 {
		t.Errorf("%d of %d saves allocated blocks", grew, saves)
	}

	for range 4 {
		err := db.Update(func(tx *cache.Tx) error {
			for n := range uint64(500) {
				key := binary.BigEndian.AppendUint64([]byte("bulk"), n<<32|uint64(last))
				if err := tx.Put(records, key, make([]byte, 1500)); err != nil {
					return err
				}
			}
			last++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	used := int64(usedPages(t, readFile(t, dbFile(dir)))) * 4096
	if now := allocated(t, dbFile(dir)); now > used+512<<10 {
		t.Errorf("%d bytes allocated for %d in use", now, used)
	}
}
