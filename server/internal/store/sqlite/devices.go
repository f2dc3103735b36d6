package sqlite

import (
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// SetEpoch implements [store.DeviceTx].
func (t *tx) SetEpoch(old [16]byte, now store.Epoch) (bool, error) {
	if err := t.holds(store.EpochScope); err != nil {
		return false, err
	}
	present, err := t.Epoch()
	if err != nil || present.ID != old {
		return false, err
	}
	_, err = t.exec(epochsTable.upsert, sealed(epochsTable, store.EpochScope, now.ID[:], now.Since, bit(now.Recovering))...)
	if err != nil {
		return false, fmt.Errorf("set the epoch: %w", err)
	}
	return true, nil
}

// device returns the scope of a device, which the step must hold.
func (t *tx) device(id string) (string, error) {
	scope := store.DeviceScope(id)
	return scope, t.holds(scope)
}

func scanReplica(c *cursor) store.Replica {
	c.must(replicasTable)
	r := store.Replica{
		ID: syncproto.ReplicaID(c.big(1)), ClaimedN: c.uint(3), ClaimedHead: c.digest(4), HeldN: c.uint(5), HeldHead: c.digest(6), Broken: c.bool(7),
	}
	c.fixed(2, r.KeyNonce[:])
	return r
}

func (s *session) replicas(device string) ([]store.Replica, error) {
	return collect(s, scanReplica, `SELECT `+replicasTable.list+` FROM replicas WHERE scope = ? ORDER BY replica`, store.DeviceScope(device))
}

// Replicas implements [store.DeviceTx].
func (t *tx) Replicas(device string) ([]store.Replica, error) {
	if _, err := t.device(device); err != nil {
		return nil, err
	}
	return t.replicas(device)
}

// PutReplicas implements [store.DeviceTx]. It looks before it writes, so an
// ErrExists leaves nothing behind.
func (t *tx) PutReplicas(device string, replicas []store.Replica) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	list := hexList(replicas, func(r *store.Replica) []byte { return big(uint64(r.ID)) })
	foreign, err := collect(&t.session, func(c *cursor) uint64 { return c.big(0) },
		`SELECT replica FROM replicas WHERE replica IN (SELECT unhex(value) FROM json_each(?)) AND scope <> ?`, list, scope)
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		return fmt.Errorf("replica %s of another device: %w", syncproto.ReplicaID(foreign[0]), store.ErrExists)
	}
	for _, r := range replicas {
		claimed, err := signed(r.ClaimedN)
		if err != nil {
			return t.keep(err)
		}
		held, err := signed(r.HeldN)
		if err != nil {
			return t.keep(err)
		}
		t.rows++
		if _, err := t.exec(replicasTable.upsert, sealed(replicasTable,
			scope, big(uint64(r.ID)), r.KeyNonce[:], claimed, r.ClaimedHead[:], held, r.HeldHead[:], bit(r.Broken))...); err != nil {
			return fmt.Errorf("put replica %s: %w", r.ID, err)
		}
	}
	return nil
}

// Steps implements [store.DeviceTx].
func (t *tx) Steps(device string, replica syncproto.ReplicaID, above uint64, limit int) ([]store.ChainStep, error) {
	scope, err := t.device(device)
	if err != nil {
		return nil, err
	}
	from, err := signed(above)
	if err != nil {
		return nil, t.keep(err)
	}
	return collect(&t.session, scanStep, `SELECT `+chainStepsTable.list+` FROM chain_steps WHERE scope = ? AND replica = ? AND n > ? ORDER BY n LIMIT ?`,
		scope, big(uint64(replica)), from, int64(limit))
}

func scanStep(c *cursor) store.ChainStep {
	c.must(chainStepsTable)
	return store.ChainStep{N: c.uint(2), Step: c.digest(3)}
}

// PutSteps implements [store.DeviceTx].
func (t *tx) PutSteps(device string, replica syncproto.ReplicaID, steps []store.ChainStep) (conflicting []uint64, err error) {
	scope, err := t.device(device)
	if err != nil {
		return nil, err
	}
	id := big(uint64(replica))
	for i := range steps {
		st := &steps[i]
		n, err := signed(st.N)
		if err != nil {
			return nil, t.keep(err)
		}
		t.rows++
		added, err := t.exec(chainStepsTable.insert+` ON CONFLICT (scope, replica, n) DO NOTHING`, sealed(chainStepsTable, scope, id, n, st.Step[:])...)
		if err != nil {
			return nil, fmt.Errorf("put chain step %d of %s: %w", st.N, replica, err)
		}
		if added == 1 {
			continue
		}
		there, err := one(&t.session, store.ErrNotFound, scanStep,
			`SELECT `+chainStepsTable.list+` FROM chain_steps WHERE scope = ? AND replica = ? AND n = ?`, scope, id, n)
		if err != nil {
			return nil, err
		}
		if there.Step != st.Step {
			conflicting = append(conflicting, st.N)
		}
	}
	return conflicting, nil
}

