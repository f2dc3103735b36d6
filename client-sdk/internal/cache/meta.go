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
	flagMeta     = 0x04
	flagFreelist = 0x10

	leafFlagBucket = 0x01
	bucketSize     = 16 // root page and sequence, before an inline page

	noFreelist = ^uint64(0)
)

var errNoMagic = errors.New("no bbolt magic")

// meta is a bbolt meta page.
type meta struct {
	root     uint64
	freelist uint64
	end      uint64 // high-water mark: the number of pages, so the first page id that is not used
	txid     uint64
}

// readMetas checks both meta pages and the file's size and returns the newest valid one, which is the one that bbolt uses.
func readMetas(f io.ReaderAt, size int64) (meta, error) {
	if size < 2*pageSize {
		page := make([]byte, pageSize)
		n, _ := f.ReadAt(page[:max(0, min(size, pageSize))], 0)
		if _, err := parseMeta(page[:n], 0); size > 0 && errors.Is(err, errNoMagic) {
			return meta{}, fmt.Errorf("%d bytes without bbolt's magic: %w", size, ErrForeign)
		}
		return meta{}, damagedFile("file of %d bytes", size)
	}
	var newest meta
	var found bool
	var failed [2]error
	for i := range failed {
		page := make([]byte, pageSize)
		if _, err := f.ReadAt(page, int64(i)*pageSize); err != nil {
			return meta{}, fmt.Errorf("read meta page %d: %w", i, err)
		}
		m, err := parseMeta(page, uint64(i))
		if failed[i] = err; err == nil && (!found || m.txid > newest.txid) {
			newest, found = m, true
		}
	}
	if !found {
		if errors.Is(failed[0], errNoMagic) && errors.Is(failed[1], errNoMagic) {
			return meta{}, fmt.Errorf("no meta page: %w", ErrForeign)
		}
		return meta{}, damagedFile("meta pages: %v; %v", failed[0], failed[1])
	}
	if newest.end > uint64(size)/pageSize {
		return meta{}, damagedFile("file of %d bytes, %d pages are in use: truncated", size, newest.end)
	}
	return newest, nil
}

// parseMeta reads a meta page. A page of zeros counts as damage: it is what a lost write leaves, not another program's file.
func parseMeta(page []byte, id uint64) (meta, error) {
	if len(page) < pageHeaderSize+metaSize {
		return meta{}, errors.New("too short")
	}
	b := page[pageHeaderSize:][:metaSize]
	ne := binary.NativeEndian
	if ne.Uint32(b) != boltMagic {
		if allZero(page) {
			return meta{}, errors.New("zeros")
		}
		return meta{}, errNoMagic
	}
	sum := fnv.New64a()
	sum.Write(b[:metaSize-8])
	if sum.Sum64() != ne.Uint64(b[56:]) {
		return meta{}, errors.New("checksum")
	}
	if v := ne.Uint32(b[4:]); v != boltVersion {
		return meta{}, fmt.Errorf("version %d", v)
	}
	m := meta{root: ne.Uint64(b[16:]), freelist: ne.Uint64(b[32:]), end: ne.Uint64(b[40:]), txid: ne.Uint64(b[48:])}
	switch {
	case ne.Uint32(b[8:]) != pageSize:
		return meta{}, fmt.Errorf("page size %d", ne.Uint32(b[8:]))
	case ne.Uint64(page) != id || ne.Uint16(page[8:])&flagMeta == 0:
		return meta{}, errors.New("page header")
	case m.end < 4 || m.end > 1<<40:
		return meta{}, fmt.Errorf("%d pages", m.end)
	case m.root < 2 || m.root >= m.end:
		return meta{}, fmt.Errorf("root page %d of %d", m.root, m.end)
	case m.freelist == noFreelist || m.freelist < 2 || m.freelist >= m.end:
		return meta{}, fmt.Errorf("freelist page %d of %d", m.freelist, m.end)
	}
	return m, nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
