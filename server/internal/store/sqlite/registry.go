package sqlite

import (
	"encoding/json"
	"fmt"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// PutOfficer implements [store.RegistryTx].
func (t *tx) PutOfficer(o store.Officer) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	_, err := t.exec(officersTable.upsert, sealed(officersTable, o.ID, o.Name, o.Agency, o.Role, bit(o.Disabled))...)
	if err != nil {
		return fmt.Errorf("put officer %q: %w", o.ID, err)
	}
	return nil
}

func scanOfficer(c *cursor) store.Officer {
	c.must(officersTable)
	return store.Officer{ID: c.text(0), Name: c.text(1), Agency: c.text(2), Role: c.text(3), Disabled: c.bool(4)}
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
	grants, err := encodeGrants(d.Grants)
	if err != nil {
		return t.keep(err)
	}
	version, err := signed(d.GrantsVersion)
	if err != nil {
		return t.keep(err)
	}
	_, err = t.exec(devicesTable.upsert, sealed(devicesTable,
		d.ID, d.Name, d.Officer, d.Agency, d.Role, d.Algorithm, blob(d.PublicKey), grants, version, d.EnrolledAt, d.RevokedAt, bit(d.Wipe))...)
	if err != nil {
		return fmt.Errorf("put device %q: %w", d.ID, err)
	}
	return nil
}

func scanDevice(c *cursor) store.Device {
	c.must(devicesTable)
	return store.Device{
		ID: c.text(0), Name: c.text(1), Officer: c.text(2), Agency: c.text(3), Role: c.text(4), Algorithm: c.text(5), PublicKey: c.blob(6),
		Grants: c.grants(7), GrantsVersion: c.uint(8), EnrolledAt: c.int(9), RevokedAt: c.int(10), Wipe: c.bool(11),
	}
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
	before, err := encodeGrants(d.Grants)
	if err != nil {
		return t.keep(err)
	}
	version, err := signed(d.GrantsVersion)
	if err != nil {
		return t.keep(err)
	}
	if _, err := t.exec(pastGrantsTable.insert, sealed(pastGrantsTable, device, version, before, now)...); err != nil {
		return fmt.Errorf("keep the grants of device %q: %w", device, err)
	}
	d.Grants, d.GrantsVersion = grants, store.NextGrants(d.GrantsVersion, now)
	return t.PutDevice(d)
}

// GrantHistory implements [store.RegistryTx].
func (s *session) GrantHistory(device string) ([]store.PastGrants, error) {
	return collect(s, func(c *cursor) store.PastGrants {
		c.must(pastGrantsTable)
		return store.PastGrants{Version: c.uint(1), Grants: c.grants(2), ReplacedAt: c.int(3)}
	}, `SELECT `+pastGrantsTable.list+` FROM past_grants WHERE device = ? ORDER BY version DESC`, device)
}

// AddEnrolment implements [store.RegistryTx].
func (t *tx) AddEnrolment(e store.Enrolment) error {
	if err := t.holds(store.RegistryScope); err != nil {
		return err
	}
	grants, err := encodeGrants(e.Grants)
	if err != nil {
		return t.keep(err)
	}
	added, err := t.exec(enrolmentsTable.insert+` ON CONFLICT (id) DO NOTHING`, enrolmentRow(&e, grants)...)
	switch {
	case err != nil:
		return fmt.Errorf("add enrolment %q: %w", e.ID, err)
	case added == 0:
		return fmt.Errorf("enrolment %q: %w", e.ID, store.ErrExists)
	}
	return nil
}

func enrolmentRow(e *store.Enrolment, grants string) []any {
	return sealed(enrolmentsTable, e.ID, e.SecretHash[:], e.Officer, e.Agency, e.Role, grants, e.CreatedAt, e.ExpiresAt, e.UsedAt, e.Device)
}

func scanEnrolment(c *cursor) store.Enrolment {
	c.must(enrolmentsTable)
	return store.Enrolment{
		ID: c.text(0), SecretHash: c.digest(1), Officer: c.text(2), Agency: c.text(3), Role: c.text(4), Grants: c.grants(5),
		CreatedAt: c.int(6), ExpiresAt: c.int(7), UsedAt: c.int(8), Device: c.text(9),
	}
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
	grants, err := encodeGrants(e.Grants)
	if err != nil {
		return e, false, t.keep(err)
	}
	spent := e
	spent.UsedAt, spent.Device = now, device
	if _, err := t.exec(enrolmentsTable.upsert, enrolmentRow(&spent, grants)...); err != nil {
		return e, false, fmt.Errorf("use enrolment %q: %w", id, err)
	}
	return e, true, nil
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

func (c *cursor) grants(i int) syncproto.Grants {
	var in []grant
	if err := json.Unmarshal([]byte(c.text(i)), &in); err != nil {
		c.fail(i, "grants")
		return nil
	}
	var out syncproto.Grants
	for _, g := range in {
		out = append(out, syncproto.Grant(g))
	}
	return out
}
