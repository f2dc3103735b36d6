package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// TestSimLosesNothing lets a few phones write, move, delete and sync at random
// over a bad link, restarts and restores them, and rolls the server back. Each
// write carries a value of its own, and the test keeps which values a write has
// overwritten in the eyes of its writer; at the end every value that nobody
// overwrote must be shown, on every phone, and no other. SAMBANG_SIM_SEEDS sets
// the number of runs, SAMBANG_SIM_SEED the first one.
func TestSimLosesNothing(t *testing.T) {
	seeds, first := 4, 1
	if n, err := strconv.Atoi(os.Getenv("SAMBANG_SIM_SEEDS")); err == nil {
		seeds = n
	}
	if n, err := strconv.Atoi(os.Getenv("SAMBANG_SIM_SEED")); err == nil {
		first = n
	}
	for seed := first; seed < first+seeds; seed++ {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { newSim(t, uint64(seed)).run(250) })
	}
}

type sim struct {
	*world
	t      *testing.T
	rng    *rand.Rand
	phones []*simPhone
	ids    []sambang.ID
	uid    int
	writes map[string]*simWrite // by value
	images bool                 // whole images are restored: forks, but no rollback (SYNC 6.1)
	forked bool
	log    []string
}

type simWrite struct {
	phone *simPhone
	at    int // in the phone's order
	where string
	kills []string
	maybe bool // its phone was restored to before it
}

type simPhone struct {
	name    string
	lab     *lab
	n       int
	backup  func()
	backupN int
	image   bool
}

var simFields = []string{"name", "address", "owner_name", "phone"}

func newSim(t *testing.T, seed uint64) *sim {
	w := newWorld(t)
	s := &sim{world: w, t: t, rng: rand.New(rand.NewPCG(seed, 7)), writes: map[string]*simWrite{}, images: seed%2 == 0}
	for i := range 3 {
		p := &simPhone{name: string(rune('A' + i)), lab: &lab{w: w, db: filepath.Join(t.TempDir(), "db"), mark: filepath.Join(t.TempDir(), "mark")}}
		p.lab.open()
		w.enrol(p.lab.Replica, []string{"budi", "sari"}[i%2], grant("35.24", "D", "T"))
		s.phones = append(s.phones, p)
	}
	for range 6 {
		id, err := s.phones[0].lab.NewID()
		if err != nil {
			t.Fatal(err)
		}
		s.ids = append(s.ids, id)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, l := range s.log[max(0, len(s.log)-400):] {
				t.Log(l)
			}
		}
	})
	return s
}

func (s *sim) note(format string, args ...any) { s.log = append(s.log, fmt.Sprintf(format, args...)) }

func (s *sim) run(steps int) {
	for range steps {
		s.step()
		if s.t.Failed() {
			return
		}
	}
	s.quiesce()
	s.judge()
}

func (s *sim) step() {
	p := s.phones[s.rng.IntN(len(s.phones))]
	id := s.ids[s.rng.IntN(len(s.ids))]
	s.clock.Add(time.Duration(s.rng.IntN(60)) * time.Second)
	switch n := s.rng.IntN(1000); {
	case n < 450:
		s.write(p, id)
	case n < 480:
		s.note("%s moves %s", p.name, short(id))
		s.ok(p.lab.Move(id, []string{"35.24.14", "35.24.15"}[s.rng.IntN(2)]), syncproto.CodeNotFound)
	case n < 500:
		s.note("%s deletes or undeletes %s", p.name, short(id))
		if s.rng.IntN(2) == 0 {
			s.ok(p.lab.Delete(id), syncproto.CodeNotFound)
		} else {
			s.ok(p.lab.Undelete(id), syncproto.CodeNotFound)
		}
	case n < 900:
		s.exchange(p)
	case n < 930:
		s.note("%s restarts", p.name)
		p.lab.close()
		p.lab.open()
	case n < 950:
		s.save(p)
	case n < 965:
		s.restore(p)
	case n < 972 && !s.images:
		s.rollback()
	}
}

func (s *sim) ok(err error, but ...syncproto.Code) {
	s.t.Helper()
	if err == nil {
		return
	}
	for _, code := range but {
		if errors.Is(err, code) {
			return
		}
	}
	s.t.Error(err)
}

// write sets one field and remembers what it overwrites.
func (s *sim) write(p *simPhone, id sambang.ID) {
	s.uid++
	p.n++
	field := simFields[s.rng.IntN(len(simFields))]
	value := fmt.Sprintf("%s%d", p.name, s.uid)
	w := &simWrite{phone: p, at: p.n, where: short(id) + "/" + field}
	if _, err := p.lab.Get(id); err == nil {
		for v := range s.values(p.lab.Replica, id, field) {
			w.kills = append(w.kills, v.(string))
		}
		slices.Sort(w.kills)
		s.ok(p.lab.Edit(id, func(d *sambang.Draft) error { d.Set(field, value); return nil }))
	} else {
		s.ok(p.lab.CreateWith(id, "site", "35.24.14", sambang.Fields{field: value}))
	}
	s.writes[value] = w
	s.note("%s sets %s = %s, overwrites %v", p.name, w.where, value, w.kills)
}

