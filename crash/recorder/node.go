//go:build linux

package recorder

import (
	"bytes"
	"context"
	"strings"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/sambang-id/sambang/crash/disk"
)

// node is a file or folder as the program sees it. All but the embedded part
// is guarded by disk.mu.
type node struct {
	fs.Inode
	disk  *Disk
	id    disk.Node
	mode  uint32
	links uint32
	file  disk.File
	notes bool // the file that notes are written to
	quiet bool // content is not recorded
}

var (
	_ fs.NodeGetattrer = (*node)(nil)
	_ fs.NodeSetattrer = (*node)(nil)
	_ fs.NodeCreater   = (*node)(nil)
	_ fs.NodeMkdirer   = (*node)(nil)
	_ fs.NodeLinker    = (*node)(nil)
	_ fs.NodeUnlinker  = (*node)(nil)
	_ fs.NodeRmdirer   = (*node)(nil)
	_ fs.NodeRenamer   = (*node)(nil)
	_ fs.NodeOpener    = (*node)(nil)
	_ fs.NodeReader    = (*node)(nil)
	_ fs.NodeWriter    = (*node)(nil)
	_ fs.NodeFsyncer   = (*node)(nil)
)

func (n *node) attr(out *fuse.Attr) {
	out.Mode, out.Nlink, out.Ino = n.mode, n.links, uint64(n.id)+1
	out.Size, out.Blksize = uint64(n.file.Size()), disk.BlockSize
}

// Getattr implements fs.NodeGetattrer.
func (n *node) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	n.attr(&out.Attr)
	return 0
}

// Setattr implements fs.NodeSetattrer: of size and mode.
func (n *node) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if mode, ok := in.GetMode(); ok {
		n.mode = n.mode&syscall.S_IFMT | mode&0o777
		n.disk.log.SetMode(n.id, mode)
	}
	if size, ok := in.GetSize(); ok {
		if errno := n.truncate(int64(size)); errno != 0 {
			return errno
		}
	}
	n.attr(&out.Attr)
	return 0
}

func (n *node) truncate(size int64) syscall.Errno {
	if size == n.file.Size() || n.notes {
		return 0
	}
	if !n.quiet {
		if errno := n.disk.do(disk.Op{Kind: disk.Truncate, Node: n.id, Size: size}); errno != 0 {
			return errno
		}
	}
	n.file = n.file.Truncate(size)
	return 0
}

// child makes a node with a name in the folder n.
func (n *node) child(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	d := n.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &node{
		disk: d, mode: mode, links: 1,
		notes: n.id == disk.Root && name == Notes, quiet: strings.HasSuffix(name, "-shm"),
	}
	if !c.notes {
		c.id = d.log.NewNode(mode&syscall.S_IFMT == syscall.S_IFDIR, mode)
		if errno := d.do(disk.Op{Kind: disk.Link, Dir: n.id, Name: name, Node: c.id}); errno != 0 {
			return nil, errno
		}
	}
	c.attr(&out.Attr)
	return n.NewPersistentInode(ctx, c, fs.StableAttr{Mode: mode & syscall.S_IFMT}), 0
}

// Create implements fs.NodeCreater.
func (n *node) Create(ctx context.Context, name string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, errno := n.child(ctx, name, mode&0o777|syscall.S_IFREG, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	return inode, nil, inode.Operations().(*node).openFlags(), 0
}

// Mkdir implements fs.NodeMkdirer.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	return n.child(ctx, name, mode&0o777|syscall.S_IFDIR, out)
}

// Link implements fs.NodeLinker.
func (n *node) Link(_ context.Context, target fs.InodeEmbedder, name string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	t := target.(*node)
	if errno := n.disk.do(disk.Op{Kind: disk.Link, Dir: n.id, Name: name, Node: t.id}); errno != 0 {
		return nil, errno
	}
	t.links++
	t.attr(&out.Attr)
	return t.EmbeddedInode(), 0
}

// Unlink implements fs.NodeUnlinker.
func (n *node) Unlink(_ context.Context, name string) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if errno := n.disk.do(disk.Op{Kind: disk.Unlink, Dir: n.id, Name: name}); errno != 0 {
		return errno
	}
	n.dropName(name)
	return 0
}

// Rmdir implements fs.NodeRmdirer.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	if c := n.GetChild(name); c != nil && len(c.Children()) > 0 {
		return syscall.ENOTEMPTY
	}
	return n.Unlink(ctx, name)
}

func (n *node) dropName(name string) {
	if c := n.GetChild(name); c != nil {
		c.Operations().(*node).links--
	}
}

// Rename implements fs.NodeRenamer, within a folder: between two, a crash may
// leave both names or none, which no program here does.
func (n *node) Rename(_ context.Context, name string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	if parent.(*node) != n || flags != 0 {
		return syscall.EXDEV
	}
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	c := n.GetChild(name).Operations().(*node)
	if errno := n.disk.do(disk.Op{Kind: disk.Rename, Dir: n.id, Name: name, To: to, Node: c.id}); errno != 0 {
		return errno
	}
	n.dropName(to)
	return 0
}

// Open implements fs.NodeOpener.
func (n *node) Open(_ context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if flags&syscall.O_TRUNC != 0 {
		if errno := n.truncate(0); errno != 0 {
			return nil, 0, errno
		}
	}
	return nil, n.openFlags(), 0
}

// openFlags keeps notes out of the page cache, so that each write is one note.
// Everything else must be in it, or it could not be mapped.
func (n *node) openFlags() uint32 {
	if n.notes {
		return fuse.FOPEN_DIRECT_IO
	}
	return 0
}

// Read implements fs.NodeReader.
func (n *node) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	return fuse.ReadResultData(dest[:n.file.ReadAt(dest, off)]), 0
}

// Write implements fs.NodeWriter.
func (n *node) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.notes {
		n.disk.log.Add(disk.Op{Kind: disk.Note, Text: string(data)})
		return uint32(len(data)), 0
	}
	data = bytes.Clone(data) // go-fuse uses its buffer again
	if !n.quiet {
		if errno := n.disk.do(disk.Op{Kind: disk.Write, Node: n.id, Off: off, Data: data}); errno != 0 {
			// The kernel has put the bytes into its cache already, where a map would
			// show them. A real disk refuses before. Not from here: the kernel holds
			// the page until this returns.
			go func() { _ = n.NotifyContent(off, int64(len(data))) }() // fails when it is not cached: well
			return 0, errno
		}
	}
	n.file = n.file.Write(off, data)
	return uint32(len(data)), 0
}

// Fsync implements fs.NodeFsyncer, of files and folders.
func (n *node) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	n.disk.mu.Lock()
	defer n.disk.mu.Unlock()
	if n.quiet || n.notes {
		return 0
	}
	if n.mode&syscall.S_IFMT == syscall.S_IFDIR {
		return n.disk.do(disk.Op{Kind: disk.SyncDir, Dir: n.id})
	}
	return n.disk.do(disk.Op{Kind: disk.Sync, Node: n.id})
}
