package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os/user"
	"strconv"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

func (a *app) token(args []string) error {
	f := a.flags("token")
	name := f.String("name", "", a.say("nama orang di dalam token", "the person's name in the token"))
	role := f.String("role", string(server.Viewer), a.say("peran: viewer, operator, admin", "role: viewer, operator, admin"))
	agency := f.String("agency", "", a.say("instansi", "agency"))
	life := f.Duration("life", 12*time.Hour, a.say("masa berlaku, paling lama 2160h", "how long it is valid, at most 2160h"))
	grants := a.grantFlags(f)
	if _, err := a.parse(f, args, 0); err != nil {
		return err
	}
	given, err := grants()
	if err != nil {
		return err
	}
	p := server.Person{Subject: *name, Role: server.Role(*role), Agency: *agency}
	for _, g := range given {
		p.Regions, p.Classes = append(p.Regions, g.Region), g.Classes
	}
	return a.with(func(s *server.Server) error {
		t, err := s.Token(p, *life)
		if err != nil {
			return err
		}
		return a.done(map[string]string{"token": t}, t, t)
	})
}

// errProblems: the store was read, and is not as it must be.
var errProblems = errors.New("the store has problems")

func (a *app) check(args []string) error {
	if _, err := a.parse(a.flags("check"), args, 0); err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		problems := []string{}
		err := s.Check(a.ctx, func(p string) {
			problems = append(problems, p)
			if !a.json {
				fmt.Fprintln(a.stdout, p)
			}
		})
		if err != nil {
			return err
		}
		if a.json {
			err = a.show(map[string][]string{"problems": problems}, nil, nil)
		} else if len(problems) == 0 {
			fmt.Fprintln(a.stdout, a.say("Data utuh.", "The store is sound."))
		}
		if len(problems) > 0 {
			err = errors.Join(err, fmt.Errorf("%w: %d", errProblems, len(problems)))
		}
		return err
	})
}

func (a *app) backup(args []string) error {
	words, err := a.parse(a.flags("backup"), args, 1)
	if err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		if err := s.Backup(a.ctx, words[0]); err != nil {
			return err
		}
		return a.done(map[string]string{"file": words[0]},
			"Salinan tersimpan. Simpan server.key secara terpisah; tanpa itu perangkat tidak mengenali server.",
			"The copy is stored. Keep server.key apart; without it devices do not know the server.")
	})
}

func (a *app) restored(args []string) error {
	if _, err := a.parse(a.flags("restored"), args, 0); err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		if err := s.BeginEpoch(a.ctx); err != nil {
			return err
		}
		return a.done(map[string]string{"done": "restored"},
			"Tercatat. Setiap perangkat mengirim lagi apa yang dipegangnya.",
			"Noted. Every device pushes again what it holds.")
	})
}

type messageView struct {
	Key      string         `json:"key"`
	Scope    string         `json:"scope"`
	Record   string         `json:"record,omitempty"`
	Device   string         `json:"device"`
	Code     syncproto.Code `json:"code"`
	At       time.Time      `json:"at"`
	State    string         `json:"state"`
	Reason   string         `json:"reason,omitempty"`
	By       string         `json:"by,omitempty"`
	RawBytes int            `json:"raw_bytes"`
}

func (a *app) inboxList(args []string) error {
	f := a.flags("inbox list")
	region := f.String("region", "", a.say("hanya wilayah ini", "this region alone"))
	after := f.String("after", "", a.say("lanjut setelah kunci ini", "continue after this key"))
	limit := f.Int("limit", 100, a.say("paling banyak", "at most"))
	if _, err := a.parse(f, args, 0); err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		all, err := s.Inbox(a.ctx, syncproto.Region(*region), *after, *limit)
		if err != nil {
			return err
		}
		views, rows := []messageView{}, [][]string{}
		for _, m := range all {
			views = append(views, messageView(m))
			rows = append(rows, []string{m.Key, m.Scope, m.Device, string(m.Code), m.State, moment(m.At)})
		}
		return a.show(views, []string{a.say("KUNCI", "KEY"), a.say("LINGKUP", "SCOPE"), a.say("PERANGKAT", "DEVICE"), a.say("SEBAB", "CODE"), a.say("KEADAAN", "STATE"), a.say("DITERIMA", "RECEIVED")}, rows)
	})
}

func (a *app) inboxShow(args []string) error {
	words, err := a.parse(a.flags("inbox show"), args, 1)
	if err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		m, err := s.Message(a.ctx, words[0])
		if err != nil {
			return err
		}
		text := m.Code.Text()
		return a.show(messageView(m), nil, [][]string{
			{a.say("Kunci", "Key"), m.Key},
			{a.say("Rekaman", "Record"), m.Record},
			{a.say("Lingkup", "Scope"), m.Scope},
			{a.say("Perangkat", "Device"), m.Device},
			{a.say("Sebab", "Code"), string(m.Code) + ": " + a.say(text.Indonesian, text.English)},
			{a.say("Diterima", "Received"), moment(m.At)},
			{a.say("Besar", "Size"), strconv.Itoa(m.RawBytes)},
			{a.say("Keadaan", "State"), m.State},
			{a.say("Alasan", "Reason"), m.Reason},
			{a.say("Oleh", "By"), m.By},
		})
	})
}

// decisionFlags name who decides and why.
func (a *app) decisionFlags(f *flag.FlagSet) (by, reason *string) {
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	by = f.String("by", name, a.say("siapa yang memutuskan", "who decides"))
	reason = f.String("reason", "", a.say("alasan, tanpa data pribadi", "why, without personal data"))
	return by, reason
}

func (a *app) inboxRelease(args []string) error {
	return a.decide(args, "inbox release", (*server.Server).ReleaseMessage, "Kiriman masuk ke dalam log.", "The message is in the log.")
}

func (a *app) inboxClose(args []string) error {
	return a.decide(args, "inbox close", (*server.Server).CloseMessage, "Kiriman ditutup; isinya tetap tersimpan.", "The message is closed; its bytes stay.")
}

func (a *app) purge(args []string) error {
	return a.decide(args, "purge", (*server.Server).Purge, "Rekaman dihapus untuk selamanya.", "The record is erased for ever.")
}

// decide runs a decision about the one thing that args name.
func (a *app) decide(args []string, name string, do func(s *server.Server, ctx context.Context, key, by, reason string) error, id, en string) error {
	f := a.flags(name)
	by, reason := a.decisionFlags(f)
	words, err := a.parse(f, args, 1)
	if err != nil {
		return err
	}
	return a.with(func(s *server.Server) error {
		if err := do(s, a.ctx, words[0], *by, *reason); err != nil {
			return err
		}
		return a.done(map[string]string{"done": words[0]}, id, en)
	})
}