// exchange syncs over a link that may fail.
func (s *sim) exchange(p *simPhone) {
	fault := s.rng.IntN(10)
	edit := s.rng.IntN(8) == 0
	id := s.ids[s.rng.IntN(len(s.ids))]
	s.link.after = func(*http.Request) error {
		if edit {
			edit = false
			s.write(p, id)
		}
		if fault == 0 {
			return errLost
		}
		return nil
	}
	if fault == 1 {
		s.link.before = func(*http.Request) error { return errLost }
	}
	if fault == 2 {
		s.link.cut = 1 + s.rng.IntN(600)
	}
	rep, err := p.lab.Sync(context.Background())
	s.link.before, s.link.after, s.link.cut = nil, nil, 0
	s.note("%s syncs, fault %d: %+v %v", p.name, fault, rep, err)
	s.ok(err, syncproto.CodeOffline)
}

func (s *sim) save(p *simPhone) {
	p.lab.close()
	p.image = s.images && s.rng.IntN(2) == 0
	dirs := []string{p.lab.db}
	if p.image {
		dirs = append(dirs, p.lab.mark)
	}
	p.backup, p.backupN = p.lab.saved(dirs...), p.n
	p.lab.open()
	s.note("%s is saved, image %v", p.name, p.image)
}

func (s *sim) restore(p *simPhone) {
	if p.backup == nil {
		return
	}
	s.note("%s is restored, image %v", p.name, p.image)
	p.lab.close()
	p.backup()
	p.lab.open()
	s.forked = true // writes again what the old copy does not know to be overwritten (SYNC 4.8)
	for _, w := range s.writes {
		if w.phone == p && w.at > p.backupN {
			w.maybe = true
		}
	}
	p.backup = nil
}

// rollback brings back an older server, after some more of everything.
func (s *sim) rollback() {
	s.note("the server is saved")
	s.backup(func() {
		for range 15 {
			s.step2()
		}
	})
	s.note("the server is rolled back")
}

// step2 is a step without faults of the server's.
func (s *sim) step2() {
	p := s.phones[s.rng.IntN(len(s.phones))]
	if s.rng.IntN(2) == 0 {
		s.write(p, s.ids[s.rng.IntN(len(s.ids))])
	} else {
		s.exchange(p)
	}
}

// quiesce syncs without faults until nothing waits.
func (s *sim) quiesce() {
	for round := range 12 {
		idle := true
		for _, p := range s.phones {
			s.clock.Add(7 * time.Hour) // past every pause
			rep, err := p.lab.Sync(context.Background())
			s.note("%s settles: %+v %v", p.name, rep, err)
			s.ok(err)
			idle = idle && rep.Pushed == 0 && rep.Pulled == 0 && rep.Repairs == 0
		}
		if idle && round > 0 {
			return
		}
	}
	s.t.Error("not quiet after 12 rounds")
}

// judge compares what the phones show with what was written.
func (s *sim) judge() {
	dead, mayBeDead := map[string]bool{}, map[string]bool{}
	for _, v := range slices.Sorted(maps.Keys(s.writes)) {
		for _, k := range s.writes[v].kills {
			mayBeDead[k] = true
			if !s.writes[v].maybe {
				dead[k] = true
			}
		}
	}
	var states []string
	for _, p := range s.phones {
		shown := map[string]bool{}
		state := ""
		for _, id := range s.ids {
			rec, err := p.lab.Get(id)
			if errors.Is(err, syncproto.CodeNotFound) {
				continue
			}
			if err != nil {
				s.t.Fatal(err)
			}
			conflicts, err := p.lab.Conflicts(id)
			if err != nil {
				s.t.Fatal(err)
			}
			for i := range conflicts { // what differs from phone to phone
				conflicts[i].Base = nil
				for j := range conflicts[i].Values {
					conflicts[i].Values[j].By.Mine = false
				}
			}
			text, err := json.Marshal([]any{id, rec.Fields, rec.Region, rec.Deleted, rec.Survivors, conflicts})
			if err != nil {
				s.t.Fatal(err)
			}
			state += string(text) + "\n"
			if rec.Custody != sambang.CustodyHeld {
				s.t.Errorf("%s: custody of %s is %s", p.name, short(id), rec.Custody)
			}
			for _, f := range simFields {
				for v := range s.values(p.lab.Replica, id, f) {
					shown[v.(string)] = true
				}
			}
		}
		states = append(states, state)
		for _, v := range slices.Sorted(maps.Keys(s.writes)) {
			w := s.writes[v]
			if !shown[v] && !w.maybe && !mayBeDead[v] {
				s.t.Errorf("LOST on %s: %s = %s", p.name, w.where, v)
			}
			if shown[v] && dead[v] && !s.forked {
				s.t.Errorf("RESURRECTED on %s: %s = %s", p.name, w.where, v)
			}
		}
		if c := p.lab.Counts(); c.Waiting != 0 || c.Quarantined != 0 {
			s.t.Errorf("%s counts %+v", p.name, c)
		}
	}
	for i := range states {
		if states[i] != states[0] {
			s.t.Errorf("%s and %s differ:\n%s\n%s", s.phones[0].name, s.phones[i].name, states[0], states[i])
		}
	}
	s.mustHold()
}

func short(id sambang.ID) string { return id.String()[28:] }
