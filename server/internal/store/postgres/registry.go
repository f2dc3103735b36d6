package postgres

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// cold adds a write of one row of a cold table to the next round trip.
func (t *tx) cold(table *table, text string, row []any, what string) error {
	c, err := table.row(text, row)
	if err != nil {
		return t.keep(fmt.Errorf("%s: %w", what, err))
	}
	c.what = func() string { return what }
	return t.later(c)
}

// PutOfficer implements [store.RegistryTx].
func (t *tx) PutOfficer(o store.Officer) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	return t.cold(officersTable, officersTable.upsert, tables.Officer(&o), fmt.Sprintf("put officer %q", o.ID))
}

// Officer implements [store.RegistryReader] and [store.RegistryTx].
func (s *session) Officer(id string) (store.Officer, error) {
	o, err := one(s, store.ErrNotFound, tables.ReadOfficer[any], `SELECT `+officersTable.list+` FROM officers WHERE id = $1`, id)
	if err != nil {
		return o, fmt.Errorf("officer %q: %w", id, err)
	}
	return o, nil
}

// Officers implements [store.RegistryReader].
func (s *session) Officers() ([]store.Officer, error) {
	return collect(s, tables.ReadOfficer[any], `SELECT `+officersTable.list+` FROM officers ORDER BY id`)
}

// PutDevice implements [store.RegistryTx].
func (t *tx) PutDevice(d store.Device) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	row, err := tables.Device(&d)
	if err != nil {
		return t.keep(err)
	}
	return t.cold(devicesTable, devicesTable.upsert, row, fmt.Sprintf("put device %q", d.ID))
}

//nolint:gochecknoglobals // a text, never written to
var sqlDevice = `SELECT ` + devicesTable.list + ` FROM devices WHERE id = $1`

// Device implements [store.RegistryReader] and [store.RegistryTx].
func (s *session) Device(id string) (store.Device, error) {
	d, err := one(s, store.ErrNotFound, tables.ReadDevice[any], sqlDevice, id)
	if err != nil {
		return d, fmt.Errorf("device %q: %w", id, err)
	}
	return d, nil
}

// DeviceStatus implements [store.RegistryReader].
func (s *session) DeviceStatus(id string) (store.DeviceStatus, error) {
	var devices []store.Device
	var seen []store.Seen
	var st store.DeviceStatus
	scope := store.DeviceScope(id)
	if unheard(id) {
		return st, fmt.Errorf("device %q: %w", id, store.ErrNotFound)
	}
	err := s.send(
		into(&devices, tables.ReadDevice[any], sqlDevice, id),
		into(&st.Replicas, tables.ReadReplica[any], sqlReplicas, scope),
		into(&seen, tables.ReadSeen[any], sqlSeen, scope),
		into(&st.Witnesses, tables.ReadWitness[any], sqlWitnesses, scope, int64(store.KeepWitnesses)))
	if err == nil && len(devices) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.DeviceStatus{}, fmt.Errorf("device %q: %w", id, err)
	}
	st.Device = devices[0]
	if len(seen) > 0 {
		st.Seen = seen[0]
	}
	return st, nil
}

// Devices implements [store.RegistryReader]. It reads three lists, and not two
// for each device.
func (s *session) Devices() ([]store.DeviceStatus, error) {
	type replica struct {
		scope string
		store.Replica
	}
	type seen struct {
		scope string
		store.Seen
	}
	var devices []store.Device
	var replicas []replica
	var said []seen
	err := s.send(
		into(&devices, tables.ReadDevice[any], `SELECT `+devicesTable.list+` FROM devices ORDER BY id`),
		into(&replicas, func(c *tables.Cursor[any]) replica { return replica{c.LooseText(0), tables.ReadReplica(c)} },
			`SELECT `+replicasTable.list+` FROM replicas ORDER BY scope, replica`),
		into(&said, func(c *tables.Cursor[any]) seen { return seen{c.LooseText(0), tables.ReadSeen(c)} },
			`SELECT `+deviceSeenTable.list+` FROM device_seen`))
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	out := make([]store.DeviceStatus, len(devices))
	at := make(map[string]*store.DeviceStatus, len(devices))
	for i, d := range devices {
		out[i].Device = d
		at[store.DeviceScope(d.ID)] = &out[i]
	}
	for _, r := range replicas {
		if st := at[r.scope]; st != nil {
			st.Replicas = append(st.Replicas, r.Replica)
		}
	}
	for _, v := range said {
		if st := at[v.scope]; st != nil {
			st.Seen = v.Seen
		}
	}
	return out, nil
}

// SetGrants implements [store.RegistryTx].
func (t *tx) SetGrants(device string, grants syncproto.Grants, now int64) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	d, err := t.Device(device)
	if err != nil {
		return fmt.Errorf("set the grants: %w", err)
	}
	row, err := tables.PastGrant(device, d.Grants, d.GrantsVersion, now)
	if err != nil {
		return t.keep(err)
	}
	if err := t.cold(pastGrantsTable, pastGrantsTable.insert, row, fmt.Sprintf("keep the grants of device %q", device)); err != nil {
		return err
	}
	d.Grants, d.GrantsVersion = grants, store.NextGrants(d.GrantsVersion, now)
	return t.PutDevice(d)
}

// GrantHistory implements [store.RegistryTx].
func (s *session) GrantHistory(device string) ([]store.PastGrants, error) {
	return collect(s, tables.ReadPastGrants[any], `SELECT `+pastGrantsTable.list+` FROM past_grants WHERE device = $1 ORDER BY version DESC`, device)
}

// AddEnrolment implements [store.RegistryTx].
func (t *tx) AddEnrolment(e store.Enrolment) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	row, err := tables.Enrolment(&e)
	if err != nil {
		return t.keep(err)
	}
	c, err := enrolmentsTable.row(enrolmentsTable.once, row)
	if err != nil {
		return t.keep(fmt.Errorf("add enrolment %q: %w", e.ID, err))
	}
	var added int64
	c.done = func(tag pgconn.CommandTag) { added = tag.RowsAffected() }
	switch err := t.send(c); {
	case err != nil:
		return fmt.Errorf("add enrolment %q: %w", e.ID, err)
	case added == 0:
		return fmt.Errorf("enrolment %q: %w", e.ID, store.ErrExists)
	}
	return nil
}

// UseEnrolment implements [store.RegistryTx].
func (t *tx) UseEnrolment(id, device string, now int64) (e store.Enrolment, used bool, err error) {
	if err := t.holds(store.RegistryScope); err != nil {
		return e, false, err
	}
	e, err = one(&t.session, store.ErrNotFound, tables.ReadEnrolment[any], `SELECT `+enrolmentsTable.list+` FROM enrolments WHERE id = $1`, id)
	if err != nil {
		return e, false, fmt.Errorf("enrolment %q: %w", id, err)
	}
	if e.UsedAt != 0 || e.ExpiresAt <= now {
		return e, false, nil
	}
	spent := e
	spent.UsedAt, spent.Device = now, device
	row, err := tables.Enrolment(&spent)
	if err != nil {
		return e, false, t.keep(err)
	}
	if err := t.cold(enrolmentsTable, enrolmentsTable.upsert, row, fmt.Sprintf("use enrolment %q", id)); err != nil {
		return e, false, err
	}
	return e, true, nil
}
