package cache

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
)

// Why Open refuses. None of them changed a file.
var (
	// ErrLocked: the store is open already, in this process or another.
	ErrLocked = errors.New("cache: already open: close the other app or process that uses this folder, then try again")
	// ErrForeign: the file is not a Sambang cache.
	ErrForeign = errors.New("cache: not a Sambang cache: give another folder, or move the foreign file away")
	// ErrDamaged: the file, a row of it, or its structure does not verify. From a read it is wrapped by *Damage.
	ErrDamaged = errors.New("cache: damaged: keep the file and report it; open it ReadOnly to rescue its rows into a new folder")
	// ErrNewerSchema: written by a newer version of the app.
	ErrNewerSchema = errors.New("cache: written by a newer version: update the app")
	// ErrWrongKey: the store was sealed with another key.
	ErrWrongKey = errors.New("cache: wrong key: unlock with the key that this store was made with")
	// ErrSealed: the store is sealed and was opened with Plain.
	ErrSealed = errors.New("cache: the store is sealed: open it with its key, not with Plain")
	// ErrPlain: the store is in clear text and was opened with a key.
	ErrPlain = errors.New("cache: the store is in clear text: open it with Plain, or give another folder for a sealed store")
	// ErrKeySize: Options has no usable key.
	ErrKeySize = errors.New("cache: a key of 32 bytes is needed (or Plain, in development, and no key)")
)

// What Update, View and the methods of Tx return.
var (
	// ErrNotFound: there is no row with this key.
	ErrNotFound = errors.New("cache: no such row")
	// ErrNotCommitted: the transaction left no trace; the store is usable. It may be tried again.
	ErrNotCommitted = errors.New("cache: not saved, nothing was changed: try again")
	// ErrNoSpace: the disk is full. It comes with ErrNotCommitted (or ErrUnknown); everything saved before is kept.
	ErrNoSpace = errors.New("cache: no space left on this device: free some space, then save again")
	// ErrUnknown: whether the transaction took effect is not known. The store is closed; Open settles it.
	ErrUnknown = errors.New("cache: not known whether it was saved: close the store, open it again, and look")
	// ErrClosed: the store was closed, by Close or by a failed fence.
	ErrClosed = errors.New("cache: closed: open the store again")
	// ErrReadOnly: a Put or Delete in a View, or an Update of a store that was opened with ReadOnly.
	ErrReadOnly = errors.New("cache: only reading is possible here: use Update, on a store that is open for writing")
	// ErrTxDone: a Tx was used after its closure returned.
	ErrTxDone = errors.New("cache: transaction is over: use it only inside its closure")
)

// Damage is one row, or a part of a bucket, that does not verify. Its text names the bucket and nothing of the contents.
// errors.Is(err, ErrDamaged) holds.
type Damage struct {
	Bucket string
	Key    []byte // the damaged row's key, a copy; nil when the structure around it is damaged
	Detail string // what did not verify, without contents
}

func (d *Damage) Error() string {
	return fmt.Sprintf("bucket %s: %s: %s", d.Bucket, d.Detail, ErrDamaged.Error())
}

func (d *Damage) Unwrap() error { return ErrDamaged }

// damagedFile is ErrDamaged for a file that Open refuses.
func damagedFile(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrDamaged)
}

// withCause joins verdicts with what the disk said, and adds ErrNoSpace when that was the reason.
func withCause(verdict, cause error) error {
	if isNoSpace(cause) {
		return fmt.Errorf("%w: %w: %w", ErrNoSpace, verdict, cause)
	}
	return fmt.Errorf("%w: %w", verdict, cause)
}

// isNoSpace also reads the text: bbolt formats the error of growing the file with %s, so the errno is lost to errors.Is.
func isNoSpace(err error) bool {
	if err == nil {
		return false
	}
	for _, no := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, no) || strings.Contains(err.Error(), no.Error()) {
			return true
		}
	}
	return false
}
