package cache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// DB is an open store. Safe for concurrent use: one Update at a time, beside any number of Views.
//
// A goroutine must not start an Update or a View inside the closure of another: bbolt may have to wait for the open
// transaction to end, for ever.
type DB struct {
	path string
	o    Options
	keys *keyring
	lock *os.File
	mark *markFile

	update  sync.Mutex // held by the one Update
	writer  *codec     // these three are the Update's
	nonces  nonces
	sealed  arena
	codecs  sync.Pool     // of Views
	durable atomic.Uint64 // bbolt's id of the last transaction that is known to be on disk

	// committing is held while a commit's outcome is open. Taken before mu.
	committing sync.RWMutex

	// mu is held for reading by every View, and taken by a fence or Close to replace h.
	mu     sync.RWMutex
	h      *handle // nil when closed
	closed error   // why
}

// StoreID is the random id that the store got when it was made. A copy of the file has the same id.
func (db *DB) StoreID() [16]byte { return db.keys.store }

// Dir is the folder that the store was opened in.
func (db *DB) Dir() string { return filepath.Dir(db.path) }

// Wounds says what is damaged in the structure of a store that was opened with ReadOnly, without contents. Empty: nothing.
func (db *DB) Wounds() []string {
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.h == nil {
		return nil
	}
	return append([]string(nil), db.h.wounds.found...)
}

// Close waits for running transactions and closes the store. Later calls return ErrClosed; closing twice is not an error.
func (db *DB) Close() error {
	db.update.Lock()
	defer db.update.Unlock()
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.h == nil {
		return nil
	}
	err := db.h.close()
	db.release(ErrClosed)
	if err != nil {
		return fmt.Errorf("close cache: %w", err)
	}
	return nil
}

// release lets go of all but the handle. The lock is last: after it another opener may come in.
func (db *DB) release(why error) {
	db.h, db.closed = nil, why
	db.mark.close()
	_ = db.lock.Close()
}

// current is the open handle, for callers that hold update or mu.
func (db *DB) current() (*handle, error) {
	if db.h == nil {
		return nil, db.closed
	}
	return db.h, nil
}

// View calls f with a transaction that reads one state of the store, the last that is on the disk. Errors: f's, ErrClosed,
// ErrDamaged. A long View keeps old pages from being used again, so the file grows: never keep one open across the network.
func (db *DB) View(f func(*Tx) error) error {
	defer faultsPanic()()
	tx, err := db.beginView()
	if err != nil {
		return err
	}
	defer db.mu.RUnlock()
	defer db.codecs.Put(tx.codec)
	defer tx.end()
	return f(tx)
}

// beginView returns with mu held for reading when it returns no error.
func (db *DB) beginView() (*Tx, error) {
	db.mu.RLock()
	tx, err := db.beginViewLocked()
	if err == nil && uint64(tx.bolt.ID()) > db.durable.Load() {
		// A commit has written its meta page and not yet synced it. What it wrote may still be lost, so wait for it.
		tx.end()
		db.codecs.Put(tx.codec)
		db.mu.RUnlock()
		db.committing.RLock()
		defer db.committing.RUnlock()
		db.mu.RLock()
		tx, err = db.beginViewLocked()
	}
	if err != nil {
		db.mu.RUnlock()
	}
	return tx, err
}

func (db *DB) beginViewLocked() (*Tx, error) {
	h, err := db.current()
	if err != nil {
		return nil, err
	}
	b, err := h.begin(false)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	return &Tx{db: db, h: h, bolt: b, codec: db.codecs.Get().(*codec)}, nil
}

// Update calls f with a transaction that writes. When f returns nil, its Puts and Deletes are made durable together, and
// Update returns nil only after that. When f returns an error or panics, nothing is changed and Update passes it on.
// An Update whose f wrote nothing costs no disk write.
//
// Errors besides f's: ErrNotCommitted (with ErrNoSpace or ErrDamaged when that is why), ErrUnknown, ErrClosed.
func (db *DB) Update(f func(*Tx) error) error {
	db.update.Lock()
	defer db.update.Unlock()
	defer faultsPanic()()
	h, err := db.current()
	if err != nil {
		return err
	}
	if db.o.ReadOnly {
		return ErrReadOnly
	}
	b, err := h.begin(true)
	if err != nil {
		return fmt.Errorf("update: %w: %w", ErrNotCommitted, err)
	}
	tx := &Tx{db: db, h: h, bolt: b, codec: db.writer, writable: true}
	db.sealed.reset()
	defer tx.end()
	if err := f(tx); err != nil {
		return err
	}
	if tx.failed != nil {
		return fmt.Errorf("update: %w: %w", ErrNotCommitted, tx.failed)
	}
	if tx.writes == 0 {
		return nil
	}
	return db.commit(h, tx)
}

// commit ends an Update. While it runs, no View begins on what it wrote.
func (db *DB) commit(h *handle, tx *Tx) error {
	db.committing.Lock()
	defer db.committing.Unlock()
	h.spare.ahead(tx.bolt.Size())
	id := uint64(tx.bolt.ID())
	commit := func() error { return guarded(tx.bolt.Commit) }
	var err error
	if db.o.Fault == nil {
		err = commit()
	} else {
		err = db.o.Fault(OpCommit, commit)
	}
	if err == nil {
		db.durable.Store(id)
		return nil
	}
	return db.recover(h, tx, id, err)
}

// recover finds out what became of a failed commit, as the package comment says. It waits for Views on the old handle.
func (db *DB) recover(h *handle, tx *Tx, id uint64, cause error) error {
	tx.end()
	db.mu.Lock()
	defer db.mu.Unlock()
	_ = h.close() // its commit failed already; what counts is what the file says next
	last, err := db.reattach()
	switch {
	case err == nil && last == id:
		db.durable.Store(id)
		db.o.Log.Warn("commit reported an error and took effect", "error", cause)
		return nil
	case err == nil && last == id-1:
		return fmt.Errorf("update: %w", withCause(ErrNotCommitted, cause))
	case err == nil:
		err = damagedFile("transaction %d after a commit of %d", last, id)
		_ = db.h.close()
	}
	db.release(fmt.Errorf("%w (a failed disk write could not be settled)", ErrClosed))
	return fmt.Errorf("update: %w", withCause(ErrUnknown, errors.Join(cause, err)))
}

// reattach opens the file anew, which fences it, and returns the id of the last transaction that took effect.
func (db *DB) reattach() (uint64, error) {
	db.h = nil
	h, err := attach(db.path, db.o, func(head header) error {
		if head.store != db.keys.store || head.keyCheck != keyCheck(db.keys) {
			return damagedFile("another store's file is in this one's place")
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	db.h = h
	return h.txid()
}
