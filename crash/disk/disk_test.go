package disk_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sambang-id/sambang/crash/disk"
)

func TestAFileIsItsBytes(t *testing.T) {
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, seed))
	var f disk.File
	var want []byte
	for range 2000 {
		before, kept := f, bytes.Clone(want)
		size := rng.IntN(3 * disk.BlockSize)
		if rng.IntN(3) == 0 {
			f = f.Truncate(int64(size))
			want = append(want[:min(size, len(want)):min(size, len(want))], make([]byte, max(0, size-len(want)))...)
		} else {
			data := make([]byte, rng.IntN(9000))
			if rng.IntN(2) == 0 {
				fill(rng, data)
			}
			f = f.Write(int64(size), data)
			if end := size + len(data); len(data) > 0 && end > len(want) {
				want = append(slices.Clip(want), make([]byte, end-len(want))...)
			}
			want = bytes.Clone(want)
			copy(want[min(size, len(want)):], data)
		}
		if got := content(f); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d bytes, want %d", seed, len(got), len(want))
		}
		if !bytes.Equal(content(before), kept) {
			t.Fatalf("seed %d: the file before changed", seed)
		}
	}
}

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

func content(f disk.File) []byte {
	b := make([]byte, f.Size())
	return b[:f.ReadAt(b, 0)]
}

// disks returns what may be on the disk after the last operation: each image
// as the text of its files.
func disks(t *testing.T, l *disk.Log) []string {
	t.Helper()
	found := map[string]bool{}
	l.Images(len(l.Ops)-1, rand.New(rand.NewPCG(1, 1)), func(c disk.Crash) bool {
		for _, img := range c.Images() {
			found[files(t, img)] = true
		}
		return true
	})
	return slices.Sorted(maps.Keys(found))
}

func files(t *testing.T, img *disk.Image) (text string) {
	t.Helper()
	dir := t.TempDir()
	if err := img.Write(dir); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		text += fmt.Sprintf("%s=%s;", e.Name(), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatACrashMayLeave(t *testing.T) {
	create := func(l *disk.Log, name string) disk.Node {
		n := l.NewNode(false, 0o600)
		l.Add(disk.Op{Kind: disk.Link, Name: name, Node: n})
		return n
	}
	write := func(l *disk.Log, n disk.Node, off int64, s string) {
		l.Add(disk.Op{Kind: disk.Write, Node: n, Off: off, Data: []byte(s)})
	}
	syncs := func(l *disk.Log, n disk.Node) {
		l.Add(disk.Op{Kind: disk.Sync, Node: n})
	}
	folder := func(l *disk.Log) { l.Add(disk.Op{Kind: disk.SyncDir}) }
	for _, c := range []struct {
		name string
		do   func(l *disk.Log)
		want []string
	}{
		{"a file whose name was not synced may be gone, whole as it is", func(l *disk.Log) {
			n := create(l, "a")
			write(l, n, 0, "x")
			syncs(l, n)
		}, []string{"", "a=x;"}},
		{"a name whose file was not synced may be empty", func(l *disk.Log) {
			n := create(l, "a")
			write(l, n, 0, "x")
			folder(l)
		}, []string{"a=;", "a=x;"}},
		{"what was synced stays", func(l *disk.Log) {
			n := create(l, "a")
			write(l, n, 0, "x")
			syncs(l, n)
			folder(l)
		}, []string{"a=x;"}},
		{"writes are kept, lost, reordered and torn", func(l *disk.Log) {
			n := create(l, "a")
			folder(l)
			write(l, n, 0, "x")
			write(l, n, 1, "yz")
		}, []string{"a=\x00yz;", "a=;", "a=x;", "a=xy;", "a=xyz;"}},
		{"a rename is whole or not at all", func(l *disk.Log) {
			n := create(l, "new")
			write(l, n, 0, "x")
			syncs(l, n)
			create(l, "old")
			folder(l)
			l.Add(disk.Op{Kind: disk.Rename, Name: "new", To: "old", Node: n})
		}, []string{"new=x;old=;", "old=x;"}},
		{"a removed file may be back", func(l *disk.Log) {
			create(l, "a")
			folder(l)
			l.Add(disk.Op{Kind: disk.Unlink, Name: "a"})
		}, []string{"", "a=;"}},
		{"what a failed sync dropped is never there", func(l *disk.Log) {
			n := create(l, "a")
			folder(l)
			write(l, n, 0, "x")
			l.Add(disk.Op{Kind: disk.Dropped, Node: n})
			write(l, n, 1, "y")
			syncs(l, n)
		}, []string{"a=\x00y;"}},
		{"what a failed sync left may be there", func(l *disk.Log) {
			n := create(l, "a")
			folder(l)
			write(l, n, 0, "x")
			l.Add(disk.Op{Kind: disk.Refused})
		}, []string{"a=;", "a=x;"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := disk.NewLog()
			c.do(l)
			if got := disks(t, l); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestNotesBelongToTheDiskInFrontOfWhichTheyWereSaid(t *testing.T) {
	l := disk.NewLog()
	say := func(s string) { l.Add(disk.Op{Kind: disk.Note, Text: s}) }
	say("1")
	l.Add(disk.Op{Kind: disk.SyncDir})
	say("2")
	say("3")
	l.Add(disk.Op{Kind: disk.SyncDir})
	say("4")
	var got []string
	l.Images(0, rand.New(rand.NewPCG(1, 1)), func(c disk.Crash) bool {
		got = append(got, fmt.Sprint(c.After, c.Notes))
		return true
	})
	if want := []string{"1 [1 2 3]", "4 [1 2 3 4]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEqualFilesAreOneImage(t *testing.T) {
	hash := func(do func(l *disk.Log, n disk.Node)) (h [16]byte) {
		l := disk.NewLog()
		n := l.NewNode(false, 0o600)
		l.Add(disk.Op{Kind: disk.Link, Name: "a", Node: n})
		l.Add(disk.Op{Kind: disk.SyncDir})
		do(l, n)
		l.Add(disk.Op{Kind: disk.Sync, Node: n})
		l.Images(len(l.Ops)-1, rand.New(rand.NewPCG(1, 1)), func(c disk.Crash) bool {
			h = c.Images()[0].Hash()
			return true
		})
		return h
	}
	hole := hash(func(l *disk.Log, n disk.Node) { l.Add(disk.Op{Kind: disk.Truncate, Node: n, Size: 9000}) })
	zeros := hash(func(l *disk.Log, n disk.Node) { l.Add(disk.Op{Kind: disk.Write, Node: n, Data: make([]byte, 9000)}) })
	longer := hash(func(l *disk.Log, n disk.Node) { l.Add(disk.Op{Kind: disk.Truncate, Node: n, Size: 9001}) })
	bytes := hash(func(l *disk.Log, n disk.Node) {
		l.Add(disk.Op{Kind: disk.Truncate, Node: n, Size: 9000})
		l.Add(disk.Op{Kind: disk.Write, Node: n, Off: 5000, Data: []byte{1}})
	})
	if hole != zeros {
		t.Error("zeros and a hole differ")
	}
	if hole == longer || hole == bytes || longer == bytes {
		t.Error("different files are one image")
	}
}
