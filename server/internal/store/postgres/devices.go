package postgres

import (
	"bytes"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

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
	err = t.write(epochsTable, epochsTable.upsert, store.EpochScope, [][]any{tables.Epoch(&now)}, func() string { return "set the epoch" })
	return err == nil, err
}

// device returns the scope of a device, which the step must hold.
func (t *tx) device(id string) (string, error) {
	scope := store.DeviceScope(id)
	return scope, t.holds(scope)
}

// Replicas implements [store.DeviceTx].
func (t *tx) Replicas(device string) ([]store.Replica, error) {
	scope, err := t.device(device)
	if err != nil {
		return nil, err
	}
	return collect(&t.session, tables.ReadReplica[any], sqlReplicas, scope)
}

// PutReplicas implements [store.DeviceTx]. It looks before it writes, so an
// ErrExists leaves nothing behind.
func (t *tx) PutReplicas(device string, replicas []store.Replica) error {
	scope, err := t.device(device)
	if err != nil || len(replicas) == 0 {
		return err
	}
	ids := list(replicas, func(r *store.Replica) []byte { return tables.Big(uint64(r.ID)) })
	var foreign []uint64
	if err := t.send(claim(ids), into(&foreign, func(c *tables.Cursor[any]) uint64 { return c.Big(0) },
		`SELECT replica FROM replicas WHERE replica = ANY($1) AND scope <> $2`, ids, scope)); err != nil {
		return err
	}
	if len(foreign) > 0 {
		return fmt.Errorf("replica %s of another device: %w", syncproto.ReplicaID(foreign[0]), store.ErrExists)
	}
	var values [][]any
	at := map[syncproto.ReplicaID]int{}
	for i := range replicas {
		r := &replicas[i]
		row, err := tables.Replica(scope, r)
		if err != nil {
			return t.keep(err)
		}
		if n, twice := at[r.ID]; twice {
			values[n] = row
			continue
		}
		at[r.ID] = len(values)
		values = append(values, row)
	}
	return t.write(replicasTable, replicasTable.upsert, scope, values, func() string { return fmt.Sprintf("put replicas of device %q", device) })
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
	return collect(&t.session, tables.ReadChainStep[any], `SELECT `+chainStepsTable.list+` FROM chain_steps WHERE scope = $1 AND replica = $2 AND n > $3 ORDER BY n LIMIT $4`,
		scope, tables.Big(uint64(replica)), from, int64(limit))
}

// PutSteps implements [store.DeviceTx].
func (t *tx) PutSteps(device string, replica syncproto.ReplicaID, steps []store.ChainStep) (conflicting []uint64, err error) {
	scope, err := t.device(device)
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	values, ns := make([][]any, len(steps)), make([]int64, len(steps))
	for i := range steps {
		if values[i], err = tables.ChainStep(scope, replica, &steps[i]); err != nil {
			return nil, t.keep(err)
		}
		ns[i] = values[i][tables.ChainSteps.SeqAt].(int64)
	}
	if err := t.write(chainStepsTable, chainStepsTable.once, scope, values, func() string { return fmt.Sprintf("put chain steps of %s", replica) }); err != nil {
		return nil, err
	}
	there, err := collect(&t.session, tables.ReadChainStep[any], `SELECT `+chainStepsTable.list+` FROM chain_steps WHERE scope = $1 AND replica = $2 AND n = ANY($3)`,
		scope, tables.Big(uint64(replica)), ns)
	if err != nil {
		return nil, err
	}
	kept := make(map[uint64]syncproto.Digest, len(there))
	for _, st := range there {
		kept[st.N] = st.Step
	}
	for _, st := range steps {
		if digest, ok := kept[st.N]; !ok || !bytes.Equal(digest[:], st.Step[:]) {
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
	return t.later(command{
		text: `DELETE FROM chain_steps WHERE scope = $1 AND replica = $2 AND n <= $3`, args: []any{scope, tables.Big(uint64(replica)), n},
		what: func() string { return fmt.Sprintf("drop chain steps of %s", replica) },
	})
}

// Queries of one device, by its scope.
//
//nolint:gochecknoglobals // texts, never written to
var (
	sqlReplicas  = `SELECT ` + replicasTable.list + ` FROM replicas WHERE scope = $1 ORDER BY replica`
	sqlWitnesses = `SELECT ` + witnessesTable.list + ` FROM witnesses WHERE scope = $1 ORDER BY n DESC LIMIT $2`
	sqlSeen      = `SELECT ` + deviceSeenTable.list + ` FROM device_seen WHERE scope = $1`
)

// Witnesses implements [store.DeviceTx].
func (t *tx) Witnesses(device string) ([]store.Witness, error) {
	scope, err := t.device(device)
	if err != nil {
		return nil, err
	}
	return collect(&t.session, tables.ReadWitness[any], sqlWitnesses, scope, int64(store.KeepWitnesses))
}

// PutWitness implements [store.DeviceTx].
func (t *tx) PutWitness(device string, w store.Witness) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	row, err := tables.Witness(scope, &w)
	if err != nil {
		return t.keep(err)
	}
	if err := t.add(witnessesTable, scope, row, fmt.Sprintf("witness %d", w.N)); err != nil {
		return err
	}
	return t.later(command{
		text: `DELETE FROM witnesses WHERE scope = $1 AND n <= (SELECT n FROM witnesses WHERE scope = $1 ORDER BY n DESC LIMIT 1 OFFSET $2)`,
		args: []any{scope, int64(store.KeepWitnesses)},
		what: func() string { return fmt.Sprintf("forget witnesses of device %q", device) },
	})
}

// add inserts a row that must not be there, or answers ErrExists.
func (t *tx) add(table *table, scope string, row []any, name string) error {
	c, err := table.rows(table.once, scope, [][]any{row})
	if err != nil {
		return t.keep(fmt.Errorf("put %s: %w", name, err))
	}
	var added int64
	c.done = func(tag pgconn.CommandTag) { added = tag.RowsAffected() }
	switch err := t.send(c); {
	case err != nil:
		return fmt.Errorf("put %s: %w", name, err)
	case added == 0:
		return fmt.Errorf("%s: %w", name, store.ErrExists)
	}
	return nil
}

// PutReceipt implements [store.DeviceTx].
func (t *tx) PutReceipt(device string, r store.Receipt) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	row, err := tables.Receipt(scope, &r)
	if err != nil {
		return t.keep(err)
	}
	return t.add(receiptsTable, scope, row, fmt.Sprintf("receipt %d", r.N))
}

// Receipts implements [store.RegistryReader].
func (s *session) Receipts(device string, limit int) ([]store.Receipt, error) {
	return collect(s, tables.ReadReceipt[any], `SELECT `+receiptsTable.list+` FROM receipts WHERE scope = $1 ORDER BY n DESC LIMIT $2`, store.DeviceScope(device), int64(limit))
}

// PutSeen implements [store.DeviceTx].
func (t *tx) PutSeen(device string, v store.Seen) error {
	scope, err := t.device(device)
	if err != nil {
		return err
	}
	row, err := tables.Seen(scope, &v)
	if err != nil {
		return t.keep(err)
	}
	return t.write(deviceSeenTable, deviceSeenTable.upsert, scope, [][]any{row}, func() string { return fmt.Sprintf("keep what device %q said", device) })
}
