package main

import "github.com/sambang-id/sambang/server"

func (a *app) officerAdd(args []string) error {
	f := a.flags("officer add")
	o := server.Officer{}
	f.StringVar(&o.Name, "name", "", a.say("nama petugas", "the officer's name"))
	f.StringVar(&o.Agency, "agency", "", a.say("instansi", "agency"))
	f.StringVar(&o.Role, "role", "officer", a.say("peran", "role"))
	words, err := a.parse(f, args, 1)
	if err != nil {
		return err
	}
	o.ID = words[0]
	return a.with(func(s *server.Server) error {
		if err := s.PutOfficer(a.ctx, o); err != nil {
			return err
		}
		return a.done(map[string]string{"officer": o.ID}, "Petugas "+o.ID+" tersimpan.", "Officer "+o.ID+" is stored.")
	})
}

func (a *app) officerList(args []string) error {
	if _, err := a.parse(a.flags("officer list"), args, 0); err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		all, err := s.Officers(a.ctx)
		if err != nil {
			return err
		}
		var rows [][]string
		for _, o := range all {
			rows = append(rows, []string{o.ID, o.Name, o.Agency, o.Role, a.yes(o.Disabled)})
		}
		if all == nil {
			all = []server.Officer{}
		}
		return a.show(all, []string{"ID", a.say("NAMA", "NAME"), a.say("INSTANSI", "AGENCY"), a.say("PERAN", "ROLE"), a.say("DIHENTIKAN", "DISABLED")}, rows)
	})
}

func (a *app) officerDisable(args []string) error {
	return a.officerSet(args, "disable", true, "dihentikan", "is disabled")
}

func (a *app) officerEnable(args []string) error {
	return a.officerSet(args, "enable", false, "diizinkan lagi", "is enabled")
}

func (a *app) officerSet(args []string, verb string, disabled bool, id, en string) error {
	words, err := a.parse(a.flags("officer "+verb), args, 1)
	if err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		if err := s.DisableOfficer(a.ctx, words[0], disabled); err != nil {
			return err
		}
		return a.done(map[string]string{"officer": words[0]}, "Petugas "+words[0]+" "+id+".", "Officer "+words[0]+" "+en+".")
	})
}
