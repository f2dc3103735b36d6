package cache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The parts of bbolt's file format (version 2, stable since boltdb) that are read before bbolt maps the file, because bbolt
// trusts what it maps: a truncated file kills the process. Integers are in the machine's byte order, as bbolt writes them.
const (
	// pageSize is fixed, not the system's: phones with 16 KiB pages would write four times as much per commit, and a file
	// then reads the same on every phone.
	pageSize = 4096

	pageHeaderSize = 16
	elementSize    = 16 // of branch and of leaf pages
	metaSize       = 64

	boltMagic   = 0xED0CDAED
	boltVersion = 2

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagFreelist = 0x10

	leafFlagBucket = 0x01
	bucketSize     = 16 // root page and sequence, before an inline page

	noFreelist = ^uint64(0)
)

var (
	errNoMagic = errors.New("no bbolt magic")
	errZeros   = errors.New("zeros") // what a lost write leaves, not another program's file
)

// meta is a bbolt meta page.
type meta struct {
	pageSize uint32
	root     uint64
	freelist uint64
	end      uint64 // high-water mark: the number of pages, so the first page id that is not used
	txid     uint64
	single   bool // the other meta page does not verify: if it was the newer one, the last transaction is undone
}

// readMetas checks both meta pages and the file's size and returns the newest valid one, which is the one that bbolt uses.
// An older one does not stand in for a newest that is whole and says something impossible: that would undo a transaction.
// It does stand in for one that does not verify, because a torn write cannot be told from later damage. If it was damage, the
// last transaction is undone as a whole, and the mark is ahead of the store.
func readMetas(f io.ReaderAt, size int64) (meta, error) {
	pages := make([]byte, 2*pageSize)
	n, err := f.ReadAt(pages, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return meta{}, fmt.Errorf("read meta pages: %w", err)
	}
	first := pages[:min(n, pageSize)]
	newest, err0 := parseMeta(first)
	second, err1 := parseMeta(pages[len(first):n])
	switch {
	case n == 0:
		return meta{}, damagedFile("empty file")
	case errors.Is(err0, errNoMagic) && (n <= pageSize || errors.Is(err1, errNoMagic) || errors.Is(err1, errZeros)):
		return meta{}, fmt.Errorf("no meta page: %w", ErrForeign)
	case n < len(pages):
		return meta{}, damagedFile("file of %d bytes: truncated", n)
	case err0 != nil && err1 != nil:
		return meta{}, damagedFile("meta pages: %v; %v", err0, err1)
	case err0 != nil || (err1 == nil && second.txid > newest.txid):
		newest = second
	}
	if err0 == nil && !inPlace(first, 0) || err1 == nil && !inPlace(pages[len(first):], 1) {
		return meta{}, damagedFile("a meta page is in the other's place")
	}
	if newest.pageSize != pageSize || newest.freelist == noFreelist {
		return meta{}, fmt.Errorf("bbolt file with other settings: %w", ErrForeign)
	}
	newest.single = err0 != nil || err1 != nil
	switch {
	case newest.end < 4 || newest.end > 1<<40:
		return meta{}, damagedFile("%d pages", newest.end)
	case newest.end > uint64(size)/pageSize:
		return meta{}, damagedFile("file of %d bytes, %d pages are in use: truncated", size, newest.end)
	}
	return newest, nil
}

// parseMeta reads a meta page, and takes it for valid exactly when bbolt does.
func parseMeta(page []byte) (meta, error) {
	ne := binary.NativeEndian
	if allZero(page) {
		return meta{}, errZeros
	}
	if len(page) < pageHeaderSize+4 || ne.Uint32(page[pageHeaderSize:]) != boltMagic {
		return meta{}, errNoMagic
	}
	if len(page) < pageHeaderSize+metaSize {
		return meta{}, errors.New("too short")
	}
	b := page[pageHeaderSize:][:metaSize]
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if sum.Sum64() != ne.Uint64(b[56:]) {
		return meta{}, errors.New("checksum")
	}
	if v := ne.Uint32(b[4:]); v != boltVersion {
		return meta{}, fmt.Errorf("version %d", v)
	}
	return meta{pageSize: ne.Uint32(b[8:]), root: ne.Uint64(b[16:]), freelist: ne.Uint64(b[32:]),
		end: ne.Uint64(b[40:]), txid: ne.Uint64(b[48:])}, nil
}

// inPlace tells a meta page's number in its header; bbolt does not look at it.
func inPlace(page []byte, id uint64) bool {
	return binary.NativeEndian.Uint64(page) == id
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
