package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// shape walks a bbolt file's trees with plain reads. Open does so because bbolt checks nothing: a wrong page number in a
// branch page sends it round in circles until the process dies; a wrong page count in a leaf's header, or a wrong number in the
// freelist, makes it overwrite living rows. bbolt writes pages in order and without gaps, so wrong counts and lengths show.
//
// Two kinds of findings: an error means that not even reading through bbolt is safe (branch pages, bucket list). Wounds
// mean that bbolt must not write; reading is safe, and may miss rows.
//
// It reads every page in use once. Values are not looked at: a sealed row verifies itself when it is read.
type shape struct {
	f      io.ReaderAt
	m      meta
	nodes  pageSet // first pages of trees' pages: met once, so the trees have no circles
	taken  pageSet // all pages of trees and freelist, with overflow: each belongs to one place
	wounds wounds
	buffer []byte // of the page at hand
}

// wounds is damage that leaves a file readable.
type wounds struct {
	found []string
	// after has, per bucket, the first keys behind pages that cannot be read, in order: reading goes on there.
	after map[string][][]byte
	// single: one of the two meta pages does not verify. A torn write leaves that too, so it is no reason to refuse the file.
	single bool
}

// flaw is what is wrong with a page, as opposed to a failed read.
type flaw struct{ text string }

func (f *flaw) Error() string { return f.text }

func flawf(format string, args ...any) error { return &flaw{fmt.Sprintf(format, args...)} }

// pageSet is a set of page numbers.
type pageSet []uint64

func (s pageSet) add(id uint64) (isNew bool) {
	isNew = s[id/64]&(1<<(id%64)) == 0
	s[id/64] |= 1 << (id % 64)
	return isNew
}

func checkShape(f io.ReaderAt, m meta) (wounds, error) {
	words := (m.end + 63) / 64
	s := &shape{f: f, m: m, nodes: make(pageSet, words), taken: make(pageSet, words)}
	s.wounds.after, s.wounds.single = map[string][][]byte{}, m.single
	s.take(0, 1) // the meta pages
	if err := s.tree(m.root, span{}); err != nil {
		return wounds{}, err
	}
	if err := s.freelist(); err != nil {
		return wounds{}, err
	}
	return s.wounds, nil
}

func (s *shape) wound(format string, args ...any) {
	s.wounds.found = append(s.wounds.found, fmt.Sprintf(format, args...))
}

// take gives pages to one place.
func (s *shape) take(id, overflow uint64) {
	if overflow >= s.m.end-id {
		s.wound("page %d+%d of %d", id, overflow, s.m.end)
		return
	}
	for p := id; p <= id+overflow; p++ {
		if !s.taken.add(p) {
			s.wound("page %d is used twice", p)
		}
	}
}

// read reads a page with its overflow, which is cut at the end of the file, into buffer if it is large enough.
func (s *shape) read(buffer []byte, id uint64) (page []byte, overflow uint64, err error) {
	if id < 2 || id >= s.m.end {
		return nil, 0, flawf("page %d of %d", id, s.m.end)
	}
	if len(buffer) < pageSize {
		buffer = make([]byte, pageSize)
	}
	if _, err := s.f.ReadAt(buffer[:pageSize], int64(id)*pageSize); err != nil {
		return nil, 0, fmt.Errorf("read page %d: %w", id, err)
	}
	if binary.NativeEndian.Uint64(buffer) != id {
		return nil, 0, flawf("page %d has another number in it", id)
	}
	overflow = uint64(binary.NativeEndian.Uint32(buffer[12:]))
	size := (min(overflow, s.m.end-id-1) + 1) * pageSize
	if uint64(len(buffer)) < size {
		buffer = append(make([]byte, 0, size), buffer[:pageSize]...)[:size]
	}
	if rest := buffer[pageSize:size]; len(rest) > 0 {
		if _, err := s.f.ReadAt(rest, int64(id+1)*pageSize); err != nil {
			return nil, 0, fmt.Errorf("read page %d: %w", id, err)
		}
	}
	return buffer[:size], overflow, nil
}

func pageFlags(p []byte) uint16 { return binary.NativeEndian.Uint16(p[8:]) }
func pageCount(p []byte) int    { return int(binary.NativeEndian.Uint16(p[10:])) }

// span is where a subtree belongs: to the tree of a bucket, or to the bucket list when bucket is empty, below a key.
type span struct {
	bucket string
	below  []byte // nil: no end
}

// unreadable notes a page that bbolt will panic on, which guard catches.
func (s *shape) unreadable(id uint64, in span, why error) error {
	if in.bucket == "" {
		return why
	}
	s.wound("page %d: %v", id, why)
	if in.below != nil {
		s.wounds.after[in.bucket] = append(s.wounds.after[in.bucket], bytes.Clone(in.below))
	}
	return nil
}

