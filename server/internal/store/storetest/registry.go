package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func registryCases() []testCase {
	return []testCase{
		{"officers and devices come back as they were put", registry},
		{"grants are replaced with a new version and their history", grants},
		{"a code is used exactly once among two hundred", enrolOnce},
		{"a code is refused from the millisecond at which it ends", enrolExpired},
	}
}

func device(id string) store.Device {
	return store.Device{ID: id, Officer: "officer-" + id, Agency: "imigrasi", Algorithm: "EdDSA", PublicKey: []byte("key of " + id), GrantsVersion: 1, EnrolledAt: 7}
}

// registry: who may do what. A field that is lost here opens or closes a door.
func registry(b *bench) {
	d := store.Device{
		ID: "device-é", Name: "Telepon 王", Officer: "officer-1", Agency: "imigrasi", Role: "inspector", Algorithm: "ES256", PublicKey: []byte{0, 1, 0xff},
		Grants: syncproto.Grants{
			{Region: "35.24", Classes: []syncproto.Class{"D", "T"}, Until: 1_766_000_000_001},
			{Region: "35.24.14"},
		},
		GrantsVersion: 41, EnrolledAt: 1, RevokedAt: 2, Wipe: true,
	}
	o := store.Officer{ID: "officer-1", Name: "Ni Luh", Agency: "imigrasi", Role: "lead", Disabled: true}
	for range 2 { // the second replaces the first
		b.must(b.update(store.RegistryScope, func(tx store.Tx) error {
			if err := tx.PutOfficer(store.Officer{ID: "officer-1", Name: "first"}); err != nil {
				return err
			}
			if err := tx.PutOfficer(o); err != nil {
				return err
			}
			if err := tx.PutDevice(device(d.ID)); err != nil {
				return err
			}
			if err := tx.PutDevice(d); err != nil {
				return err
			}
			got, err := tx.Device(d.ID)
			if diff := cmp.Diff(d, got, cmpopts.EquateEmpty()); diff != "" {
				b.Errorf("device in the step (-want +got):\n%s", diff)
			}
			return err
		}))
	}
	b.view(func(r store.Reader) error {
		got, err := r.Device(d.ID)
		if diff := cmp.Diff(d, got, cmpopts.EquateEmpty()); diff != "" || err != nil {
			b.Errorf("device (-want +got): %v\n%s", err, diff)
		}
		officer, err := r.Officer(o.ID)
		if diff := cmp.Diff(o, officer); diff != "" || err != nil {
			b.Errorf("officer (-want +got): %v\n%s", err, diff)
		}
		devices, err := r.Devices()
		if len(devices) != 1 {
			b.Errorf("%d devices", len(devices))
		}
		_, missing := r.Device("device-e")
		b.wants(missing, store.ErrNotFound)
		_, missing = r.Officer("")
		b.wants(missing, store.ErrNotFound)
		_, missing = r.DeviceStatus("nobody")
		b.wants(missing, store.ErrNotFound)
		return err
	})
	b.must(b.update(string(home), func(tx store.Tx) error { // reading needs no scope
		_, missing := tx.Device("nobody")
		b.wants(missing, store.ErrNotFound)
		_, missing = tx.Officer("nobody")
		b.wants(missing, store.ErrNotFound)
		return nil
	}))
}

// grants: what a device wrote under its former grants is judged by them, and a
// response is used only if it is of a version not older than the phone's.
func grants(b *bench) {
	const dev = "device-1"
	set := func(region syncproto.Region) syncproto.Grants {
		return syncproto.Grants{{Region: region, Classes: []syncproto.Class{"D"}}}
	}
	d := device(dev)
	d.Grants = set("35.01")
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.PutDevice(d) }))
	for i, region := range []syncproto.Region{"35.02", "35.03"} { // the clock is set back between them
		b.must(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.SetGrants(dev, set(region), int64(100-10*i)) }))
	}
	b.wants(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.SetGrants("nobody", nil, 1) }), store.ErrNotFound)
	d.Grants, d.GrantsVersion = set("35.03"), 101
	b.must(b.update(store.DeviceScope(dev), func(tx store.Tx) error { // reading needs no scope
		got, err := tx.Device(dev)
		if diff := cmp.Diff(d, got); diff != "" || err != nil {
			b.Errorf("device (-want +got): %v\n%s", err, diff)
		}
		past, err := tx.GrantHistory(dev)
		want := []store.PastGrants{{Version: 100, Grants: set("35.02"), ReplacedAt: 90}, {Version: 1, Grants: set("35.01"), ReplacedAt: 100}}
		if diff := cmp.Diff(want, past); diff != "" {
			b.Errorf("grants of the past (-want +got):\n%s", diff)
		}
		return err
	}))
}

func enrolment(id string) store.Enrolment {
	return store.Enrolment{
		ID: id, SecretHash: digest(id), Officer: "officer-1", Agency: "imigrasi", Role: "inspector",
		Grants: syncproto.Grants{{Region: "35.24", Classes: []syncproto.Class{"D"}, Until: 5}}, CreatedAt: 1, ExpiresAt: 1000,
	}
}

// enrolOnce: a photographed code is redeemed by two phones at once.
func enrolOnce(b *bench) {
	e := enrolment("code-1")
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.AddEnrolment(e) }))
	b.wants(b.update(store.RegistryScope, func(tx store.Tx) error { return tx.AddEnrolment(store.Enrolment{ID: "code-1"}) }), store.ErrExists)
	var won atomic.Int32
	winner := make(chan string, 200)
	b.together(200, func(i int) error {
		dev := fmt.Sprint("device-", i)
		var before store.Enrolment
		var used bool
		err := b.update(store.RegistryScope, func(tx store.Tx) (err error) {
			before, used, err = tx.UseEnrolment("code-1", dev, 500)
			return err
		})
		if used {
			won.Add(1)
			winner <- dev
			if diff := cmp.Diff(e, before); diff != "" {
				return fmt.Errorf("code as it was before (-want +got):\n%s", diff)
			}
		} else if err == nil && before.UsedAt != 500 {
			err = errors.New("a loser does not see that the code is used")
		}
		return err
	})
	if won.Load() != 1 {
		b.Fatalf("%d of 200 used the code", won.Load())
	}
	dev := <-winner
	b.must(b.update(store.RegistryScope, func(tx store.Tx) error {
		got, used, err := tx.UseEnrolment("code-1", "late", 600)
		if got.Device != dev || got.UsedAt != 500 || used {
			b.Errorf("the used code: %+v, used again: %v", got, used)
		}
		_, _, missing := tx.UseEnrolment("code-2", "x", 1)
		b.wants(missing, store.ErrNotFound)
		return err
	}))
}

func enrolExpired(b *bench) {
	for i, c := range []struct {
		now  int64
		want bool
	}{{999, true}, {1000, false}, {1001, false}} {
		code := fmt.Sprint("code-", i)
		b.must(b.update(store.RegistryScope, func(tx store.Tx) error {
			if err := tx.AddEnrolment(enrolment(code)); err != nil {
				return err
			}
			_, used, err := tx.UseEnrolment(code, "device-1", c.now)
			if used != c.want {
				b.Errorf("at %d: used %v, want %v", c.now, used, c.want)
			}
			return err
		}))
	}
}
