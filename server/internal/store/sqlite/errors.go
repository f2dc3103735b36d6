package sqlite

import (
	"errors"
	"strings"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/sambang-id/sambang/server/internal/store"
)

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }

// noTransaction reports that there was nothing to roll back, because SQLite
// had done so by itself. The driver tells it by its text alone.
func noTransaction(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code() == sqlite3.SQLITE_ERROR && strings.Contains(e.Error(), "no transaction is active")
}
