package cache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/sambang-id/sambang/internal/ablate"
)

// handle is an open bbolt file. After a commit failed on it, it is only closed.
type handle struct {
	bolt   *bolt.DB
	file   *os.File // the descriptor that bolt uses
	wounds wounds   // with ReadOnly only
	spare  reserver
	lost   atomic.Bool // a panic left bbolt's locks taken: any further call might wait for ever
}

// boltTimeout is short: our own lock is held, so only a foreign tool can hold bbolt's.
const boltTimeout = 100 * time.Millisecond

// attach checks a file, opens it, lets accept judge its header, and fences it. What it refuses, it does not change.
func attach(path string, o Options, accept func(header) error) (*handle, error) {
	f, err := os.OpenFile(path, o.openFlag(), 0)
	if err != nil {
		return nil, err
	}
	w, err := inspect(f)
	if n := len(w.found); err == nil && n > 0 && !o.ReadOnly {
		err = damagedFile("%d findings, first: %s", n, w.found[0])
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	h, err := openBolt(f, o.ReadOnly)
	if err != nil {
		return nil, err
	}
	h.wounds = w
	err = guarded(func() error {
		return h.bolt.View(func(tx *bolt.Tx) error {
			head, err := readHeader(tx)
			if err != nil {
				return err
			}
			return accept(head)
		})
	})
	if err == nil && !o.ReadOnly && !ablate.Off(ablate.R04CommitFence) {
		err = o.durably(OpFence, func() error { return fence(f) })
	}
	if err != nil {
		_ = h.close()
		return nil, err
	}
	return h, nil
}

// inspect reads a file's structure without mapping it.
func inspect(f *os.File) (wounds, error) {
	info, err := f.Stat()
	if err != nil {
		return wounds{}, err
	}
	if !info.Mode().IsRegular() {
		return wounds{}, fmt.Errorf("%s is no regular file: %w", info.Name(), ErrForeign)
	}
	m, err := readMetas(f, info.Size())
	if err != nil {
		return wounds{}, err
	}
	if err := warm(f, int64(m.end)*pageSize); err != nil {
		return wounds{}, err
	}
	w, err := checkShape(f, m)
	if fl := (*flaw)(nil); errors.As(err, &fl) {
		err = damagedFile("%s", fl.text)
	}
	return w, err
}

// warm reads the pages in use once, in the order in which they lie on the disk: many times faster on flash than one by one,
// which is how the walk, and later bbolt's map, ask for them.
func warm(f *os.File, size int64) error {
	chunk := make([]byte, min(max(size, pageSize), 256<<10))
	_, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.NewSectionReader(f, 0, size), chunk)
	return err
}

// openBolt hands a file to bbolt. The file is closed when that fails.
func openBolt(f *os.File, readOnly bool) (*handle, error) {
	h := &handle{file: f, spare: reserver{file: f}}
	err := guarded(func() (err error) {
		h.bolt, err = bolt.Open(f.Name(), 0o600, &bolt.Options{
			Timeout:  boltTimeout,
			OpenFile: func(string, int, os.FileMode) (*os.File, error) { return f, nil },
			ReadOnly: readOnly, // then bbolt does not look at the freelist
			PageSize: pageSize,
			// A freelist on disk costs a page per commit. Without it every open would scan the whole file, in a goroutine
			// of bbolt's whose panic on a damaged page nothing can catch.
			NoFreelistSync: false,
			// The array's cost per allocation grows with the number of free pages.
			FreelistType:    bolt.FreelistMapType,
			InitialMmapSize: initialMap(),
			NoStatistics:    true,
			NoSync:          ablate.Off(ablate.R01NoSync),
		})
		return err
	})
	if err != nil {
		_ = f.Close() // bbolt may have closed it: then this says so, and no more
		if errors.Is(err, bolterrors.ErrTimeout) {
			return nil, ErrLocked
		}
		return nil, fmt.Errorf("open bbolt: %w", err)
	}
	h.bolt.AllocSize = growStep
	return h, nil
}

// growStep is how much the file grows at a time, in bytes. Each growth costs a sync more; the space is sparse until used.
const growStep = 4 << 20

// initialMap is the size of the first map, in bytes. Growing the map waits for all readers, so it is made larger than a
// phone's store gets; it costs addresses only, which a 32-bit phone has few of. Windows would grow the file to it.
func initialMap() int {
	switch {
	case runtime.GOOS == "windows":
		return 0
	case strconv.IntSize == 32:
		return 64 << 20
	}
	return 1 << 30
}

// fence makes what is visible durable: it writes both meta pages again with the bytes that a read gives now, and syncs.
// After a failed sync the kernel may hold pages that it shows to readers and takes for clean, though the disk lacks them.
func fence(f *os.File) error {
	metas := make([]byte, 2*pageSize)
	if _, err := f.ReadAt(metas, 0); err != nil {
		return fmt.Errorf("fence: read: %w", err)
	}
	if _, err := f.WriteAt(metas, 0); err != nil {
		return fmt.Errorf("fence: write: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("fence: sync: %w", err)
	}
	return nil
}

// errLost is what a handle answers after a panic at a place that bbolt does not recover from: a file that was cut while open.
var errLost = fmt.Errorf("%w (the file changed under the store: %w)", ErrClosed, ErrDamaged)

// begin starts a transaction of bbolt's.
func (h *handle) begin(writable bool) (tx *bolt.Tx, err error) {
	if h.lost.Load() {
		return nil, errLost
	}
	err = guarded(func() (err error) {
		tx, err = h.bolt.Begin(writable)
		return err
	})
	h.note(err)
	return tx, err
}

// rollback ends a transaction that was not committed; one that is over already is no error.
func (h *handle) rollback(tx *bolt.Tx) {
	h.note(guarded(tx.Rollback))
}

func (h *handle) note(err error) {
	if p := (*panicked)(nil); errors.As(err, &p) {
		h.lost.Store(true)
	}
}

// txid is the number of the last transaction that took effect.
func (h *handle) txid() (uint64, error) {
	tx, err := h.begin(false)
	if err != nil {
		return 0, err
	}
	defer h.rollback(tx)
	return uint64(tx.ID()), nil
}

// close closes the file, also under a bbolt that cannot be closed any more: its map stays, unused, until the process ends.
func (h *handle) close() error {
	if h.lost.Load() {
		return h.file.Close()
	}
	err := guarded(h.bolt.Close)
	_ = h.file.Close() // bbolt has closed it, unless it panicked
	return err
}
