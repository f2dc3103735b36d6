package sqlite

import (
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
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
	_, err = t.exec(epochsTable.upsert, tables.Epoch(&now)...)
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
	list := hexList(replicas, func(r *store.Replica) []byte { return tables.Big(uint64(r.ID)) })
	foreign, err := collect(&t.session, func(c *cursor) uint64 { return c.Big(0) },
		`SELECT replica FROM replicas WHERE replica IN (SELECT unhex(value) FROM json_each(?)) AND scope <> ?`, list, scope)
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		return fmt.Errorf("replica %s of another device: %w", syncproto.ReplicaID(foreign[0]), store.ErrExists)
	}
	for _, r := range replicas {
		values, err := tables.Replica(scope, &r)
		if err != nil {
			return t.keep(err)
		}
		t.rows++
		if _, err := t.exec(replicasTable.upsert, values...); err != nil {
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
	from, err := tables.Signed(above)
	if err != nil {
		return nil, t.keep(err)
	}
	return collect(&t.session, scanStep, `SELECT `+chainStepsTable.list+` FROM chain_steps WHERE scope = ? AND replica = ? AND n > ? ORDER BY n LIMIT ?`,
		scope, tables.Big(uint64(replica)), from, int64(limit))
}

// PutSteps implements [store.DeviceTx].
func (t *tx) PutSteps(device string, replica syncproto.ReplicaID, steps []store.ChainStep) (conflicting []uint64, err error) {
	scope, err := t.device(device)
	if err != nil {
		return nil, err
	}
	for i := range steps {
		st := &steps[i]
		values, err := tables.ChainStep(scope, replica, st)
		if err != nil {
			return nil, t.keep(err)
		}
		t.rows++
		added, err := t.exec(chainStepsTable.insert+` ON CONFLICT (scope, replica, n) DO NOTHING`, values...)
		if err != nil {
			return nil, fmt.Errorf("put chain step %d of %s: %w", st.N, replica, err)
		}
		if added == 1 {
			continue
		}
		there, err := one(&t.session, store.ErrNotFound, scanStep,
			`SELECT `+chainStepsTable.list+` FROM chain_steps WHERE scope = ? AND replica = ? AND n = ?`, scope, values[1], values[2])
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
	n, err := tables.Signed(upTo)
	if err != nil {
		return t.keep(err)
	}
	_, err = t.exec(`DELETE FROM chain_steps WHERE scope = ? AND replica = ? AND n <= ?`, scope, tables.Big(uint64(replica)), n)
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
	return collect(s, scanWitness, `SELECT `+witnessesTable.list+` FROM witnesses WHERE scope = ? ORDER BY n DESC LIMIT ?`, store.DeviceScope(device), int64(store.KeepWitnesses))
}

// PutWitness implements [store.DeviceTx].
func (t *tx) PutWitness(device string, w store.Witness) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	values, err := tables.Witness(scope, &w)
	if err != nil {
		return t.keep(err)
	}
	added, err := t.exec(witnessesTable.insert+` ON CONFLICT (scope, n) DO NOTHING`, values...)
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
	values, err := tables.Receipt(scope, &r)
	if err != nil {
		return t.keep(err)
	}
	added, err := t.exec(receiptsTable.insert+` ON CONFLICT (scope, n) DO NOTHING`, values...)
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
	return collect(s, scanReceipt, `SELECT `+receiptsTable.list+` FROM receipts WHERE scope = ? ORDER BY n DESC LIMIT ?`, store.DeviceScope(device), int64(limit))
}

// PutSeen implements [store.DeviceTx].
func (t *tx) PutSeen(device string, v store.Seen) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	values, err := tables.Seen(scope, &v)
	if err != nil {
		return t.keep(err)
	}
	_, err = t.exec(deviceSeenTable.upsert, values...)
	return err
}

func (s *session) seen(device string) (store.Seen, error) {
	seen, err := one(s, store.ErrNotFound, scanSeen, `SELECT `+deviceSeenTable.list+` FROM device_seen WHERE scope = ?`, store.DeviceScope(device))
	if isNotFound(err) {
		return store.Seen{}, nil
	}
	return seen, err
}
