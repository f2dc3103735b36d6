package cache_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// saveUntilKilled counts up in two buckets and the mark, and says each number after its Update returned.
func saveUntilKilled(db *cache.DB) {
	n := uint64(0)
	_ = db.View(func(tx *cache.Tx) error {
		if v, err := tx.Get(heads, []byte("n")); err == nil {
			n = binary.BigEndian.Uint64(v)
		}
		return nil
	})
	for {
		n++
		if err := db.WriteMark(cache.Mark{Replica: 7, N: n}); err != nil {
			panic(err)
		}
		err := db.Update(func(tx *cache.Tx) error {
			v := binary.BigEndian.AppendUint64(nil, n)
			return errors.Join(tx.Put(heads, []byte("n"), v), tx.Put(records, v, make([]byte, n%5000)))
		})
		if err != nil {
			panic(err)
		}
		fmt.Println(n)
	}
}

// TestAKilledProcessLosesNothingItSaid kills a saving process at random times. It is blind to power cuts (the kernel keeps
// what was written), so it shows only that open, lock, mark and fence fit together.
func TestAKilledProcessLosesNothingItSaid(t *testing.T) {
	rnd := seeded(t)
	dir := t.TempDir()
	for range 15 {
		cmd := childCommand(t, "save", dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := uint64(0)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for lines := bufio.NewScanner(out); lines.Scan(); {
				said, _ = strconv.ParseUint(lines.Text(), 10, 64)
			}
		}()
		time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-done
		_ = cmd.Wait()

		db := open(t, dir, sealedOptions())
		n := uint64(0)
		if v := get(t, db, heads, "n"); v != "(absent)" {
			n = binary.BigEndian.Uint64([]byte(v))
		}
		if n < said || n > said+1 && said > 0 {
			t.Fatalf("the child said %d, the store has %d", said, n)
		}
		if m, state := db.ReadMark(); n > 0 && (state != cache.MarkValid || m.N < n || m.N > n+1) {
			t.Fatalf("mark %d (%v), the store has %d", m.N, state, n)
		}
		if damages, err := db.Check(); err != nil || len(damages) > 0 {
			t.Fatalf("Check: %v, %v", damages, err)
		}
		closeDB(t, db)
	}
}
