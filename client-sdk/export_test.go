package sambang

import (
	"time"

	"github.com/sambang-id/sambang/client-sdk/internal/cache"
)

// SetPace makes the pauses of Run short enough for a test.
func (r *Replica) SetPace(gather, idle, first, last time.Duration) {
	r.pace = pace{gather: gather, idle: idle, first: first, last: last}
}

// OpenOn opens a replica on a disk that a test has a hand on.
func OpenOn(dir string, o Options, fault func(op string, do func() error) error) (*Replica, error) {
	return open(dir, o, func(op cache.Op, do func() error) error { return fault(string(op), do) })
}

// The decoders of rows, for fuzzing.
func ParseRow(b []byte) error     { _, err := parseRow(b); return err }
func ParseHistory(b []byte) error { _, err := parseHistory(b); return err }
func ParseJournal(b []byte) error { _, err := parseJournal(b); return err }
func ParseRefetch(b []byte)       { parseRefetch(b) }
