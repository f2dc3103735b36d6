package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sambang-id/sambang/syncproto"
)

// Errors that callers branch on.
var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrExists: a row with that key is there already.
	ErrExists = errors.New("exists already")
	// ErrScope: a step touched a scope that it did not name.
	ErrScope = errors.New("step touches a scope that it did not name")
	// ErrBusy: the store could not get its locks in time; try again.
	ErrBusy = errors.New("store is busy")
	// ErrFull: no space left. Nothing of the call was kept.
	ErrFull = errors.New("no space left")
	// ErrSequence: a step's rows and changes do not take the sequences after
	// the scope's head without gaps. A bug of the caller.
	ErrSequence = errors.New("sequences do not follow the scope's head")
	// ErrDecided: the quarantined message was released or closed before.
	ErrDecided = errors.New("decided already")
	// ErrClosed: the store is closed.
	ErrClosed = errors.New("store is closed")
	// ErrForeign: what is to be opened is not a store of this program. It was
	// not touched.
	ErrForeign = errors.New("not a sambang store")
	// ErrNewer: the store was written by a newer version of this program. It
	// was not touched.
	ErrNewer = errors.New("store is of a newer version")
	// ErrOlder: the store was written before its rows had checksums, by a
	// version that was never released. It was not touched.
	ErrOlder = errors.New("store is of a version before the first release")
	// ErrMoved: the store was moved to another database, and this one is never
	// written again.
	ErrMoved = syncproto.Errorf(syncproto.CodeStoreMoved, "the store was moved")
	// ErrUnfinished: a move into this database is not finished.
	ErrUnfinished = syncproto.Errorf(syncproto.CodeStoreUnfinished, "a move into this database is not finished")
	// ErrDamaged: what is stored is not what was written. The errors that wrap
	// it are of type [*Damage] where the row is known.
	ErrDamaged = errors.New("stored data is damaged")
)

// Damage names a row that is not what was written. What it holds is shown to
// nobody. Keys are as far as they can be told, since they may be damaged too;
// none of them is personal.
type Damage struct {
	Table string
	Scope string
	// Seq is the row's number in its scope: a sequence, or the counter of a
	// write, receipt or stamp; 0 for none.
	Seq uint64
	// Key is the rest of the key in readable form: the id of a record, replica,
	// device or message.
	Key string
}

// Error names the row.
func (d *Damage) Error() string {
	return fmt.Sprintf("damaged row: table %s, scope %q, seq %d, id %s", d.Table, d.Scope, d.Seq, d.Key)
}

// Unwrap makes errors.Is work with ErrDamaged and with the code that people
// are told.
func (d *Damage) Unwrap() []error { return []error{ErrDamaged, syncproto.CodeDamaged} }

// Scope names of the store's own.
const (
	// EpochScope guards the store's epoch.
	EpochScope = "epoch"
	// RegistryScope guards officers, devices, enrolments and grants.
	RegistryScope = "registry"
)

// DeviceScope returns the scope of what belongs to one device.
func DeviceScope(device string) string { return "device/" + device }

// Store is a database that holds the merged log. It is safe for concurrent
// use.
type Store interface {
	// Update runs the steps in order and returns when all that they wrote is
	// durable. Each step is atomic. An engine may run several steps of one
	// call, and of several calls, in one physical transaction (group commit);
	// if a step fails, its call's earlier steps may or may not be kept, and
	// the callers of other calls are not affected.
	//
	// An engine may run a step again after a serialization failure, so a step
	// must have no effect outside its Tx until Update returns nil.
	Update(ctx context.Context, steps ...Step) error

	// View runs fn on one consistent snapshot per scope, without blocking
	// writers.
	View(ctx context.Context, fn func(Reader) error) error

	// Check verifies what the engine can of its own file, of every row and of
	// the contract's invariants, and calls report with each violation. A row
	// that is damaged is named as [Damage] names it.
	Check(ctx context.Context, report func(problem string)) error

	// Backup writes a consistent copy, that Open accepts, while the store is
	// in use.
	Backup(ctx context.Context, to string) error

	io.Closer
}

// Step is one atomic part of an update.
type Step struct {
	// Scopes are the scopes whose rows the step may touch, in any order. The
	// engine locks their counters in sorted order before it runs Do.
	Scopes []string
	// Do reads and writes. The steps that it returns run after the rest of the
	// call's steps.
	Do func(tx Tx) (then []Step, err error)
}

