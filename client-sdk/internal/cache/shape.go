package cache

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// shape walks a bbolt file's trees with plain reads. Open does so because bbolt checks nothing: a wrong page number in a
// branch page sends it round in circles until the process dies, and one in the freelist makes it overwrite living rows.
//
// Without leaves it reads the branch pages, the bucket list and the freelist, one or two pages of a hundred. Then a leaf is
// known by its number only: its contents and its overflow pages are not looked at. All leaves of a bbolt tree are at the same
// depth, so one child tells what its siblings are.
type shape struct {
	f      io.ReaderAt
	m      meta
	leaves bool
	used   []uint64 // bit set of page numbers: each page belongs to one place
}

func checkShape(f io.ReaderAt, m meta, leaves bool) error {
	s := &shape{f: f, m: m, leaves: leaves, used: make([]uint64, (m.end+63)/64)}
	if err := s.claim(0, 1); err != nil { // the meta pages
		return err
	}
	if err := s.tree(m.root, true); err != nil {
		return err
	}
	return s.freelist()
}

// claim marks pages as used and refuses pages that are outside the file or used already: so the walk ends.
func (s *shape) claim(id, overflow uint64) error {
	if id >= s.m.end || overflow >= s.m.end-id {
		return damagedFile("page %d+%d of %d", id, overflow, s.m.end)
	}
	for p := id; p <= id+overflow; p++ {
		if s.used[p/64]&(1<<(p%64)) != 0 {
			return damagedFile("page %d is used twice", p)
		}
		s.used[p/64] |= 1 << (p % 64)
	}
	return nil
}

// page reads a page with its overflow and claims it.
func (s *shape) page(id uint64) ([]byte, error) {
	var head [pageHeaderSize]byte
	if err := s.head(id, &head); err != nil {
		return nil, err
	}
	overflow := uint64(binary.NativeEndian.Uint32(head[12:]))
	if err := s.claim(id, overflow); err != nil {
		return nil, err
	}
	p := make([]byte, (overflow+1)*pageSize)
	if _, err := s.f.ReadAt(p, int64(id)*pageSize); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	return p, nil
}

func (s *shape) head(id uint64, head *[pageHeaderSize]byte) error {
	if id < 2 || id >= s.m.end {
		return damagedFile("page %d of %d", id, s.m.end)
	}
	if _, err := s.f.ReadAt(head[:], int64(id)*pageSize); err != nil {
		return fmt.Errorf("read page %d: %w", id, err)
	}
	if binary.NativeEndian.Uint64(head[:]) != id {
		return damagedFile("page %d has another number in it", id)
	}
	return nil
}

// tree walks the tree below a page. In the root tree the leaves' rows are buckets, each with a tree of its own.
func (s *shape) tree(id uint64, root bool) error {
	p, err := s.page(id)
	if err != nil {
		return err
	}
	switch binary.NativeEndian.Uint16(p[8:]) {
	case flagBranch:
		return s.branch(id, p, root)
	case flagLeaf:
		return s.leaf(fmt.Sprintf("page %d", id), p, root)
	}
	return damagedFile("page %d is no tree page", id)
}

func (s *shape) branch(id uint64, p []byte, root bool) error {
	children, err := branchChildren(id, p)
	if err != nil {
		return err
	}
	if !s.leaves && !root {
		var head [pageHeaderSize]byte
		if err := s.head(children[0], &head); err != nil {
			return err
		}
		if binary.NativeEndian.Uint16(head[8:]) == flagLeaf {
			for _, child := range children {
				if child < 2 {
					return damagedFile("page %d points at a meta page", id)
				}
				if err := s.claim(child, 0); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, child := range children {
		if err := s.tree(child, root); err != nil {
			return err
		}
	}
	return nil
}

func branchChildren(id uint64, p []byte) ([]uint64, error) {
	ne := binary.NativeEndian
	count := int(ne.Uint16(p[10:]))
	if count == 0 || pageHeaderSize+count*elementSize > len(p) {
		return nil, damagedFile("page %d: %d children", id, count)
	}
	children := make([]uint64, count)
	var last []byte
	for i := range children {
		at := pageHeaderSize + i*elementSize
		from := uint64(at) + uint64(ne.Uint32(p[at:]))
		to := from + uint64(ne.Uint32(p[at+4:]))
		if to > uint64(len(p)) {
			return nil, damagedFile("page %d: key outside the page", id)
		}
		key := p[from:to]
		if i > 0 && bytes.Compare(last, key) >= 0 {
			return nil, damagedFile("page %d: keys out of order", id)
		}
		last, children[i] = key, ne.Uint64(p[at+8:])
	}
	return children, nil
}

// leaf checks a leaf page's rows, and the trees of the buckets among them.
func (s *shape) leaf(where string, p []byte, root bool) error {
	if !s.leaves && !root {
		return nil
	}
	ne := binary.NativeEndian
	count := int(ne.Uint16(p[10:]))
	if pageHeaderSize+count*elementSize > len(p) {
		return damagedFile("%s: %d rows", where, count)
	}
	var last []byte
	for i := range count {
		at := pageHeaderSize + i*elementSize
		flags := ne.Uint32(p[at:])
		from := uint64(at) + uint64(ne.Uint32(p[at+4:]))
		mid := from + uint64(ne.Uint32(p[at+8:]))
		to := mid + uint64(ne.Uint32(p[at+12:]))
		if to > uint64(len(p)) {
			return damagedFile("%s: row outside the page", where)
		}
		key, value := p[from:mid], p[mid:to]
		if len(key) == 0 || (i > 0 && bytes.Compare(last, key) >= 0) {
			return damagedFile("%s: keys out of order", where)
		}
		last = key
		if bucket := flags&leafFlagBucket != 0; bucket != root {
			return damagedFile("%s: bucket in a wrong place", where)
		} else if bucket {
			if err := s.bucket(where, value); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *shape) bucket(where string, value []byte) error {
	if len(value) < bucketSize {
		return damagedFile("%s: bucket of %d bytes", where, len(value))
	}
	if id := binary.NativeEndian.Uint64(value); id != 0 {
		return s.tree(id, false)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeaderSize || binary.NativeEndian.Uint16(inline[8:]) != flagLeaf {
		return damagedFile("%s: inline bucket", where)
	}
	full := &shape{f: s.f, m: s.m, leaves: true, used: s.used} // it is in memory already, so look at its rows
	return full.leaf(where+", inline bucket", inline, false)
}

// freelist checks that free pages are in the file, in order, and in no tree.
func (s *shape) freelist() error {
	p, err := s.page(s.m.freelist)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	if ne.Uint16(p[8:]) != flagFreelist {
		return damagedFile("page %d is no freelist", s.m.freelist)
	}
	count, at := uint64(ne.Uint16(p[10:])), uint64(pageHeaderSize)
	if count == 0xFFFF { // the real count is the first number
		count, at = ne.Uint64(p[at:]), at+8
	}
	if count > (uint64(len(p))-at)/8 {
		return damagedFile("freelist of %d pages", count)
	}
	last := uint64(1)
	for range count {
		id := ne.Uint64(p[at:])
		if id <= last {
			return damagedFile("freelist out of order")
		}
		if err := s.claim(id, 0); err != nil {
			return fmt.Errorf("freelist: %w", err)
		}
		last, at = id, at+8
	}
	return nil
}
