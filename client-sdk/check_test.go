package sambang_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// TestCheckNamesADamagedRecord flips a bit in a record. It is an error where it
// is read, the others are read, and Check says which one it is.
func TestCheckNamesADamagedRecord(t *testing.T) {
	dir := t.TempDir()
	open := func() *sambang.Replica {
		t.Helper()
		r, err := sambang.Open(dir, sambang.Options{Plain: true})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	var ids []sambang.ID
	for _, name := range []string{"Penginapan Satu", "Penginapan Dua", "Penginapan Tiga"} {
		id, err := r.Create("site", "35.24.14", sambang.Fields{"name": name})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	if found, err := r.Check(); err != nil || len(found) > 0 {
		t.Fatalf("Check of a sound file: %v, %v", found, err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "cache.db")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hurt := bytes.ReplaceAll(content, []byte("Penginapan Dua"), []byte("Qenginapan Dua"))
	if bytes.Equal(hurt, content) {
		t.Fatal("the record is not in the file")
	}
	if err := os.WriteFile(path, hurt, 0o600); err != nil {
		t.Fatal(err)
	}
	r = open()
	defer r.Close()
	if _, err := r.Get(ids[1]); !errors.Is(err, syncproto.CodeCacheDamaged) {
		t.Errorf("the damaged record: %v", err)
	}
	for _, id := range []sambang.ID{ids[0], ids[2]} {
		if _, err := r.Get(id); err != nil {
			t.Errorf("a sound record: %v", err)
		}
	}
	found, err := r.Check()
	if err != nil {
		t.Fatal(err)
	}
	named := false
	for _, d := range found {
		named = named || d.Record == ids[1]
		if bytes.Contains([]byte(d.What), []byte("enginapan")) {
			t.Errorf("Check says what it holds: %s", d.What)
		}
	}
	if !named {
		t.Errorf("Check does not name the record: %v", found)
	}
}