// tree walks the tree below a page.
func (s *shape) tree(id uint64, in span) error {
	if id < s.m.end && !s.nodes.add(id) {
		return flawf("page %d has two parents", id)
	}
	p, overflow, err := s.read(s.buffer, id)
	if f := (*flaw)(nil); errors.As(err, &f) {
		return s.unreadable(id, in, err)
	} else if err != nil {
		return err
	}
	s.buffer = p[:cap(p)]
	switch pageFlags(p) {
	case flagBranch:
		s.take(id, overflow)
		return s.branch(id, bytes.Clone(p), in)
	case flagLeaf:
		s.take(id, overflow)
		if in.bucket == "" {
			return s.buckets(bytes.Clone(p))
		}
		if err := checkLeaf(p, nil); err != nil {
			return s.unreadable(id, in, err) // or bbolt reads it in part: keys are out of order then, or rows do not verify
		}
		return nil
	}
	return s.unreadable(id, in, flawf("neither branch nor leaf"))
}

func (s *shape) branch(id uint64, p []byte, in span) error {
	ne := binary.NativeEndian
	count := pageCount(p)
	data := uint64(pageHeaderSize + count*elementSize)
	if count == 0 || data > uint64(len(p)) {
		return flawf("page %d: %d children", id, count)
	}
	keys := make([][]byte, count+1)
	for i := range count {
		at := pageHeaderSize + i*elementSize
		from := uint64(at) + uint64(ne.Uint32(p[at:]))
		to := from + uint64(ne.Uint32(p[at+4:]))
		if from != data || to > uint64(len(p)) {
			return flawf("page %d: key in a wrong place", id)
		}
		keys[i], data = p[from:to], to
		if i > 0 && bytes.Compare(keys[i-1], keys[i]) >= 0 {
			return flawf("page %d: keys out of order", id)
		}
	}
	keys[count] = in.below
	for i := range count {
		child := ne.Uint64(p[pageHeaderSize+i*elementSize+8:])
		if err := s.tree(child, span{in.bucket, keys[i+1]}); err != nil {
			return err
		}
	}
	return nil
}

// checkLeaf checks that a leaf page's rows are where bbolt writes them. With bucket, the rows are buckets and given to it.
func checkLeaf(p []byte, bucket func(name, value []byte) error) error {
	ne := binary.NativeEndian
	count := pageCount(p)
	data := uint64(pageHeaderSize + count*elementSize)
	if data > uint64(len(p)) {
		return flawf("%d rows", count)
	}
	var last []byte
	for i := range count {
		at := pageHeaderSize + i*elementSize
		from := uint64(at) + uint64(ne.Uint32(p[at+4:]))
		mid := from + uint64(ne.Uint32(p[at+8:]))
		to := mid + uint64(ne.Uint32(p[at+12:]))
		if from != data || to > uint64(len(p)) {
			return flawf("row in a wrong place")
		}
		key := p[from:mid]
		if len(key) == 0 || (i > 0 && bytes.Compare(last, key) >= 0) {
			return flawf("keys out of order")
		}
		last, data = key, to
		if flags := ne.Uint32(p[at:]); (flags&leafFlagBucket != 0) != (bucket != nil) {
			return flawf("bucket among rows, or row among buckets")
		}
		if bucket != nil {
			if err := bucket(key, p[mid:to]); err != nil {
				return err
			}
		}
	}
	return nil
}

// buckets walks the bucket list. A small bucket is inline: its one leaf page is in the list.
func (s *shape) buckets(p []byte) error {
	return checkLeaf(p, func(name, value []byte) error {
		if len(value) < bucketSize {
			return flawf("bucket of %d bytes", len(value))
		}
		if id := binary.NativeEndian.Uint64(value); id != 0 {
			return s.tree(id, span{bucket: string(name)})
		}
		inline := value[bucketSize:]
		if len(inline) < pageHeaderSize || pageFlags(inline) != flagLeaf {
			return flawf("inline bucket")
		}
		if err := checkLeaf(inline, nil); err != nil {
			s.wound("inline bucket: %v", err)
		}
		return nil
	})
}

// freelist checks that free pages are in the file, in order, and in no tree. bbolt reads it only to write.
func (s *shape) freelist() error {
	p, overflow, err := s.read(nil, s.m.freelist)
	if f := (*flaw)(nil); errors.As(err, &f) || err == nil && pageFlags(p) != flagFreelist {
		s.wound("freelist page %d: %v", s.m.freelist, err)
		return nil
	} else if err != nil {
		return err
	}
	s.take(s.m.freelist, overflow)
	ne := binary.NativeEndian
	count, at := uint64(pageCount(p)), uint64(pageHeaderSize)
	if count == 0xFFFF { // the real count is the first number
		count, at = ne.Uint64(p[at:]), at+8
	}
	if count > (uint64(len(p))-at)/8 {
		s.wound("freelist of %d pages", count)
		return nil
	}
	last := uint64(1)
	for range count {
		id := ne.Uint64(p[at:])
		if id <= last || id >= s.m.end {
			s.wound("freelist: page %d after %d", id, last)
			return nil
		}
		s.take(id, 0)
		last, at = id, at+8
	}
	return nil
}
