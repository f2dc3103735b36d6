package hq

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

// Device is one enrolled device, and what it has written that is not here.
type Device struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Officer     string `json:"officer"`
	OfficerName string `json:"officer_name,omitempty"`
	Agency      string `json:"agency"`
	Role        string `json:"role"`
	EnrolledAt  string `json:"enrolled_at"`
	RevokedAt   string `json:"revoked_at,omitempty"`
	Wipe        bool   `json:"wipe,omitempty"`

	Grants        []Grant `json:"grants"`
	GrantsVersion uint64  `json:"grants_version"`

	// LastSeen is "" for a device that never called. App, Waiting and SkewMillis
	// are what it said of itself then.
	LastSeen   string `json:"last_seen,omitempty"`
	App        string `json:"app,omitempty"`
	Waiting    uint64 `json:"waiting"`
	SkewMillis int64  `json:"skew_ms"`

	// Claimed, Held and Missing are sums over the replicas. Complete says that
	// all that the device ever claimed is held and its chain is whole; what it
	// wrote since it last called, nobody knows.
	Claimed  uint64    `json:"claimed"`
	Held     uint64    `json:"held"`
	Missing  uint64    `json:"missing"`
	Complete bool      `json:"complete"`
	Replicas []Replica `json:"replicas"`
}

// Grant is one grant of a device.
type Grant struct {
	Region  syncproto.Region  `json:"region"`
	Classes []syncproto.Class `json:"classes"`
	Until   string            `json:"until,omitempty"`
}

// Replica is the custody of one replica id's writes: the device claims to have
// written Claimed, of which the first Held are here without a gap. Missing
// exist and are not here, or wait behind such a one.
type Replica struct {
	ID      string `json:"id"`
	Claimed uint64 `json:"claimed"`
	Held    uint64 `json:"held"`
	Missing uint64 `json:"missing"`
	// Broken says that what came contradicts what the device signed.
	Broken bool `json:"broken"`
}

// Devices returns the devices that have a grant in the reader's regions, and in
// the region and of the agency if one is named ("": all), by id.
// Errors: forbidden for a region that is not the reader's.
func (s *Service) Devices(ctx context.Context, r Reader, region syncproto.Region, agency string) ([]Device, error) {
	now := s.millis()
	if err := (Filter{Region: region}).check(r, now); err != nil {
		return nil, err
	}
	var statuses []store.DeviceStatus
	names := map[string]string{}
	err := s.view(ctx, r, func(rd store.Reader) error {
		var err error
		if statuses, err = rd.Devices(); err != nil {
			return err
		}
		officers, err := rd.Officers()
		for _, o := range officers {
			names[o.ID] = o.Name
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the devices: %w", err)
	}
	out := []Device{}
	for _, st := range statuses {
		if touches(r, st.Device, region, now) && (agency == "" || agency == st.Device.Agency) {
			d := deviceOf(st)
			d.OfficerName = names[d.Officer]
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b Device) int { return cmp.Compare(a.ID, b.ID) })
	s.audited(ctx, r, "devices.read", count{}, slog.Int("devices", len(out)))
	return out, nil
}

// touches reports whether a grant of the device, also one that has ended, lies
// in the reader's regions, or they in it, and the same for region.
func touches(r Reader, d store.Device, region syncproto.Region, now int64) bool {
	meet := func(a, b syncproto.Region) bool { return a.Covers(b) || b.Covers(a) }
	return slices.ContainsFunc(d.Grants, func(g syncproto.Grant) bool {
		return (region == "" || meet(region, g.Region)) && slices.ContainsFunc(r.Grants, func(own syncproto.Grant) bool {
			return (own.Until == 0 || now < own.Until) && meet(own.Region, g.Region)
		})
	})
}

func deviceOf(st store.DeviceStatus) Device {
	d := st.Device
	out := Device{
		ID: d.ID, Name: d.Name, Officer: d.Officer, Agency: d.Agency, Role: d.Role,
		EnrolledAt: stamp(d.EnrolledAt), RevokedAt: stamp(d.RevokedAt), Wipe: d.Wipe,
		Grants: []Grant{}, GrantsVersion: d.GrantsVersion,
		LastSeen: stamp(st.Seen.At), App: st.Seen.App, Waiting: st.Seen.Waiting, SkewMillis: st.Seen.SkewMillis,
		Complete: true, Replicas: []Replica{},
	}
	for _, g := range d.Grants {
		out.Grants = append(out.Grants, Grant{Region: g.Region, Classes: g.Classes, Until: stamp(g.Until)})
	}
	for _, r := range st.Replicas {
		x := Replica{ID: r.ID.String(), Claimed: r.ClaimedN, Held: r.HeldN, Broken: r.Broken}
		if r.ClaimedN > r.HeldN {
			x.Missing = r.ClaimedN - r.HeldN
		}
		out.Replicas = append(out.Replicas, x)
		out.Claimed, out.Held, out.Missing = out.Claimed+x.Claimed, out.Held+x.Held, out.Missing+x.Missing
		out.Complete = out.Complete && x.Missing == 0 && !x.Broken
	}
	return out
}
