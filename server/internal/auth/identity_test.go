package auth_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/auth"
)

func TestIdentityIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	ids := make([]*auth.Identity, 16)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			id, err := auth.OpenIdentity(dir, rand.Reader)
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	wait.Wait()
	for _, id := range ids {
		if !cmp.Equal(id, ids[0]) {
			t.Fatal("processes that started at once have different identities")
		}
	}
	again, err := auth.OpenIdentity(dir, failing{})
	if err != nil || !cmp.Equal(again, ids[0]) {
		t.Errorf("opened again: %v, equal %v", err, cmp.Equal(again, ids[0]))
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("files left: %v, %v", files, err)
	}
	info, err := os.Stat(filepath.Join(dir, auth.KeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestIdentityThatOthersCanReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := auth.OpenIdentity(dir, rand.Reader); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660} {
		if err := os.Chmod(filepath.Join(dir, auth.KeyFile), mode); err != nil {
			t.Fatal(err)
		}
		if _, err := auth.OpenIdentity(dir, rand.Reader); err == nil {
			t.Errorf("mode %04o was accepted", mode)
		}
	}
}

// A damaged key must be an error: the keys that it holds would make another
// server, whose receipts no device believes. The token key and the project
// key have no public half in the file; a change in them that still parses is
// the one thing that shows later.
func TestDamagedIdentityIsRefusedAndKept(t *testing.T) {
	dir := t.TempDir()
	if _, err := auth.OpenIdentity(dir, rand.Reader); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, auth.KeyFile)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.Index(good, []byte(`"token_seed"`))
	damaged := [][]byte{{}, good[:len(good)/2], []byte("{}"), []byte("null"), []byte(`{"version":2}`)}
	for i := bytes.Index(good, []byte(`"server"`)) + 11; i < end-6; i++ {
		if good[i] == ' ' || good[i] == '\n' {
			continue
		}
		x := bytes.Clone(good)
		x[i] ^= 1
		damaged = append(damaged, x)
	}
	for _, text := range damaged {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if id, err := auth.OpenIdentity(dir, rand.Reader); err == nil {
			t.Errorf("accepted as %s: %q", id.ServerID, text)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, text) {
			t.Errorf("the damaged file was changed")
		}
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

func TestIdentityWithoutRandomnessIsNotMade(t *testing.T) {
	dir := t.TempDir()
	for _, r := range []io.Reader{failing{}, bytes.NewReader(make([]byte, 40))} {
		if _, err := auth.OpenIdentity(dir, r); err == nil {
			t.Error("made without randomness")
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 {
		t.Errorf("files left: %v", files)
	}
}