// Tx is one step's view of the store. It is valid until Do returns, and only
// in its goroutine. Slices that it returns belong to the caller; slices given
// to it must not change until Update returns.
//
// ErrNotFound, ErrExists, ErrDecided, and ErrScope of a scope that was not
// named are answers: nothing was written, and the step may go on. After any
// other error the step fails, whatever it makes of it.
type Tx interface {
	RecordTx
	DeviceTx
	RegistryTx
	HeadReader
}

// HeadReader tells how far scopes have come.
type HeadReader interface {
	// Heads returns the scopes that have rows, lie in or below region ("" for
	// all), and have the class; in order, with the sequence of their last
	// change. In a Tx it sees the call's own steps.
	Heads(region syncproto.Region, class syncproto.Class) ([]Head, error)
}

// RecordTx reads and writes the records of the step's scopes.
type RecordTx interface {
	// Head returns the sequence of the scope's last change, 0 for none.
	Head(scope syncproto.Scope) (uint64, error)
	// Records returns the rows, live or marker, that the scope has of ids, in
	// any order.
	Records(scope syncproto.Scope, ids []syncproto.RecordID) ([]Row, error)
	// Locate returns, for those ids that have a live row anywhere, its scope.
	// It reads across scopes, without locks. An id that has a damaged row and no
	// sound live one is located where the damaged one is.
	Locate(ids []syncproto.RecordID) (map[syncproto.RecordID]syncproto.Scope, error)
	// Put inserts or replaces rows of the scope, and moves its head to the
	// greatest sequence among them. Sequences follow the head without gaps:
	// when the step ends, each one that it passed is that of a row or of a
	// change (a record that changed twice has one row and two changes), or
	// the step fails with ErrSequence.
	Put(scope syncproto.Scope, rows []Row) error
	// Append adds to the scope's journal.
	Append(scope syncproto.Scope, changes []Change) error
	// AppendHistory adds overwritten writes to the scope's journal; one that
	// is there already (same replica and counter) is left as it is.
	AppendHistory(scope syncproto.Scope, writes []PastWrite) error
	// Erase removes the payload of all journal entries of a record, and keeps
	// their hashes. Damaged entries lose theirs too, and stay damaged.
	Erase(scope syncproto.Scope, id syncproto.RecordID) error
	// Quarantine keeps messages that were received and not applied. One with
	// the same digest is kept once.
	Quarantine(scope string, items []Quarantined) error
	// SetQuarantineState releases or closes an open message, at time at. One
	// that is not open gives ErrDecided, so exactly one decision counts; an
	// unknown one ErrNotFound.
	SetQuarantineState(scope string, key syncproto.Digest, state, reason, by string, at int64) error
}

// DeviceTx reads and writes the state of one device's sync.
type DeviceTx interface {
	// Epoch returns the store's epoch.
	Epoch() (Epoch, error)
	// SetEpoch replaces the epoch if it is still old; otherwise it reports
	// false. The step must hold EpochScope.
	SetEpoch(old [16]byte, now Epoch) (bool, error)
	// Replicas returns what is known of the device's replica ids.
	Replicas(device string) ([]Replica, error)
	// PutReplicas inserts or replaces rows of the device's replica ids. A
	// replica that belongs to another device gives ErrExists.
	PutReplicas(device string, replicas []Replica) error
	// Steps returns the pending chain steps of a replica above n, in order, at
	// most limit.
	Steps(device string, replica syncproto.ReplicaID, above uint64, limit int) ([]ChainStep, error)
	// PutSteps adds pending steps; those that are there already stay as they
	// are and are returned if their digest differs.
	PutSteps(device string, replica syncproto.ReplicaID, steps []ChainStep) (conflicting []uint64, err error)
	// DropSteps removes the pending steps up to n.
	DropSteps(device string, replica syncproto.ReplicaID, upTo uint64) error
	// Witnesses returns the last stamps given to the device, newest first, at
	// most [KeepWitnesses]; PutWitness adds one and forgets the oldest. A
	// damaged one has no stamp: what it vouched for may not be here, and the
	// device that shows it finds that out.
	Witnesses(device string) ([]Witness, error)
	PutWitness(device string, w Witness) error
	// PutReceipt keeps a signed receipt, and Seen what the device said of
	// itself.
	PutReceipt(device string, r Receipt) error
	PutSeen(device string, s Seen) error
}

// KeepWitnesses is how many stamps of a device are kept: with only the last
// one, a replayed old request would hide a rollback of the store.
const KeepWitnesses = 64
