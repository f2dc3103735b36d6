package postgres

import (
	"context"
	"errors"
	"fmt"
)

// Backup implements [store.Store] with a refusal: a database is backed up by
// its own tools, which can restore it to any point in time.
func (s *Store) Backup(context.Context, string) error {
	return fmt.Errorf("back up store %s: use pg_basebackup and an archive of the log, or pg_dump: %w", s.name, errors.ErrUnsupported)
}
