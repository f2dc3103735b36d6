package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// victim marks the argument that makes the test binary a writer to be killed.
const victim = "victim="

// TestKilledProcess kills a process in the middle of its pushes. That alone is
// weak evidence (the page cache survives), but it is the death that happens.
func TestKilledProcess(t *testing.T) {
	if i := slices.IndexFunc(os.Args, func(a string) bool { return strings.HasPrefix(a, victim) }); i >= 0 {
		writeForEver(t, strings.TrimPrefix(os.Args[i], victim))
		return
	}
	path := filepath.Join(t.TempDir(), "store.db")
	open(t, path, sqlite.Options{}) // it stays open: two processes on one file
	confirmed := uint64(0)
	for round := range 5 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledProcess$", victim+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 5+round*7 && lines.Scan(); n++ {
			if _, err := fmt.Sscanf(lines.Text(), "confirmed %d", &confirmed); err != nil {
				t.Fatalf("the writer says %q", lines.Text())
			}
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() { // confirmed before it died
			if _, err := fmt.Sscanf(lines.Text(), "confirmed %d", &confirmed); err != nil {
				break // a line that was cut
			}
		}
		_ = cmd.Wait() // killed

		s, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context(), func(p string) { t.Error(p) }); err != nil {
			t.Error(err)
		}
		err = s.View(t.Context(), func(r store.Reader) error {
			heads, err := r.Heads("35", "D")
			if err != nil || len(heads) != 1 || heads[0].Seq < confirmed {
				t.Errorf("heads %v, %v, but %d was confirmed", heads, err, confirmed)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// writeForEver pushes and says what was confirmed, until it is killed.
func writeForEver(t *testing.T, path string) {
	s, err := sqlite.Open(context.Background(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for {
		var head uint64
		err := s.Update(context.Background(), storetest.OneStep(func(tx store.Tx) (err error) {
			if head, err = tx.Head(scope); err != nil {
				return err
			}
			rows, changes := storetest.RowsOf(storetest.NewRand(), 20, scope, head)
			if err := tx.Put(scope, rows); err != nil {
				return err
			}
			return tx.Append(scope, changes)
		}))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("confirmed %d\n", head+20)
	}
}
