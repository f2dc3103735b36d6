package main

import (
	"strconv"
	"time"

	"github.com/sambang-id/sambang/server"
)

// deviceView is the JSON form of a device.
type deviceView struct {
	ID            string      `json:"id"`
	Name          string      `json:"name"`
	Officer       string      `json:"officer"`
	Agency        string      `json:"agency"`
	Role          string      `json:"role"`
	Algorithm     string      `json:"algorithm"`
	Grants        []grantView `json:"grants"`
	GrantsVersion uint64      `json:"grants_version"`
	EnrolledAt    *time.Time  `json:"enrolled_at"`
	RevokedAt     *time.Time  `json:"revoked_at"`
	Wipe          bool        `json:"wipe"`
	SeenAt        *time.Time  `json:"seen_at"`
	App           string      `json:"app"`
	Waiting       uint64      `json:"waiting"`
	Missing       uint64      `json:"missing"`
	Broken        bool        `json:"broken"`
}

func viewDevice(d server.Device) deviceView {
	return deviceView{
		ID: d.ID, Name: d.Name, Officer: d.Officer, Agency: d.Agency, Role: d.Role, Algorithm: d.Algorithm,
		Grants: viewGrants(d.Grants), GrantsVersion: d.GrantsVersion,
		EnrolledAt: timePointer(d.EnrolledAt), RevokedAt: timePointer(d.RevokedAt), Wipe: d.Wipe,
		SeenAt: timePointer(d.SeenAt), App: d.App, Waiting: d.Waiting, Missing: d.Missing, Broken: d.Broken,
	}
}

func (a *app) deviceList(args []string) error {
	if _, err := a.parse(a.flags("device list"), args, 0); err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		all, err := s.Devices(a.ctx)
		if err != nil {
			return err
		}
		views, rows := []deviceView{}, [][]string{}
		for _, d := range all {
			views = append(views, viewDevice(d))
			rows = append(rows, []string{d.ID, d.Name, d.Officer, a.state(d), moment(d.SeenAt), strconv.FormatUint(d.Waiting, 10), strconv.FormatUint(d.Missing, 10)})
		}
		return a.show(views, []string{
			"ID", a.say("NAMA", "NAME"), a.say("PETUGAS", "OFFICER"), a.say("KEADAAN", "STATE"), a.say("TERAKHIR", "SEEN"),
			a.say("MENUNGGU", "WAITING"), a.say("BELUM DITERIMA", "MISSING"),
		}, rows)
	})
}

func (a *app) state(d server.Device) string {
	switch {
	case d.Wipe:
		return a.say("dihapus", "wiped")
	case !d.RevokedAt.IsZero():
		return a.say("dicabut", "revoked")
	case d.Broken:
		return a.say("riwayat bertentangan", "broken history")
	}
	return a.say("aktif", "active")
}

func (a *app) deviceShow(args []string) error {
	words, err := a.parse(a.flags("device show"), args, 1)
	if err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		d, err := s.Device(a.ctx, words[0])
		if err != nil {
			return err
		}
		rows := [][]string{
			{"ID", d.ID},
			{a.say("Nama", "Name"), d.Name},
			{a.say("Petugas", "Officer"), d.Officer},
			{a.say("Instansi", "Agency"), d.Agency},
			{a.say("Peran", "Role"), d.Role},
			{a.say("Keadaan", "State"), a.state(d)},
			{a.say("Algoritme", "Algorithm"), d.Algorithm},
			{a.say("Terdaftar", "Enrolled"), moment(d.EnrolledAt)},
			{a.say("Dicabut", "Revoked"), moment(d.RevokedAt)},
			{a.say("Terakhir terlihat", "Last seen"), moment(d.SeenAt)},
			{a.say("Aplikasi", "App"), d.App},
			{a.say("Masih menunggu di perangkat", "Still waiting on the device"), strconv.FormatUint(d.Waiting, 10)},
			{a.say("Dinyatakan, belum diterima", "Claimed, not received"), strconv.FormatUint(d.Missing, 10)},
		}
		for _, g := range viewGrants(d.Grants) {
			rows = append(rows, []string{a.say("Hak", "Grant"), g.text(a)})
		}
		return a.show(viewDevice(d), nil, rows)
	})
}

func (a *app) deviceRevoke(args []string) error {
	return a.deviceOut(args, "revoke", false, "dicabut", "is revoked")
}

func (a *app) deviceWipe(args []string) error {
	return a.deviceOut(args, "wipe", true, "dicabut; datanya dihapus saat terhubung berikutnya", "is revoked; its data goes at its next contact")
}

func (a *app) deviceOut(args []string, verb string, wipe bool, id, en string) error {
	words, err := a.parse(a.flags("device "+verb), args, 1)
	if err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		if err := s.Revoke(a.ctx, words[0], wipe); err != nil {
			return err
		}
		return a.done(map[string]string{"device": words[0]}, "Perangkat "+words[0]+" "+id+".", "Device "+words[0]+" "+en+".")
	})
}
