package cache

import (
	"crypto/rand"
	"io"
	"log/slog"
	"os"
	"path/filepath"
)

// KeySize is the length of Options.Key in bytes: 256 bits, one HKDF input for every key that a store needs.
const KeySize = 32

// Options of Open. A Key, or Plain, must be given; the rest may stay zero.
type Options struct {
	// Key is the data key that the app keeps in the phone's keystore, KeySize bytes. It is not kept; keys for each purpose
	// are derived from it (HKDF-SHA256, salted with the store's id). Default: none, then Plain must be set.
	Key []byte

	// Plain stores values in clear text, for development without a keystore. Values are still verified when read.
	// A store is plain or sealed for life. Default: false.
	Plain bool

	// MarkDir is the folder of the mark. On Android it is a folder below getNoBackupFilesDir(), so that a backup that brings
	// back an old cache.db does not bring back the mark. Default: "mark" in the store's folder.
	MarkDir string

	// Rand gives store ids and nonces. Default: crypto/rand.Reader.
	Rand io.Reader

	// Log hears of what is not returned: a commit that reported an error and yet took effect. Default: silent.
	Log *slog.Logger

	// ReadOnly opens a store that is there and never writes to it, also one whose structure is damaged as long as reading it is
	// safe: to rescue its rows into another store, or to examine it. What DB.Wounds tells may hide rows; then a row that is
	// not found is a *Damage, not ErrNotFound. Update and WriteMark return ErrReadOnly. Default: false.
	ReadOnly bool

	// Fault is a test's hand on the disk: it is called around each step that makes something durable. It may return an
	// error without calling do (the step had no effect), or after it (the effect is visible, its durability unknown).
	// Default: none, and then it costs nothing.
	Fault func(op Op, do func() error) error
}

// Op names a step that makes something durable.
type Op string

// The steps, in the order in which a new store meets them.
const (
	OpSyncDir    Op = "sync directory" // after a file or folder was made or renamed
	OpCreate     Op = "create"         // contents of cache.new, before its rename
	OpRename     Op = "rename"         // cache.new to cache.db
	OpCreateMark Op = "create mark"    // the mark's empty file
	OpFence      Op = "fence"          // meta pages written again with the same bytes
	OpCommit     Op = "commit"         // one Update
	OpMark       Op = "mark"           // one WriteMark
)

func (o Options) withDefaults(dir string) (Options, error) {
	if o.Plain != (o.Key == nil) || (o.Key != nil && len(o.Key) != KeySize) {
		return o, ErrKeySize
	}
	if o.MarkDir == "" {
		o.MarkDir = filepath.Join(dir, "mark")
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

func (o Options) openFlag() int {
	if o.ReadOnly {
		return os.O_RDONLY
	}
	return os.O_RDWR
}

func (o Options) durably(op Op, do func() error) error {
	if o.Fault == nil {
		return do()
	}
	return o.Fault(op, do)
}
