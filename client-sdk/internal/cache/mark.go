package cache

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// Mark says how far a replica has minted: n writes, with the chain head after them (SYNC 4.2, 4.8). It lives outside the
// database, so that a database file that was brought back from a backup or a copy is found out: its own n is lower.
type Mark struct {
	Replica uint64
	N       uint64
	Head    [32]byte
}

// MarkState is what ReadMark found. Only MarkValid comes with a Mark; on any other the caller takes a new replica id.
type MarkState int

const (
	MarkMissing MarkState = iota // no mark was ever written here, or the folder was emptied
	MarkValid                    // the last mark that WriteMark returned nil for, or one that it was writing
	MarkDamaged                  // there is a mark, and it does not verify
	MarkForeign                  // whole, but of another store or key: the files were mixed
)

func (s MarkState) String() string {
	return [...]string{"missing", "valid", "damaged", "foreign"}[s]
}

// ReadMark returns the mark as it was when the store was opened, or as WriteMark wrote it since.
func (db *DB) ReadMark() (Mark, MarkState) { return db.mark.read() }

// WriteMark makes a mark durable, at the cost of one sync. Call it before the Update that mints, and do not mint when it fails:
// which of the two marks is on the disk is not known then. A crash at any point leaves the old mark or the new one.
func (db *DB) WriteMark(m Mark) error { return db.mark.begin(m)() }

// BeginMark is the first half of WriteMark: it sends the mark on its way to the disk, for a caller that has something to prepare
// meanwhile. Before wait has returned nil, nothing that the mark fences may be committed. wait may be called again; it must be
// called before the next mark is begun.
func (db *DB) BeginMark(m Mark) (wait func() error) { return db.mark.begin(m) }

// markFile has two slots, each in its own page so that a torn write stays in one. They are written by turns; the valid one with
// the higher sequence holds. The slot of the last durable mark is never written over, so a failed write is tried again in
// the same slot. The file never changes its size: one pwrite and one fdatasync make a mark durable.
type markFile struct {
	o    Options
	keys *keyring

	mu       sync.Mutex
	file     *os.File // nil when closed
	mark     Mark
	state    MarkState
	sequence uint64 // highest that was ever tried
	slot     int    // of the last durable mark
}

const (
	markName    = "mark"
	markNewName = "mark.new"
	markPage    = 4096
	markMagic   = "SBMARK1\n"

	// magic (8) | sequence (8) | replica (8) | n (8) | head (32) | store id (16) | HMAC-SHA256 (32) | SHA-256 of these, cut (8)
	markBody = 8 + 8 + 8 + 8 + 32 + storeIDSize
	markSlot = markBody + 32 + 8
)

func openMark(o Options, k *keyring) (*markFile, error) {
	path := filepath.Join(o.MarkDir, markName)
	f, err := os.OpenFile(path, o.openFlag(), 0)
	if errors.Is(err, fs.ErrNotExist) {
		if o.ReadOnly {
			return &markFile{o: o, keys: k}, nil
		}
		if err := o.makeFolder(o.MarkDir); err != nil {
			return nil, fmt.Errorf("mark: %w", err)
		}
		if err := createMark(o, path); err != nil {
			return nil, fmt.Errorf("create mark: %w", err)
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("mark: %w", err)
	}
	m := &markFile{o: o, keys: k, file: f}
	if err := m.load(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read mark: %w", err)
	}
	return m, nil
}

func createMark(o Options, path string) error {
	temp := filepath.Join(o.MarkDir, markNewName)
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	err = o.durably(OpCreateMark, func() error {
		if _, err := f.Write(make([]byte, 2*markPage)); err != nil {
			return err
		}
		return f.Sync()
	})
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return o.syncFolder(o.MarkDir)
}

// load reads both slots, and fences them: a mark may be visible and not durable when the process was killed while writing it.
func (m *markFile) load() error {
	pages := make([]byte, 2*markPage)
	n, err := m.file.ReadAt(pages, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var states [2]MarkState
	for i := range states {
		mark, sequence, state := m.parse(pages[i*markPage:][:markSlot])
		if states[i] = state; state == MarkValid && (m.state != MarkValid || sequence > m.sequence) {
			m.mark, m.sequence, m.slot, m.state = mark, sequence, i, MarkValid
		}
	}
	if m.state != MarkValid {
		m.state = max(states[0], states[1])
		m.slot = 1 // start again in slot 0
	}
	if n < len(pages) && m.state == MarkMissing {
		m.state = MarkDamaged // the file was cut: it is made whole before it is renamed into place
	}
	if m.o.ReadOnly {
		return nil
	}
	return m.o.durably(OpFence, func() error {
		if _, err := m.file.WriteAt(pages, 0); err != nil {
			return err
		}
		return m.file.Sync()
	})
}

func (m *markFile) parse(slot []byte) (Mark, uint64, MarkState) {
	if allZero(slot) {
		return Mark{}, 0, MarkMissing
	}
	sum := sha256.Sum256(slot[:markSlot-8])
	if !bytes.Equal(sum[:8], slot[markSlot-8:]) || string(slot[:8]) != markMagic {
		return Mark{}, 0, MarkDamaged
	}
	if !hmac.Equal(m.mac(slot[:markBody]), slot[markBody:markBody+32]) {
		return Mark{}, 0, MarkForeign
	}
	mark := Mark{Replica: binary.BigEndian.Uint64(slot[16:]), N: binary.BigEndian.Uint64(slot[24:])}
	copy(mark.Head[:], slot[32:])
	return mark, binary.BigEndian.Uint64(slot[8:]), MarkValid
}

func (m *markFile) format(mark Mark, sequence uint64) []byte {
	slot := make([]byte, 0, markSlot)
	slot = append(slot, markMagic...)
	slot = binary.BigEndian.AppendUint64(slot, sequence)
	slot = binary.BigEndian.AppendUint64(slot, mark.Replica)
	slot = binary.BigEndian.AppendUint64(slot, mark.N)
	slot = append(slot, mark.Head[:]...)
	slot = append(slot, m.keys.store[:]...)
	slot = append(slot, m.mac(slot)...)
	sum := sha256.Sum256(slot)
	return append(slot, sum[:8]...)
}

func (m *markFile) mac(body []byte) []byte {
	mac := hmac.New(sha256.New, m.keys.mark)
	mac.Write(body)
	return mac.Sum(nil)
}

func (m *markFile) read() (Mark, MarkState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mark, m.state
}

func (m *markFile) begin(mark Mark) (wait func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, begun := 1-m.slot, m.send(mark, 1-m.slot)
	return sync.OnceValue(func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		err := begun
		if err == nil {
			err = m.o.durably(OpMark, func() error { return syncData(m.file) })
		}
		switch {
		case err == nil:
			m.mark, m.state, m.slot = mark, MarkValid, slot
		case isNoSpace(err):
			err = fmt.Errorf("write mark: %w: %w", ErrNoSpace, err)
		default:
			err = fmt.Errorf("write mark: %w", err)
		}
		return err
	})
}

// send writes the slot and has the kernel start moving it to the disk.
func (m *markFile) send(mark Mark, slot int) error {
	switch {
	case m.o.ReadOnly:
		return ErrReadOnly
	case m.file == nil:
		return ErrClosed
	}
	m.sequence++
	at := int64(slot) * markPage
	if _, err := m.file.WriteAt(m.format(mark, m.sequence), at); err != nil {
		return err
	}
	startSync(m.file, at, markPage)
	return nil
}

func (m *markFile) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file != nil {
		_ = m.file.Close()
		m.file = nil
	}
}
