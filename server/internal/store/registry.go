package store

import "github.com/sambang-id/sambang/syncproto"

// RegistryTx reads and writes who may do what. The step must hold
// RegistryScope to write.
type RegistryTx interface {
	// PutOfficer inserts or replaces an officer.
	PutOfficer(o Officer) error
	// PutDevice inserts or replaces a device.
	PutDevice(d Device) error
	// Device and Officer return one row, or ErrNotFound.
	Device(id string) (Device, error)
	Officer(id string) (Officer, error)
	// SetGrants replaces the grants of a device at time now, in Unix
	// milliseconds, and keeps the ones before in the history. Their version is
	// [NextGrants] of the one before.
	SetGrants(device string, grants syncproto.Grants, now int64) error
	// GrantHistory returns the grants that the device held before the present
	// ones, newest first: a write made under them is still accepted.
	GrantHistory(device string) ([]PastGrants, error)
	// AddEnrolment adds a code, or ErrExists.
	AddEnrolment(e Enrolment) error
	// UseEnrolment marks a code as used by a device, if it is unused and not
	// expired at now; exactly one caller succeeds. It returns the code's row
	// as it was before, or ErrNotFound; used reports success.
	UseEnrolment(id, device string, now int64) (e Enrolment, used bool, err error)
}

// Officer is a person who may hold devices.
type Officer struct {
	ID       string
	Name     string
	Agency   string
	Role     string
	Disabled bool
}

// Device is one enrolled phone.
type Device struct {
	ID      string
	Name    string
	Officer string
	Agency  string
	Role    string
	// Algorithm is EdDSA or ES256, fixed at enrolment; PublicKey is the raw
	// Ed25519 key or the PKIX form of a P-256 key.
	Algorithm     string
	PublicKey     []byte
	Grants        syncproto.Grants
	GrantsVersion uint64
	EnrolledAt    int64
	RevokedAt     int64 // 0: not revoked
	// Wipe asks the device to destroy its data key at the next contact.
	Wipe bool
}

// NextGrants returns the version of grants that replace those of the given
// version at time now. It is greater, and no counter: a store that was rolled
// back would count to the same numbers again for other grants, and a device
// that was not rolled back along would take them for those that it has.
func NextGrants(version uint64, now int64) uint64 {
	return max(version+1, uint64(max(now, 0)))
}

// PastGrants are grants that were replaced.
type PastGrants struct {
	Version    uint64
	Grants     syncproto.Grants
	ReplacedAt int64
}

// Enrolment is a single-use code, bound to what it will grant.
type Enrolment struct {
	ID         string
	SecretHash syncproto.Digest
	Officer    string
	Agency     string
	Role       string
	Grants     syncproto.Grants
	CreatedAt  int64
	ExpiresAt  int64
	UsedAt     int64 // 0: unused
	Device     string
}
