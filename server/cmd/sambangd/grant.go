package main

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

type grantView struct {
	Region  syncproto.Region  `json:"region"`
	Classes []syncproto.Class `json:"classes"`
	Until   *time.Time        `json:"until"`
}

func viewGrants(grants syncproto.Grants) []grantView {
	all := []grantView{}
	for _, g := range grants {
		v := grantView{Region: g.Region, Classes: g.Classes}
		if g.Until != 0 {
			t := time.UnixMilli(g.Until).UTC()
			v.Until = &t
		}
		all = append(all, v)
	}
	return all
}

func (g grantView) classes() string {
	var all []string
	for _, c := range g.Classes {
		all = append(all, string(c))
	}
	return strings.Join(all, ",")
}

func (g grantView) text(a *app) string {
	s := string(g.Region) + " " + g.classes()
	if g.Until != nil {
		s += a.say(" sampai ", " until ") + moment(*g.Until)
	}
	return s
}

// grantFlags adds the flags that name grants; the returned function reads them
// after they were parsed.
func (a *app) grantFlags(f *flag.FlagSet) func() (syncproto.Grants, error) {
	regions := f.String("region", "", a.say("kode wilayah, dipisah koma: 35, 35.24 atau 35.24.14", "region codes, with commas between: 35, 35.24 or 35.24.14"))
	classes := f.String("classes", "D", a.say("kelas yang boleh dibaca, dipisah koma: D, T, H", "classes to read, with commas between: D, T, H"))
	until := f.String("until", "", a.say("hari terakhir (2026-12-31, UTC) atau waktu RFC 3339", "last day (2026-12-31, UTC) or an RFC 3339 time"))
	return func() (syncproto.Grants, error) {
		end, err := parseUntil(*until)
		if err != nil {
			return nil, err
		}
		var kinds []syncproto.Class
		for _, s := range list(*classes) {
			c, err := syncproto.ParseClass(s)
			if err != nil {
				return nil, err
			}
			kinds = append(kinds, c)
		}
		var grants syncproto.Grants
		for _, s := range list(*regions) {
			r, err := syncproto.ParseRegion(s)
			if err != nil {
				return nil, err
			}
			grants = append(grants, syncproto.Grant{Region: r, Classes: kinds, Until: end})
		}
		return grants, nil
	}
}

// parseUntil returns Unix milliseconds, 0 for no end. A day counts whole.
func parseUntil(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.AddDate(0, 0, 1).UnixMilli(), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("%w: -until: %w", errUsage, err)
	}
	return t.UnixMilli(), nil
}

func (a *app) grantSet(args []string) error {
	return a.grantEdit(args, "set", func(_, given syncproto.Grants) syncproto.Grants { return given })
}

func (a *app) grantAdd(args []string) error {
	return a.grantEdit(args, "add", func(old, given syncproto.Grants) syncproto.Grants { return append(without(old, given), given...) })
}

func (a *app) grantRemove(args []string) error {
	return a.grantEdit(args, "remove", without)
}

// without returns old without the grants of regions that given names.
func without(old, given syncproto.Grants) syncproto.Grants {
	return slices.DeleteFunc(slices.Clone(old), func(g syncproto.Grant) bool {
		return slices.ContainsFunc(given, func(x syncproto.Grant) bool { return x.Region == g.Region })
	})
}

func (a *app) grantEdit(args []string, verb string, edit func(old, given syncproto.Grants) syncproto.Grants) error {
	f := a.flags("grant " + verb)
	grants := a.grantFlags(f)
	words, err := a.parse(f, args, 1)
	if err != nil {
		return err
	}
	given, err := grants()
	if err != nil {
		return err
	}
	if len(given) == 0 {
		return fmt.Errorf("%w: %s", errUsage, a.say("perlu -region", "-region is needed"))
	}
	return a.with(func(s *server.Server) error {
		err := s.EditGrants(a.ctx, words[0], func(old syncproto.Grants) syncproto.Grants { return edit(old, given) })
		if err != nil {
			return err
		}
		return a.showGrants(s, words[0])
	})
}

func (a *app) grantList(args []string) error {
	words, err := a.parse(a.flags("grant list"), args, 1)
	if err != nil {
		return err
	}
	return a.with(func(s *server.Server) error { return a.showGrants(s, words[0]) })
}

func (a *app) showGrants(s *server.Server, device string) error {
	d, err := s.Device(a.ctx, device)
	if err != nil {
		return err
	}
	views, rows := viewGrants(d.Grants), [][]string{}
	for _, g := range views {
		end := "-"
		if g.Until != nil {
			end = moment(*g.Until)
		}
		rows = append(rows, []string{string(g.Region), g.classes(), end})
	}
	return a.show(struct {
		Device  string      `json:"device"`
		Version uint64      `json:"version"`
		Grants  []grantView `json:"grants"`
	}{device, d.GrantsVersion, views}, []string{a.say("WILAYAH", "REGION"), a.say("KELAS", "CLASSES"), a.say("SAMPAI", "UNTIL")}, rows)
}
