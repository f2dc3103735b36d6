package store

import "github.com/sambang-id/sambang/syncproto"

// Row is one record in one scope. The primary key is (scope, id).
type Row struct {
	Scope syncproto.Scope
	ID    syncproto.RecordID
	Kind  string
	// Seq is the sequence of the record's last change in the scope; unique in
	// the scope. One row per record, at its latest sequence (I15).
	Seq uint64
	// Entered is the sequence at which the record entered the scope. A cursor
	// older than it needs the full state.
	Entered uint64
	// State is the encoded record with the stamp of each path. For a marker it
	// is the encoded context at leaving.
	State []byte
	// Doc is the projection as a JSON object, for headquarters' queries. Empty
	// for a marker.
	Doc       []byte
	Conflicts int
	Deleted   bool
	Purged    bool
	// MovedTo is set on a marker: where the record went from here.
	MovedTo syncproto.Scope
	// Of is the main record, if this is a companion; otherwise zero.
	Of syncproto.RecordID
	// Agency and Officer are those of the device that first brought the
	// record.
	Agency  string
	Officer string
	// CreatedAt and UpdatedAt are times of reception in Unix milliseconds.
	CreatedAt int64
	UpdatedAt int64
	// Damaged says that what is stored is not what was written. Scope, ID, Seq
	// and UpdatedAt are where the row was found, as far as that can be told; the
	// rest is empty. It may have been a marker.
	Damaged bool
}

// Damage returns the error of a damaged row, nil for a sound one.
func (r *Row) Damage() error {
	if !r.Damaged {
		return nil
	}
	return &Damage{Table: "records", Scope: string(r.Scope), Seq: r.Seq, Key: r.ID.String()}
}

// Change is one journal entry: one accepted change of one record.
// The primary key is (scope, seq).
type Change struct {
	Scope   syncproto.Scope
	Seq     uint64
	ID      syncproto.RecordID
	Device  string // "" for the server's own writes
	Officer string
	Agency  string
	// Ops is the encoded delta as it was accepted. Empty after a purge.
	Ops []byte
	// Digest is the SHA-256 of Ops as it was appended; it survives a purge.
	Digest syncproto.Digest
	// At is the time of reception in Unix milliseconds.
	At int64
	// Damaged says that what is stored is not what was appended. Only the keys
	// are set, as far as they can be told.
	Damaged bool
}

// Damage returns the error of a damaged entry, nil for a sound one.
func (c *Change) Damage() error {
	if !c.Damaged {
		return nil
	}
	return &Damage{Table: "changes", Scope: string(c.Scope), Seq: c.Seq, Key: c.ID.String()}
}

// PastWrite is a journal entry of a write that was overwritten before the
// server saw it. The primary key is (scope, replica, n).
type PastWrite struct {
	Scope   syncproto.Scope
	ID      syncproto.RecordID
	Path    string
	Dot     syncproto.Dot
	HLC     syncproto.HLC
	Value   []byte // canonical JSON; empty after a purge
	Step    syncproto.Digest
	Device  string
	Officer string
	Agency  string
	At      int64
	// Damaged is that of [Change].
	Damaged bool
}

// Quarantined is a message that was received and not applied.
type Quarantined struct {
	// Key is the SHA-256 of the raw bytes, device and record id.
	Key    syncproto.Digest
	Scope  string
	ID     syncproto.RecordID // zero if it could not be read
	Device string
	Code   syncproto.Code
	Raw    []byte
	At     int64
	// State is "open", "released" or "closed"; Reason and By say why and who.
	State  string
	Reason string
	By     string
	// DecidedAt is when it left the state "open", in Unix milliseconds.
	DecidedAt int64
	// Damaged says that what is stored is not what was received. Only Key, Scope
	// and At are set, as far as they can be told.
	Damaged bool
}

// The states of a quarantined message.
const (
	QuarantineOpen     = "open"     // needs a decision
	QuarantineReleased = "released" // its content was absorbed
	QuarantineClosed   = "closed"   // set aside, with a reason
)

// Replica is what is known of one replica id of a device.
type Replica struct {
	ID       syncproto.ReplicaID
	KeyNonce [16]byte
	// ClaimedN and ClaimedHead are the highest that the device has claimed, in
	// its signed word ("confirmed" in SPEC 4.4).
	ClaimedN    uint64
	ClaimedHead syncproto.Digest
	// HeldN is the highest n up to which every write is held here, HeldHead the
	// chain recomputed up to it. ClaimedN - HeldN writes exist that are not
	// held.
	HeldN    uint64
	HeldHead syncproto.Digest
	// Broken is set when the recomputed chain contradicts the claim.
	Broken bool
}

// ChainStep is the digest of one write whose predecessors are not all held.
type ChainStep struct {
	N    uint64
	Step syncproto.Digest
}

// Witness is a numbered response and its random stamp.
type Witness struct {
	N     uint64
	Stamp [16]byte
}

// Epoch names one history of the store. A new one begins when the store was
// rolled back. A fresh store has the zero epoch until the first SetEpoch.
type Epoch struct {
	ID [16]byte
	// Since is when it began, in Unix milliseconds.
	Since int64
	// Recovering is set when it began with a rollback: for some time devices
	// may bring back other authors' writes without signatures.
	Recovering bool
}

// Receipt is a signed receipt as the device got it.
type Receipt struct {
	N         uint64 // of the witness
	Body      []byte
	Signature []byte
	Key       string
	At        int64
	// Damaged says that this is not what the device got. Only N is set.
	Damaged bool
}

// Seen is what a device said of itself when it last called.
type Seen struct {
	At      int64
	App     string
	Waiting uint64
	// SkewMillis is device time minus server time.
	SkewMillis int64
}
