package tables

import (
	"encoding/binary"
	"strings"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// What a row says: the row under the cursor, of a query for [Table.List]. Rows
// that come in lists are marked when they are damaged; of the others a damaged
// one is the cursor's error.

// ReadHead reads a counter.
func ReadHead[V any](c *Cursor[V]) store.Head {
	c.Must(Scopes)
	return store.Head{Scope: syncproto.Scope(c.Text(0)), Seq: c.Uint(1)}
}

// ReadRecord reads a record.
func ReadRecord[V any](c *Cursor[V]) store.Row {
	if !c.Sound(Records) {
		return store.Row{
			Scope: syncproto.Scope(ScopeName(c.Row[0])), ID: c.LooseID(1), Seq: c.LooseUint(2), UpdatedAt: c.LooseInt(13), Damaged: true,
		}
	}
	return store.Row{
		Scope: syncproto.Scope(c.Text(0)), ID: c.ID(1), Seq: c.Uint(2), Entered: c.Uint(3), Kind: c.Text(4),
		Conflicts: int(c.Int(5)), Deleted: c.Bool(6), Purged: c.Bool(7), MovedTo: syncproto.Scope(c.Text(8)), Of: c.ID(9),
		Agency: c.Text(10), Officer: c.Text(11), CreatedAt: c.Int(12), UpdatedAt: c.Int(13), State: c.Blob(14), Doc: []byte(c.Text(15)),
	}
}

// ReadChange reads a journal entry.
func ReadChange[V any](c *Cursor[V]) store.Change {
	if !c.Sound(Changes) {
		return store.Change{Scope: syncproto.Scope(ScopeName(c.Row[0])), Seq: c.LooseUint(1), ID: c.LooseID(2), Damaged: true}
	}
	return store.Change{
		Scope: syncproto.Scope(c.Text(0)), Seq: c.Uint(1), ID: c.ID(2), Device: c.Text(3), Officer: c.Text(4), Agency: c.Text(5),
		At: c.Int(6), Digest: c.Digest(7), Ops: c.Blob(8),
	}
}

// ReadPastWrite reads an overwritten write.
func ReadPastWrite[V any](c *Cursor[V]) store.PastWrite {
	if !c.Sound(PastWrites) {
		return store.PastWrite{Scope: syncproto.Scope(ScopeName(c.Row[0])), Dot: syncproto.Dot{N: c.LooseUint(2)}, ID: c.LooseID(3), Damaged: true}
	}
	return store.PastWrite{
		Scope: syncproto.Scope(c.Text(0)), Dot: syncproto.Dot{Replica: syncproto.ReplicaID(c.Big(1)), N: c.Uint(2)}, ID: c.ID(3),
		Path: c.Text(4), HLC: syncproto.HLC(c.Big(5)), Step: c.Digest(6), Device: c.Text(7), Officer: c.Text(8), Agency: c.Text(9),
		At: c.Int(10), Value: c.Blob(11),
	}
}

// ReadMessage reads a quarantined message.
func ReadMessage[V any](c *Cursor[V]) store.Quarantined {
	if !c.Sound(Quarantine) {
		q := store.Quarantined{Scope: ScopeName(c.Row[0]), At: c.LooseInt(5), Damaged: true}
		copy(q.Key[:], c.LooseBlob(1))
		return q
	}
	return store.Quarantined{
		Scope: c.Text(0), Key: c.Digest(1), ID: c.ID(2), Device: c.Text(3), Code: syncproto.Code(c.Text(4)), At: c.Int(5),
		State: c.Text(6), Reason: c.Text(7), By: c.Text(8), DecidedAt: c.Int(9), Raw: c.Blob(10),
	}
}

// ReadEpoch reads the epoch.
func ReadEpoch[V any](c *Cursor[V]) store.Epoch {
	c.Must(Epochs)
	e := store.Epoch{Since: c.Int(2), Recovering: c.Bool(3)}
	c.Fixed(1, e.ID[:])
	return e
}

// ReadReplica reads what is known of a replica.
func ReadReplica[V any](c *Cursor[V]) store.Replica {
	c.Must(Replicas)
	r := store.Replica{
		ID: syncproto.ReplicaID(c.Big(1)), ClaimedN: c.Uint(3), ClaimedHead: c.Digest(4), HeldN: c.Uint(5), HeldHead: c.Digest(6), Broken: c.Bool(7),
	}
	c.Fixed(2, r.KeyNonce[:])
	return r
}

// Owner is whose a replica id is; Device is "" if the row is damaged.
type Owner struct {
	Replica syncproto.ReplicaID
	Device  string
}

// ReadOwner reads a row of the replicas for its owner.
func ReadOwner[V any](c *Cursor[V]) Owner {
	if !c.Sound(Replicas) {
		id := c.LooseBlob(1)
		return Owner{Replica: syncproto.ReplicaID(binary.BigEndian.Uint64(append(make([]byte, 8), id...)[len(id):]))}
	}
	return Owner{syncproto.ReplicaID(c.Big(1)), strings.TrimPrefix(c.Text(0), store.DeviceScope(""))}
}

// ReadChainStep reads a pending step.
func ReadChainStep[V any](c *Cursor[V]) store.ChainStep {
	c.Must(ChainSteps)
	return store.ChainStep{N: c.Uint(2), Step: c.Digest(3)}
}

// ReadWitness reads a stamp. A damaged one has none: what it vouched for may
// not be here, and the device that shows it finds that out.
func ReadWitness[V any](c *Cursor[V]) store.Witness {
	if !c.Sound(Witnesses) {
		return store.Witness{N: c.LooseUint(1)}
	}
	w := store.Witness{N: c.Uint(1)}
	c.Fixed(2, w.Stamp[:])
	return w
}

// ReadReceipt reads a receipt.
func ReadReceipt[V any](c *Cursor[V]) store.Receipt {
	if !c.Sound(Receipts) {
		return store.Receipt{N: c.LooseUint(1), Damaged: true}
	}
	return store.Receipt{N: c.Uint(1), Key: c.Text(2), At: c.Int(3), Signature: c.Blob(4), Body: c.Blob(5)}
}

// ReadSeen reads what a device said. It says it again when it calls, so of a
// damaged row nothing is lost.
func ReadSeen[V any](c *Cursor[V]) store.Seen {
	if !c.Sound(DeviceSeen) {
		return store.Seen{}
	}
	return store.Seen{At: c.Int(1), App: c.Text(2), Waiting: c.Uint(3), SkewMillis: c.Int(4)}
}

// ReadOfficer reads an officer.
func ReadOfficer[V any](c *Cursor[V]) store.Officer {
	c.Must(Officers)
	return store.Officer{ID: c.Text(0), Name: c.Text(1), Agency: c.Text(2), Role: c.Text(3), Disabled: c.Bool(4)}
}

// ReadDevice reads a device.
func ReadDevice[V any](c *Cursor[V]) store.Device {
	c.Must(Devices)
	return store.Device{
		ID: c.Text(0), Name: c.Text(1), Officer: c.Text(2), Agency: c.Text(3), Role: c.Text(4), Algorithm: c.Text(5), PublicKey: c.Blob(6),
		Grants: c.Grants(7), GrantsVersion: c.Uint(8), EnrolledAt: c.Int(9), RevokedAt: c.Int(10), Wipe: c.Bool(11),
	}
}

// ReadPastGrants reads grants that were replaced.
func ReadPastGrants[V any](c *Cursor[V]) store.PastGrants {
	c.Must(PastGrants)
	return store.PastGrants{Version: c.Uint(1), Grants: c.Grants(2), ReplacedAt: c.Int(3)}
}

// ReadEnrolment reads a code.
func ReadEnrolment[V any](c *Cursor[V]) store.Enrolment {
	c.Must(Enrolments)
	return store.Enrolment{
		ID: c.Text(0), SecretHash: c.Digest(1), Officer: c.Text(2), Agency: c.Text(3), Role: c.Text(4), Grants: c.Grants(5),
		CreatedAt: c.Int(6), ExpiresAt: c.Int(7), UsedAt: c.Int(8), Device: c.Text(9),
	}
}
