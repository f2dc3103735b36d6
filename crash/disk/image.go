package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// Image is what is on the disk after a crash. It does not change.
type Image struct {
	// Variant says which of the operations that were not durable it has.
	Variant string
	entries []entry // folders before what is in them
	hash    [16]byte
}

type entry struct {
	path string
	dir  bool
	mode uint32
	file File
}

// Hash is equal for equal images, and for no others.
func (i *Image) Hash() [16]byte { return i.hash }

// Has tells whether there is a file or folder at a path.
func (i *Image) Has(path string) bool {
	return slices.ContainsFunc(i.entries, func(e entry) bool { return e.path == path })
}

// FileHash is the hash of the file at a path, zero if there is none.
func (i *Image) FileHash(path string) (sum [16]byte) {
	for _, e := range i.entries {
		if e.path == path && !e.dir {
			return e.sum()
		}
	}
	return sum
}

// Write makes the image's files in an empty folder.
func (i *Image) Write(folder string) error {
	for _, e := range i.entries {
		path := filepath.Join(folder, e.path)
		if e.dir {
			if err := os.Mkdir(path, os.FileMode(e.mode)); err != nil {
				return err
			}
			continue
		}
		if err := e.file.write(path, os.FileMode(e.mode)); err != nil {
			return err
		}
	}
	return nil
}

func (f File) write(path string, mode os.FileMode) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	err = f.runs(func(off int64, data []byte) error {
		_, err := out.WriteAt(data, off)
		return err
	})
	if err == nil {
		err = out.Truncate(f.size)
	}
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

func (e *entry) sum() [16]byte {
	h := sha256.New()
	fmt.Fprintf(h, "%q %t %o %d ", e.path, e.dir, e.mode, e.file.size)
	for n, b := range e.file.blocks {
		if b == nil {
			continue
		}
		sum := b.hash()
		h.Write(binary.BigEndian.AppendUint32(sum[:], uint32(n)))
	}
	return [16]byte(h.Sum(nil)[:16])
}

// collect makes the image of what can be reached from the root.
func (l *Log) collect(variant string, files map[Node]File, dirs map[Node]map[string]Node) *Image {
	img := &Image{Variant: variant}
	var walk func(dir Node, path string)
	walk = func(dir Node, path string) {
		for _, name := range slices.Sorted(maps.Keys(dirs[dir])) {
			n := dirs[dir][name]
			info := l.nodes[n]
			e := entry{path: filepath.Join(path, name), dir: info.dir, mode: info.mode}
			if !info.dir {
				e.file = files[n]
			}
			img.entries = append(img.entries, e)
			if info.dir {
				walk(n, e.path)
			}
		}
	}
	walk(Root, "")
	h := sha256.New()
	for i := range img.entries {
		sum := img.entries[i].sum()
		h.Write(sum[:])
	}
	img.hash = [16]byte(h.Sum(nil)[:16])
	return img
}
