package floor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// KV is one pair to put.
type KV struct{ Key, Value []byte }

// Bolt says how the floors through bbolt run. The zero value works.
type Bolt struct {
	// Options are bbolt's, for a cache that does not use the defaults. NoSync is refused. Default: nil.
	Options *bbolt.Options
	// MarkBytes is the size of the mark, the small file that a save writes outside the database before
	// its transaction (SYNC 4.2). Default: 128, an id, a counter, a chain head and a MAC.
	MarkBytes int
	// SyncMark makes the mark durable, for a cache that does it another way. Default: fdatasync where the
	// system has it, since the file's size does not change.
	SyncMark func(*os.File) error
}

const markBytes = 128

var bucket = []byte("records")

// Saves is the floor of A: for each pair, one overwrite of the mark and its fsync, then one transaction
// that puts the pair. dir is an existing directory without a database of an earlier run.
func (b Bolt) Saves(dir string, pairs []KV) (res Result, err error) {
	mark, err := os.OpenFile(filepath.Join(dir, "mark"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return res, fmt.Errorf("floor of saves: %w", err)
	}
	defer func() { err = errors.Join(err, mark.Close()) }()
	text := make([]byte, markBytes)
	if b.MarkBytes > 0 {
		text = make([]byte, max(8, b.MarkBytes))
	}
	syncMark := b.SyncMark
	if syncMark == nil {
		syncMark = syncData
	}
	if err := allocate(mark, text); err != nil {
		return res, fmt.Errorf("floor of saves: %w", err)
	}
	n := uint64(0)
	res, err = b.run(dir, pairs, 1, func() error {
		n++
		binary.BigEndian.PutUint64(text, n)
		if _, err := mark.WriteAt(text, 0); err != nil {
			return err
		}
		return syncMark(mark)
	})
	if err != nil {
		return res, fmt.Errorf("floor of saves: %w", err)
	}
	return res, nil
}

// allocate gives the mark its size before the clock starts.
func allocate(mark *os.File, text []byte) error {
	if _, err := mark.Write(text); err != nil {
		return err
	}
	return mark.Sync()
}

// Puts is the floor of C: the pairs in order, BatchSize to a transaction. dir is an existing directory
// without a database of an earlier run.
func (b Bolt) Puts(dir string, pairs []KV) (Result, error) {
	res, err := b.run(dir, pairs, BatchSize, func() error { return nil })
	if err != nil {
		return res, fmt.Errorf("floor of puts: %w", err)
	}
	return res, nil
}

func (b Bolt) run(dir string, pairs []KV, batch int, before func() error) (res Result, err error) {
	if o := b.Options; o != nil && o.NoSync {
		return res, fmt.Errorf("bbolt with NoSync: %w", ErrWeaker)
	}
	res.Path = filepath.Join(dir, "floor.bolt")
	if _, err := os.Lstat(res.Path); err == nil {
		return res, fmt.Errorf("database of an earlier run: %w: %s", os.ErrExist, res.Path)
	}
	db, err := bbolt.Open(res.Path, 0o600, b.Options)
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket(bucket); return err }); err != nil {
		return res, err
	}
	start := time.Now()
	for len(pairs) > 0 {
		now := pairs[:min(batch, len(pairs))]
		pairs = pairs[len(now):]
		if err := before(); err != nil {
			return res, err
		}
		err := db.Update(func(tx *bbolt.Tx) error {
			bk := tx.Bucket(bucket)
			for _, kv := range now {
				if err := bk.Put(kv.Key, kv.Value); err != nil {
					return err
				}
				res.Bytes += int64(len(kv.Key) + len(kv.Value))
			}
			return nil
		})
		if err != nil {
			return res, err
		}
		res.Records += len(now)
	}
	res.Elapsed = time.Since(start)
	return res, nil
}
