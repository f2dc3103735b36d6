package tables

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// The rows of the tables as values, sealed. They share the bytes of what they
// are made of.

// Head is the row of a scope's counter.
func Head(scope string, seq uint64) ([]any, error) {
	n, err := Signed(seq)
	return Seal(Scopes, scope, n), err
}

// Record is a row of the records. What is empty is nil: that is short, and
// indexes skip it.
func Record(scope syncproto.Scope, r *store.Row) ([]any, error) {
	seq, err := Signed(r.Seq)
	if err != nil {
		return nil, err
	}
	entered, err := Signed(r.Entered)
	if err != nil {
		return nil, err
	}
	var moved, of, doc any
	if r.MovedTo != "" {
		moved = string(r.MovedTo)
	}
	if !r.Of.IsZero() {
		of = r.Of[:]
	}
	if len(r.Doc) > 0 {
		doc = string(r.Doc)
	}
	return Seal(Records, string(scope), r.ID[:], seq, entered, r.Kind, int64(r.Conflicts), bit(r.Deleted), bit(r.Purged), moved, of,
		r.Agency, r.Officer, r.CreatedAt, r.UpdatedAt, bytesOf(r.State), doc), nil
}

// Change is a row of the journal.
func Change(scope syncproto.Scope, c *store.Change) ([]any, error) {
	seq, err := Signed(c.Seq)
	return Seal(Changes, string(scope), seq, c.ID[:], c.Device, c.Officer, c.Agency, c.At, c.Digest[:], bytesOf(c.Ops)), err
}

// PastWrite is a row of the journal of overwritten writes.
func PastWrite(scope syncproto.Scope, w *store.PastWrite) ([]any, error) {
	n, err := Signed(w.Dot.N)
	return Seal(PastWrites, string(scope), Big(uint64(w.Dot.Replica)), n, w.ID[:], w.Path, Big(uint64(w.HLC)), w.Step[:],
		w.Device, w.Officer, w.Agency, w.At, bytesOf(w.Value)), err
}

// Message is a row of the quarantine. It has the state "open" if it has none.
func Message(scope string, q *store.Quarantined) []any {
	state := q.State
	if state == "" {
		state = store.QuarantineOpen
	}
	return Seal(Quarantine, scope, q.Key[:], q.ID[:], q.Device, string(q.Code), q.At, state, q.Reason, q.By, q.DecidedAt, bytesOf(q.Raw))
}

// Epoch is the row of the epoch.
func Epoch(e *store.Epoch) []any {
	return Seal(Epochs, store.EpochScope, e.ID[:], e.Since, bit(e.Recovering))
}

// Replica is a row of a device's replicas.
func Replica(scope string, r *store.Replica) ([]any, error) {
	claimed, err := Signed(r.ClaimedN)
	if err != nil {
		return nil, err
	}
	held, err := Signed(r.HeldN)
	return Seal(Replicas, scope, Big(uint64(r.ID)), r.KeyNonce[:], claimed, r.ClaimedHead[:], held, r.HeldHead[:], bit(r.Broken)), err
}

// ChainStep is a row of a replica's pending steps.
func ChainStep(scope string, replica syncproto.ReplicaID, st *store.ChainStep) ([]any, error) {
	n, err := Signed(st.N)
	return Seal(ChainSteps, scope, Big(uint64(replica)), n, st.Step[:]), err
}

// Witness is a row of a device's stamps.
func Witness(scope string, w *store.Witness) ([]any, error) {
	n, err := Signed(w.N)
	return Seal(Witnesses, scope, n, w.Stamp[:]), err
}

// Receipt is a row of a device's receipts.
func Receipt(scope string, r *store.Receipt) ([]any, error) {
	n, err := Signed(r.N)
	return Seal(Receipts, scope, n, r.Key, r.At, bytesOf(r.Signature), bytesOf(r.Body)), err
}

// Seen is the row of what a device said of itself.
func Seen(scope string, s *store.Seen) ([]any, error) {
	waiting, err := Signed(s.Waiting)
	return Seal(DeviceSeen, scope, s.At, s.App, waiting, s.SkewMillis), err
}

// Officer is a row of the officers.
func Officer(o *store.Officer) []any {
	return Seal(Officers, o.ID, o.Name, o.Agency, o.Role, bit(o.Disabled))
}

// Device is a row of the devices.
func Device(d *store.Device) ([]any, error) {
	grants, err := encodeGrants(d.Grants)
	if err != nil {
		return nil, err
	}
	version, err := Signed(d.GrantsVersion)
	return Seal(Devices, d.ID, d.Name, d.Officer, d.Agency, d.Role, d.Algorithm, bytesOf(d.PublicKey), grants, version,
		d.EnrolledAt, d.RevokedAt, bit(d.Wipe)), err
}

// PastGrant is the row of grants that were replaced at time at.
func PastGrant(device string, g syncproto.Grants, version uint64, at int64) ([]any, error) {
	grants, err := encodeGrants(g)
	if err != nil {
		return nil, err
	}
	n, err := Signed(version)
	return Seal(PastGrants, device, n, grants, at), err
}

// Enrolment is a row of the codes.
func Enrolment(e *store.Enrolment) ([]any, error) {
	grants, err := encodeGrants(e.Grants)
	return Seal(Enrolments, e.ID, e.SecretHash[:], e.Officer, e.Agency, e.Role, grants, e.CreatedAt, e.ExpiresAt, e.UsedAt, e.Device), err
}

// grant is a grant as a column has it.
type grant struct {
	Region  syncproto.Region  `json:"region"`
	Classes []syncproto.Class `json:"classes"`
	Until   int64             `json:"until"`
}

func encodeGrants(grants syncproto.Grants) (string, error) {
	out := make([]grant, 0, len(grants))
	for _, g := range grants {
		out = append(out, grant(g))
	}
	b, err := json.Marshal(out)
	if err != nil {
		return "", fmt.Errorf("encode grants: %w", err)
	}
	return string(b), nil
}

// bytesOf is b as a value of a column that is never nil.
func bytesOf(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// Big is an unsigned number as a column that sorts like it.
func Big(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// Signed is n as a column keeps it.
func Signed(n uint64) (int64, error) {
	if n > math.MaxInt64 {
		return 0, fmt.Errorf("%d is beyond a 64-bit signed number", n)
	}
	return int64(n), nil
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