// DropSteps implements [store.DeviceTx].
func (t *tx) DropSteps(device string, replica syncproto.ReplicaID, upTo uint64) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	n, err := signed(upTo)
	if err != nil {
		return t.keep(err)
	}
	_, err = t.exec(`DELETE FROM chain_steps WHERE scope = ? AND replica = ? AND n <= ?`, scope, big(uint64(replica)), n)
	return err
}

// Witnesses implements [store.DeviceTx].
func (t *tx) Witnesses(device string) ([]store.Witness, error) {
	if _, err := t.device(device); err != nil {
		return nil, err
	}
	return t.witnesses(device)
}

func (s *session) witnesses(device string) ([]store.Witness, error) {
	return collect(s, func(c *cursor) store.Witness {
		if !c.sound(witnessesTable) {
			return store.Witness{N: looseUint(c, 1)}
		}
		w := store.Witness{N: c.uint(1)}
		c.fixed(2, w.Stamp[:])
		return w
	}, `SELECT `+witnessesTable.list+` FROM witnesses WHERE scope = ? ORDER BY n DESC LIMIT ?`, store.DeviceScope(device), int64(store.KeepWitnesses))
}

// PutWitness implements [store.DeviceTx].
func (t *tx) PutWitness(device string, w store.Witness) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	n, err := signed(w.N)
	if err != nil {
		return t.keep(err)
	}
	added, err := t.exec(witnessesTable.insert+` ON CONFLICT (scope, n) DO NOTHING`, sealed(witnessesTable, scope, n, w.Stamp[:])...)
	switch {
	case err != nil:
		return fmt.Errorf("put witness %d: %w", w.N, err)
	case added == 0:
		return fmt.Errorf("witness %d: %w", w.N, store.ErrExists)
	}
	_, err = t.exec(`DELETE FROM witnesses WHERE scope = ? AND n <= (SELECT n FROM witnesses WHERE scope = ? ORDER BY n DESC LIMIT 1 OFFSET ?)`,
		scope, scope, int64(store.KeepWitnesses))
	return err
}

// PutReceipt implements [store.DeviceTx].
func (t *tx) PutReceipt(device string, r store.Receipt) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	n, err := signed(r.N)
	if err != nil {
		return t.keep(err)
	}
	added, err := t.exec(receiptsTable.insert+` ON CONFLICT (scope, n) DO NOTHING`,
		sealed(receiptsTable, scope, n, r.Key, r.At, blob(r.Signature), blob(r.Body))...)
	switch {
	case err != nil:
		return fmt.Errorf("put receipt %d: %w", r.N, err)
	case added == 0:
		return fmt.Errorf("receipt %d: %w", r.N, store.ErrExists)
	}
	return nil
}

// Receipts implements [store.RegistryReader].
func (s *session) Receipts(device string, limit int) ([]store.Receipt, error) {
	return collect(s, func(c *cursor) store.Receipt {
		if !c.sound(receiptsTable) {
			return store.Receipt{N: looseUint(c, 1), Damaged: true}
		}
		return store.Receipt{N: c.uint(1), Key: c.text(2), At: c.int(3), Signature: c.blob(4), Body: c.blob(5)}
	}, `SELECT `+receiptsTable.list+` FROM receipts WHERE scope = ? ORDER BY n DESC LIMIT ?`, store.DeviceScope(device), int64(limit))
}

// PutSeen implements [store.DeviceTx].
func (t *tx) PutSeen(device string, v store.Seen) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	waiting, err := signed(v.Waiting)
	if err != nil {
		return t.keep(err)
	}
	_, err = t.exec(deviceSeenTable.upsert, sealed(deviceSeenTable, scope, v.At, v.App, waiting, v.SkewMillis)...)
	return err
}

func (s *session) seen(device string) (store.Seen, error) {
	seen, err := one(s, store.ErrNotFound, func(c *cursor) store.Seen {
		if !c.sound(deviceSeenTable) {
			return store.Seen{} // the device says it again when it calls
		}
		return store.Seen{At: c.int(1), App: c.text(2), Waiting: c.uint(3), SkewMillis: c.int(4)}
	}, `SELECT `+deviceSeenTable.list+` FROM device_seen WHERE scope = ?`, store.DeviceScope(device))
	if isNotFound(err) {
		return store.Seen{}, nil
	}
	return seen, err
}
