package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup implements [store.Store]. The copy is of one commit, compact, and
// complete in one file; writers go on meanwhile. It appears at to when it is
// durable, and replaces what was there.
//
// It is made by VACUUM INTO: the online backup API starts over at every commit
// of another connection.
func (s *Store) Backup(ctx context.Context, to string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("back up store %q to %q: %w", s.path, to, err)
		}
	}()
	// Holding a reader's place keeps Close waiting.
	idle, err := s.readers.take(ctx)
	if err != nil {
		return err
	}
	defer s.readers.put(idle)

	dir := filepath.Dir(to)
	f, err := os.CreateTemp(dir, ".sambang-backup-*") // for its owner only
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() { err = errors.Join(err, removeAll(temp, temp+"-journal")) }()
	if err := f.Close(); err != nil {
		return err
	}
	// A connection of its own: those of the pool may not write.
	c, err := s.connect(ctx, false)
	if err != nil {
		return err
	}
	_, err = c.exec(ctx, `VACUUM INTO ?`, temp)
	if err := errors.Join(err, c.close()); err != nil {
		return err
	}
	if err := syncFile(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, to); err != nil {
		return err
	}
	return syncFile(dir)
}
