package disk

import "crypto/sha256"

// BlockSize is how files are kept: in blocks of this many bytes.
const BlockSize = 4096

// block is never changed once it is part of a File.
type block struct {
	data [BlockSize]byte
	sum  [16]byte // of data, once summed
	done bool
}

// File is the content of a file. Files are values: no method changes what
// another File shows. Blocks that were never written are holes, and read as
// zeros.
type File struct {
	size   int64
	blocks []*block
}

// Size returns the length in bytes.
func (f File) Size() int64 { return f.size }

// Write returns the file with data at an offset.
func (f File) Write(off int64, data []byte) File {
	if len(data) == 0 {
		return f
	}
	end := off + int64(len(data))
	out := f.resized(max(f.size, end))
	for len(data) > 0 {
		i, at := off/BlockSize, off%BlockSize
		b := &block{}
		if old := out.blocks[i]; old != nil {
			b.data = old.data
		}
		n := copy(b.data[at:], data)
		out.blocks[i] = b
		if b.data == (block{}).data {
			out.blocks[i] = nil // so that zeros are the same whether they were written or not
		}
		data, off = data[n:], off+int64(n)
	}
	return out
}

// Truncate returns the file cut, or extended by a hole, to a size.
func (f File) Truncate(size int64) File {
	out := f.resized(size)
	if at := size % BlockSize; size < f.size && at > 0 {
		if old := out.blocks[len(out.blocks)-1]; old != nil {
			b := &block{}
			copy(b.data[:at], old.data[:at])
			out.blocks[len(out.blocks)-1] = b
		}
	}
	return out
}

// resized returns a copy that may be changed.
func (f File) resized(size int64) File {
	blocks := make([]*block, (size+BlockSize-1)/BlockSize)
	copy(blocks, f.blocks)
	return File{size: size, blocks: blocks}
}

// ReadAt fills p from an offset, and returns how many bytes there are.
func (f File) ReadAt(p []byte, off int64) int {
	if off >= f.size {
		return 0
	}
	p = p[:min(int64(len(p)), f.size-off)]
	for n := 0; n < len(p); {
		at := (off + int64(n)) % BlockSize
		part := p[n:min(len(p), n+int(BlockSize-at))]
		if b := f.blocks[(off+int64(n))/BlockSize]; b != nil {
			copy(part, b.data[at:])
		} else {
			clear(part)
		}
		n += len(part)
	}
	return len(p)
}

// sum is a block's hash, of which a hole has all zeros.
func (b *block) hash() [16]byte {
	if b == nil {
		return [16]byte{}
	}
	if !b.done {
		full := sha256.Sum256(b.data[:])
		b.sum, b.done = [16]byte(full[:16]), true
	}
	return b.sum
}

// runs calls fn with each stretch of the file that is no hole.
func (f File) runs(fn func(off int64, data []byte) error) error {
	for i := 0; i < len(f.blocks); i++ {
		if f.blocks[i] == nil {
			continue
		}
		first := i
		var data []byte
		for ; i < len(f.blocks) && f.blocks[i] != nil; i++ {
			data = append(data, f.blocks[i].data[:]...)
		}
		off := int64(first) * BlockSize
		if err := fn(off, data[:min(int64(len(data)), f.size-off)]); err != nil {
			return err
		}
	}
	return nil
}
