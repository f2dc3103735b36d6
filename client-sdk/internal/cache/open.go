package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	bolt "go.etcd.io/bbolt"
)

const (
	fileName    = "cache.db"
	newFileName = "cache.new"
	lockName    = "lock"
)

// Open opens the store in the folder dir, and makes it when the folder has none (ReadOnly does not). The folder is the store's own.
//
// Errors: ErrLocked, ErrForeign, ErrDamaged, ErrNewerSchema, ErrWrongKey, ErrSealed, ErrPlain, ErrKeySize, or what the
// operating system said. The store's file is unchanged then. It costs one reading of the file from end to end, which leaves
// it in the system's page cache, and three syncs, of which that of the folder has nothing to do as a rule.
func Open(dir string, o Options) (*DB, error) {
	o, err := o.withDefaults(dir)
	if err != nil {
		return nil, err
	}
	if !o.ReadOnly {
		if err := o.makeFolder(dir); err != nil {
			return nil, fmt.Errorf("open cache %q: %w", dir, err)
		}
	}
	lock, err := lockFile(filepath.Join(dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("open cache %q: %w", dir, err)
	}
	db, err := openLocked(dir, o)
	if err != nil {
		_ = lock.Close()
		return nil, fmt.Errorf("open cache %q: %w", dir, err)
	}
	db.lock = lock
	return db, nil
}

func openLocked(dir string, o Options) (*DB, error) {
	path := filepath.Join(dir, fileName)
	var keys *keyring
	unlock := func(head header) (err error) {
		keys, err = head.unlock(o)
		return err
	}
	h, err := attach(path, o, unlock)
	if errors.Is(err, fs.ErrNotExist) && !o.ReadOnly {
		if err := create(dir, o); err != nil {
			return nil, fmt.Errorf("create: %w", err)
		}
		h, err = attach(path, o, unlock)
	}
	if err == nil && !o.ReadOnly {
		// Whoever gave the file its name may have died before the name was durable.
		if err = o.syncFolder(dir); err != nil {
			_ = h.close()
		}
	}
	if err != nil {
		return nil, err
	}
	o.Key = nil
	db := &DB{path: path, o: o, keys: keys, h: h, nonces: nonces{from: o.Rand}}
	db.codecs.New = func() any { return newCodec(keys) }
	db.writer = newCodec(keys)
	last, err := h.txid()
	if err != nil {
		_ = h.close()
		return nil, err
	}
	db.durable.Store(last)
	if db.mark, err = openMark(o, keys); err != nil {
		_ = h.close()
		return nil, err
	}
	return db, nil
}

// create makes a new store under another name, complete and durable, and then gives it its name. So a crash at any point
// leaves no file, or a whole one. The name is durable when Open returns.
func create(dir string, o Options) error {
	if err := o.syncAbove(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, newFileName)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	head := header{schema: schemaVersion, plain: o.Plain}
	if _, err := io.ReadFull(o.Rand, head.store[:]); err != nil {
		_ = f.Close()
		return fmt.Errorf("draw store id: %w", err)
	}
	keys, err := newKeyring(o.Key, o.Plain, head.store)
	if err != nil {
		_ = f.Close()
		return err
	}
	head.keyCheck = keyCheck(keys)
	h, err := openBolt(f, false)
	if err != nil {
		return err
	}
	err = o.durably(OpCreate, func() error { return guarded(func() error { return writeHeader(h, head) }) })
	if err := errors.Join(err, h.close()); err != nil {
		return err
	}
	return o.durably(OpRename, func() error { return os.Rename(path, filepath.Join(dir, fileName)) })
}

func writeHeader(h *handle, head header) error {
	err := h.bolt.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucket([]byte(headerBucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(headerKey), head.bytes())
	})
	if err != nil {
		return err
	}
	return h.file.Sync()
}
