package sqlite

import (
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/tables"
	"github.com/sambang-id/sambang/syncproto"
)

// PutOfficer implements [store.RegistryTx].
func (t *tx) PutOfficer(o store.Officer) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	_, err := t.exec(officersTable.upsert, tables.Officer(&o)...)
	if err != nil {
		return fmt.Errorf("put officer %q: %w", o.ID, err)
	}
	return nil
}

// Officer implements [store.RegistryReader] and [store.RegistryTx].
func (s *session) Officer(id string) (store.Officer, error) {
	o, err := one(s, store.ErrNotFound, scanOfficer, `SELECT `+officersTable.list+` FROM officers WHERE id = ?`, id)
	if err != nil {
		return o, fmt.Errorf("officer %q: %w", id, err)
	}
	return o, nil
}

// Officers implements [store.RegistryReader].
func (s *session) Officers() ([]store.Officer, error) {
	return collect(s, scanOfficer, `SELECT `+officersTable.list+` FROM officers ORDER BY id`)
}

// PutDevice implements [store.RegistryTx].
func (t *tx) PutDevice(d store.Device) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	values, err := tables.Device(&d)
	if err != nil {
		return t.keep(err)
	}
	_, err = t.exec(devicesTable.upsert, values...)
	if err != nil {
		return fmt.Errorf("put device %q: %w", d.ID, err)
	}
	return nil
}

// Device implements [store.RegistryReader] and [store.RegistryTx].
func (s *session) Device(id string) (store.Device, error) {
	d, err := one(s, store.ErrNotFound, scanDevice, `SELECT `+devicesTable.list+` FROM devices WHERE id = ?`, id)
	if err != nil {
		return d, fmt.Errorf("device %q: %w", id, err)
	}
	return d, nil
}

// DeviceStatus implements [store.RegistryReader].
func (s *session) DeviceStatus(id string) (store.DeviceStatus, error) {
	d, err := s.Device(id)
	if err != nil {
		return store.DeviceStatus{}, err
	}
	st, err := s.status(d)
	if err != nil {
		return store.DeviceStatus{}, err
	}
	if st.Witnesses, err = s.witnesses(id); err != nil {
		return store.DeviceStatus{}, fmt.Errorf("witnesses of device %q: %w", id, err)
	}
	return st, nil
}

func (s *session) status(d store.Device) (store.DeviceStatus, error) {
	replicas, err := s.replicas(d.ID)
	if err != nil {
		return store.DeviceStatus{}, fmt.Errorf("replicas of device %q: %w", d.ID, err)
	}
	seen, err := s.seen(d.ID)
	if err != nil {
		return store.DeviceStatus{}, fmt.Errorf("what device %q said: %w", d.ID, err)
	}
	return store.DeviceStatus{Device: d, Replicas: replicas, Seen: seen}, nil
}

// Devices implements [store.RegistryReader].
func (s *session) Devices() ([]store.DeviceStatus, error) {
	devices, err := collect(s, scanDevice, `SELECT `+devicesTable.list+` FROM devices ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("devices: %w", err)
	}
	out := make([]store.DeviceStatus, 0, len(devices))
	for _, d := range devices {
		st, err := s.status(d)
		if err != nil {
			return nil, err
		}
		out = append(out, st)
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
	values, err := tables.PastGrant(device, d.Grants, d.GrantsVersion, now)
	if err != nil {
		return t.keep(err)
	}
	if _, err := t.exec(pastGrantsTable.insert, values...); err != nil {
		return fmt.Errorf("keep the grants of device %q: %w", device, err)
	}
	d.Grants, d.GrantsVersion = grants, store.NextGrants(d.GrantsVersion, now)
	return t.PutDevice(d)
}

// GrantHistory implements [store.RegistryTx].
func (s *session) GrantHistory(device string) ([]store.PastGrants, error) {
	return collect(s, scanPastGrants, `SELECT `+pastGrantsTable.list+` FROM past_grants WHERE device = ? ORDER BY version DESC`, device)
}

// AddEnrolment implements [store.RegistryTx].
func (t *tx) AddEnrolment(e store.Enrolment) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	values, err := tables.Enrolment(&e)
	if err != nil {
		return t.keep(err)
	}
	added, err := t.exec(enrolmentsTable.insert+` ON CONFLICT (id) DO NOTHING`, values...)
	switch {
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
	e, err = one(&t.session, store.ErrNotFound, scanEnrolment, `SELECT `+enrolmentsTable.list+` FROM enrolments WHERE id = ?`, id)
	if err != nil {
		return e, false, fmt.Errorf("enrolment %q: %w", id, err)
	}
	if e.UsedAt != 0 || e.ExpiresAt <= now {
		return e, false, nil
	}
	spent := e
	spent.UsedAt, spent.Device = now, device
	values, err := tables.Enrolment(&spent)
	if err != nil {
		return e, false, t.keep(err)
	}
	if _, err := t.exec(enrolmentsTable.upsert, values...); err != nil {
		return e, false, fmt.Errorf("use enrolment %q: %w", id, err)
	}
	return e, true, nil
}
