//go:build linux

package recorder

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/sambang-id/sambang/crash/disk"
)

// Notes is the name of the file in the root that a program writes notes to.
const Notes = "notes"

// Fault lets one operation fail. The zero value lets none.
type Fault struct {
	// At is which operation that changes the disk fails, from 1 on.
	At    int
	Errno syscall.Errno
	// Drop loses, if that operation is the sync of a file, what was written to
	// the file and not synced: the program goes on reading it.
	Drop bool
}

// Disk is a mounted file system.
type Disk struct {
	server *fuse.Server

	mu    sync.Mutex
	log   *disk.Log
	fault Fault
	count int
	hit   int // index of the failed operation in the log, -1 before
}

// Mount mounts an empty file system on a folder.
func Mount(folder string, fault Fault) (*Disk, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("recording a disk needs root, to mount a FUSE file system")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		return nil, fmt.Errorf("recording a disk needs FUSE (modprobe fuse; in a container: --device /dev/fuse --cap-add SYS_ADMIN): %w", err)
	}
	d := &Disk{log: disk.NewLog(), fault: fault, hit: -1}
	root := &node{disk: d, id: disk.Root, mode: syscall.S_IFDIR | 0o700, links: 1}
	forever := time.Hour // all that changes, changes through this kernel
	server, err := fs.Mount(folder, root, &fs.Options{
		MountOptions: fuse.MountOptions{
			DirectMountStrict: true, FsName: "sambang-crash", Name: "crash", DisableXAttrs: true,
			MaxWrite: 1 << 20, // one write of the program is one of the log
		},
		EntryTimeout: &forever, AttrTimeout: &forever,
	})
	if err != nil {
		return nil, fmt.Errorf("mount a FUSE file system on %q: %w", folder, err)
	}
	d.server = server
	return d, nil
}

// Unmount ends the file system and returns what was done to it. No program may
// have files of it open.
func (d *Disk) Unmount() (*disk.Log, error) {
	if err := d.server.Unmount(); err != nil {
		return nil, fmt.Errorf("unmount: %w", err)
	}
	d.server.Wait()
	return d.log, nil
}

// Hit returns the index in the log of the operation that was made to fail, and
// -1 if none was.
func (d *Disk) Hit() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hit
}

// do writes an operation down, or lets it fail. d.mu is held.
func (d *Disk) do(op disk.Op) syscall.Errno {
	d.count++
	if d.count != d.fault.At {
		d.log.Add(op)
		return 0
	}
	d.hit = len(d.log.Ops)
	failed := disk.Op{Kind: disk.Refused, Node: op.Node, Text: op.String() + ": " + d.fault.Errno.Error()}
	if op.Kind == disk.Sync && d.fault.Drop {
		failed.Kind = disk.Dropped
	}
	d.log.Add(failed)
	return d.fault.Errno
}
