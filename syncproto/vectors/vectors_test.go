package vectors_test

import (
	"bytes"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/vectors/gen"
)

var update = flag.Bool("update", false, "write the vectors anew")

// TestVectorsAreTheGenerators: the files in this folder are what package gen
// makes, byte for byte.
func TestVectorsAreTheGenerators(t *testing.T) {
	want, err := gen.Files()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		write(t, want)
		return
	}
	have := map[string][]byte{}
	err = fs.WalkDir(vectors.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		have[name], err = vectors.FS.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		switch {
		case have[name] == nil:
			t.Errorf("%s is missing; run `task vectors`", name)
		case !bytes.Equal(have[name], want[name]):
			t.Errorf("%s differs from what the generator makes; a change of it is a change of the protocol", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if want[name] == nil {
			t.Errorf("%s is made by nobody", name)
		}
	}
}

func write(t *testing.T, files map[string][]byte) {
	for _, folder := range []string{"exchanges", "actions", "bodies"} {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.FromSlash(name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
