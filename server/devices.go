package server

import (
	"context"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Device is an enrolled device and what is known of its sync.
type Device struct {
	ID            string
	Name          string
	Officer       string
	Agency        string
	Role          string
	Algorithm     string
	Grants        syncproto.Grants
	GrantsVersion uint64
	EnrolledAt    time.Time
	RevokedAt     time.Time // zero: not revoked
	Wipe          bool
	// SeenAt is when it last exchanged, App what it then called itself,
	// Waiting how many records it still had to send.
	SeenAt  time.Time // zero: never
	App     string
	Waiting uint64
	// Missing counts the writes that it has claimed and that are not held here.
	Missing uint64
	// Broken is set if its history contradicts what it claimed.
	Broken bool
}

// Devices returns all devices.
func (s *Server) Devices(ctx context.Context) ([]Device, error) {
	var all []Device
	err := s.store.View(ctx, func(r store.Reader) error {
		rows, err := r.Devices()
		for _, d := range rows {
			all = append(all, device(d))
		}
		return err
	})
	return all, err
}

// Device returns one device. The error has the code not_found if there is
// none.
func (s *Server) Device(ctx context.Context, id string) (d Device, err error) {
	err = s.store.View(ctx, func(r store.Reader) error {
		row, err := r.DeviceStatus(id)
		if err != nil {
			return notFound(err, "device", id)
		}
		d = device(row)
		return nil
	})
	return d, err
}

func device(s store.DeviceStatus) Device {
	d := Device{
		ID: s.Device.ID, Name: s.Device.Name, Officer: s.Device.Officer, Agency: s.Device.Agency, Role: s.Device.Role,
		Algorithm: s.Device.Algorithm, Grants: s.Device.Grants, GrantsVersion: s.Device.GrantsVersion,
		EnrolledAt: at(s.Device.EnrolledAt), RevokedAt: at(s.Device.RevokedAt), Wipe: s.Device.Wipe,
		SeenAt: at(s.Seen.At), App: s.Seen.App, Waiting: s.Seen.Waiting,
	}
	for _, r := range s.Replicas {
		d.Missing += r.ClaimedN - min(r.HeldN, r.ClaimedN)
		d.Broken = d.Broken || r.Broken
	}
	return d
}

func at(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

// Revoke shuts a device out from its next request on, for good. With wipe it is
// then told to destroy its data key. What it wrote before stays.
func (s *Server) Revoke(ctx context.Context, id string, wipe bool) error {
	now := s.nowMillis()
	return s.registry(ctx, func(tx store.Tx) error {
		d, err := tx.Device(id)
		if err != nil {
			return notFound(err, "device", id)
		}
		if d.RevokedAt == 0 {
			d.RevokedAt = now
		}
		d.Wipe = d.Wipe || wipe
		return tx.PutDevice(d)
	})
}

// SetGrants replaces what a device may read and where it may write. The device
// learns it at its next exchange.
func (s *Server) SetGrants(ctx context.Context, id string, grants syncproto.Grants) error {
	return s.EditGrants(ctx, id, func(syncproto.Grants) syncproto.Grants { return grants })
}

// EditGrants replaces a device's grants with what edit makes of them, in one
// step. edit must not change its argument.
func (s *Server) EditGrants(ctx context.Context, id string, edit func(syncproto.Grants) syncproto.Grants) error {
	now := s.nowMillis()
	return s.registry(ctx, func(tx store.Tx) error {
		d, err := tx.Device(id)
		if err != nil {
			return notFound(err, "device", id)
		}
		grants := edit(d.Grants)
		if len(grants) > 0 {
			if err := auth.CheckGrants(grants); err != nil {
				return err
			}
		}
		return tx.SetGrants(id, grants, now)
	})
}
