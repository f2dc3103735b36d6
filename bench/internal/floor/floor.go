// Package floor does the least work that a scenario cannot do without, in the same run as the scenario:
// the same fsyncs, the same rows, the same bytes, and nothing of sambang.
//
// What is always true of it:
//   - it imports nothing of sambang's SDK or server, so that their mistakes cannot lower a floor;
//   - nothing is durable in a weaker way than the product promises: bbolt syncs every transaction,
//     SQLite runs with WAL and synchronous=FULL, and both are asserted;
//   - opening files, creating tables and preparing statements are outside the time that is reported;
//     closing is too.
//
// The directory given must be on the disk that the scenario uses: on a tmpfs an fsync is free.
package floor

import (
	"errors"
	"time"
)

// BatchSize is how many records a bulk transaction holds: the protocol's limit of one batch.
const BatchSize = 500

// ErrWeaker is returned when the database does not run as durably as the floor claims.
var ErrWeaker = errors.New("database is less durable than the floor claims")

// Result is what a floor took.
type Result struct {
	Path    string // the database file, closed and left in place
	Records int
	Bytes   int64 // of what was given to store: keys, values, columns
	Elapsed time.Duration
}

// PerRecord is the mean time of one record. It is zero without records.
func (r Result) PerRecord() time.Duration {
	if r.Records == 0 {
		return 0
	}
	return r.Elapsed / time.Duration(r.Records)
}

// PerSecond is how many records a second pass. It is zero when no time was measured.
func (r Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Records) / r.Elapsed.Seconds()
}
