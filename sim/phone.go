package sim

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// phone is one install of the SDK, and what was last read back from it.
type phone struct {
	w      *world
	name   string
	dir    string
	key    ed25519.PrivateKey
	id     string        // as the server calls the device
	skew   time.Duration // of its clock
	image  bool          // what is restored is its whole image, the mark too
	rotate bool          // takes a new id at every open, as it must then
	opens  int
	pages  [3]int // items and batches of a push, entries of a pull
	r      *sambang.Replica
	busy   bool // a sync runs
	killed bool // while it ran: the process is gone, the sync does not know yet
	dead   bool

	// disk is what happens to its files; crashed says that the process ended by
	// that while no sync ran, unsure that it may have written before.
	disk    diskPlan
	crashed bool
	unsure  bool

	states  map[syncproto.RecordID]syncproto.Record
	seen    int      // steps of the disk at the last reading of all
	copies  []string // folders with earlier copies of its files
	contact int      // rollbacks of the server at its last whole sync
	replay  raw      // speaks with its key
}

func (w *world) addPhone(grants syncproto.Grants) error {
	name := fmt.Sprintf("p%d", len(w.phones))
	p := &phone{
		w: w, name: name, dir: filepath.Join(w.dir, name), key: keyOf(w.cfg.Seed, name),
		rotate: w.rng.IntN(4) == 0, states: map[syncproto.RecordID]syncproto.Record{},
		skew: time.Duration(w.rng.IntN(120_000)-60_000) * time.Millisecond,
	}
	p.image = p.rotate
	if w.cfg.Sabotage == LoseMark {
		p.image, p.rotate = true, false
	}
	p.setUp()
	if err := p.open(); err != nil {
		return err
	}
	p.replay = raw{w: w, key: p.key}
	if err := p.enrol(grants); err != nil {
		return err
	}
	w.phones = append(w.phones, p)
	return nil
}

func (p *phone) setUp() {
	p.seen = -1
	p.disk.room = &room{noRoom: syscall.ENOSPC}
	p.disk.crashed = func() {
		p.w.trace.log("! %s crashes, after=%t", p.name, p.disk.after)
		p.w.stats["phone crashes"]++
		if p.busy {
			p.killed = true
		} else {
			p.crashed = true
		}
	}
	p.pages = [3]int{3, 2, 6} // small ones, so that one sync takes many requests
	if p.w.rng.IntN(3) > 0 {
		p.pages = [3]int{30, 2, 60}
	}
}

// open starts the process, as often as it takes: it may end while it starts. A
// full disk is made room on.
func (p *phone) open() error {
	p.disk.full, p.disk.fullIn = false, 0
	for {
		p.crashed = false
		err := p.start()
		if !p.crashed {
			return err
		}
	}
}

func (p *phone) start() error {
	p.opens++
	r, err := sambang.Open(p.dir, sambang.Options{
		Key: make([]byte, sambang.KeySize), MarkDir: filepath.Join(p.dir, "mark"), RotateOnOpen: p.rotate,
		Signer: p.key, Pack: p.w.pack, App: "sim", Transport: link{p},
		PushItems: p.pages[0], PushBatches: p.pages[1], PullEntries: p.pages[2],
		Clock:  func() time.Time { return time.UnixMilli(p.w.now).Add(p.skew).UTC() },
		Rand:   &faultyDisk{Reader: newSource(p.w.cfg.Seed, "phone "+p.name, p.opens), plan: &p.disk},
		Logger: slog.New(&alarm{p.w, p.name, func() bool { return p.disk.full || p.crashed || p.killed }}),
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", p.name, err)
	}
	p.r = r
	if id := r.Status().Device; id != "" {
		p.id, p.replay.id = id, id
	}
	p.author()
	return nil
}

// author notes under which id the phone now writes.
func (p *phone) author() {
	if id := p.r.Status().Replica; id != 0 && p.w.authors[id] == nil {
		p.w.authors[id] = p
	}
}

// read reads back what the phone has.
func (p *phone) read() map[syncproto.RecordID]syncproto.Record {
	out := make(map[syncproto.RecordID]syncproto.Record, len(p.states))
	for _, id := range mains {
		p.readInto(out, id)
	}
	return out
}

func (p *phone) readInto(out map[syncproto.RecordID]syncproto.Record, id syncproto.RecordID) {
	main, err := p.r.Get(id)
	switch {
	case err == nil:
		for _, s := range main.States() {
			out[s.ID()] = s
		}
		return
	case !errors.Is(err, syncproto.CodeNotFound):
		p.w.fail(id, "%s: get: %v", p.name, err)
		return
	}
	// Its companion may be here alone.
	if c, err := p.r.Get(companions[id]); err == nil {
		for _, s := range c.States() {
			out[s.ID()] = s
		}
	}
}

// look reads back all that there is, unless nothing was made durable since, and
// judges what changed.
func (p *phone) look(why string) {
	if p.dead || p.killed || p.w.failed() || p.seen == p.disk.steps {
		return
	}
	p.author()
	p.seen = p.disk.steps
	p.judge(why, p.read())
}

// judge judges what changed since the last reading.
func (p *phone) judge(why string, now map[syncproto.RecordID]syncproto.Record) {
	before := p.states
	p.states = now
	for _, id := range universe {
		s, now := p.states[id]
		was, had := before[id]
		switch {
		case now && had && s.Equal(was):
		case now:
			p.w.trace.log("%s after %s: %s %s", p.name, why, p.w.names[id], describe(s))
			p.w.observe(s, p.name)
		case had:
			p.w.trace.log("%s after %s: %s gone", p.name, why, p.w.names[id])
		}
	}
}

// act runs a local operation on a record and tells the oracle what it wrote and
// what was shown where it wrote. What it did elsewhere, which must be nothing,
// the next reading of all tells.
func (p *phone) act(id syncproto.RecordID, what string, fn func() error) {
	w := p.w
	if p.busy {
		p.look("half a sync")
	}
	w.now++ // corrected clocks are all alike, and to the oracle equal values at equal times are one write
	whole := p.seen == p.disk.steps
	err := fn()
	w.trace.log("%s %s: %v", p.name, what, brief(err))
	if p.killed || p.crashed {
		p.unsure = true
		p.restart("it crashed")
		return
	}
	now := maps.Clone(p.states)
	delete(now, id)
	delete(now, companions[id])
	p.readInto(now, id)
	p.wrote(what, now)
	if whole {
		p.seen = p.disk.steps
	}
}

// wrote tells the oracle what is new and was written here.
func (p *phone) wrote(what string, now map[syncproto.RecordID]syncproto.Record) {
	w := p.w
	p.author()
	for _, id := range universe {
		s, ok := now[id]
		if !ok {
			continue
		}
		was, had := p.states[id]
		if had && s.Equal(was) {
			continue
		}
		for f := range s.Fields() {
			for _, sib := range f.Siblings {
				if had && was.Context().Covers(sib.Dot) {
					continue
				}
				var kills []*event
				if old, ok := was.Field(f.Path); had && ok {
					for _, o := range old.Siblings {
						kills = append(kills, w.oracle.byDot[o.Dot])
					}
				}
				if _, err := w.oracle.written(p.name, id, f.Path, sib, kills); err != nil {
					w.fail(id, "%s: %v", p.name, err)
					return
				}
				w.stats["writes"]++
			}
		}
	}
	p.judge(what, now)
}

// reopen starts the process again. What it wrote just before it ended may be
// there or not.
func (p *phone) reopen(why string) {
	if !p.w.must("restart "+p.name, p.open()) {
		return
	}
	p.seen = -1
	if p.unsure {
		p.unsure = false
		p.wrote(why, p.read())
	}
	p.look(why)
}

func brief(err error) string {
	if err == nil {
		return "ok"
	}
	return string(syncproto.CodeOf(err))
}

// sync runs one Sync.
func (p *phone) sync() error {
	w := p.w
	if p.busy || p.dead || w.failed() {
		return nil
	}
	p.busy = true
	before := w.rollbacks
	w.trace.log("%s sync", p.name)
	rep, err := p.r.Sync(w.ctx)
	p.busy = false
	if p.dead {
		return err
	}
	if p.killed {
		p.killed = false
		w.trace.log("%s sync: cut by the end of its process: %s", p.name, brief(err))
		_ = p.r.Close()
		p.reopen("restart")
		return err
	}
	w.trace.log("%s sync: pushed %d pulled %d evicted %d conflicts %d aside %d repairs %d requests %d waiting %d: %s",
		p.name, rep.Pushed, rep.Pulled, rep.Evicted, rep.Conflicts, rep.Quarantined, rep.Repairs, rep.Requests, rep.Waiting, brief(err))
	w.stats["syncs"]++
	switch code := syncproto.CodeOf(err); {
	case err == nil && before == w.rollbacks:
		p.contact = w.rollbacks
	case err == nil:
	case code == syncproto.CodeDeviceRevoked && w.revoked[p.id]:
	case code == syncproto.CodeDeviceUnknown && w.rollbacks > 0: // enrolled in a time that was rolled back
	case p.disk.full && code == syncproto.CodeNoSpace:
	case code == syncproto.CodeOffline, code == syncproto.CodeUnavailable, code == syncproto.CodeRateLimited:
	case w.calm:
	case code == syncproto.CodeTokenReplayed, code == syncproto.CodeTokenExpired, code == syncproto.CodeClockSkew:
		w.stats["tokens refused"]++
	default:
		w.fail(syncproto.RecordID{}, "%s: sync: %v", p.name, err)
	}
	p.look("sync")
	return err
}

// kill ends the process without grace and starts it again.
func (p *phone) restart(why string) {
	p.w.trace.log("%s restarts: %s", p.name, why)
	p.w.stats["phone restart"]++
	_ = p.r.Close()
	if p.busy { // opened again when the running sync has ended
		p.killed = true
		return
	}
	p.reopen("restart")
}

// files copies what a backup of the phone holds.
func (p *phone) files(to string, mark bool) error {
	if err := os.MkdirAll(to, 0o700); err != nil {
		return err
	}
	if err := copyFile(filepath.Join(p.dir, "cache.db"), filepath.Join(to, "cache.db")); err != nil {
		return err
	}
	if !mark {
		return nil
	}
	if err := os.MkdirAll(filepath.Join(to, "mark"), 0o700); err != nil {
		return err
	}
	return copyFile(filepath.Join(p.dir, "mark", "mark"), filepath.Join(to, "mark", "mark"))
}

// saveCopy keeps a copy of the phone's files.
func (p *phone) saveCopy() {
	to := filepath.Join(p.w.dir, fmt.Sprintf("%s.copy%d", p.name, len(p.copies)))
	p.w.trace.log("%s backup %d", p.name, len(p.copies))
	if p.w.must("copy files", p.files(to, p.image)) {
		p.copies = append(p.copies, to)
	}
}

// restore puts an earlier copy in place: the file alone, its mark stays; of a
// phone that rotates at every open, the mark too.
func (p *phone) restore(n int) {
	w := p.w
	w.trace.log("! %s restored from backup %d, image=%t", p.name, n, p.image)
	w.stats["phone restored"]++
	_ = p.r.Close()
	w.must("restore", copyFile(filepath.Join(p.copies[n], "cache.db"), filepath.Join(p.dir, "cache.db")))
	if p.image {
		w.must("restore the mark", copyFile(filepath.Join(p.copies[n], "mark", "mark"), filepath.Join(p.dir, "mark", "mark")))
	}
	p.reopen("restore")
	p.contact = -1 // what it believes is of another time
	w.lose(p.name + " restored")
}

// clone makes a second phone of a copy of the file. Both stay in use.
func (p *phone) clone() {
	w := p.w
	c := &phone{
		w: w, name: fmt.Sprintf("p%d", len(w.phones)), key: p.key, id: p.id, skew: p.skew + 7*time.Millisecond, image: p.image, rotate: p.rotate,
		states: map[syncproto.RecordID]syncproto.Record{}, contact: p.contact,
	}
	c.replay = raw{w: w, key: c.key, id: c.id, n: 1_000_000 * len(w.phones)}
	c.dir = filepath.Join(w.dir, c.name)
	c.setUp()
	w.trace.log("! %s copied to %s", p.name, c.name)
	w.stats["phone copied"]++
	if !w.must("copy files", p.files(c.dir, false)) || !w.must("open the copy", c.open()) {
		return
	}
	w.phones = append(w.phones, c)
	c.look("copy")
}

// die takes the phone away for good.
func (p *phone) die() {
	w := p.w
	w.trace.log("! %s dies", p.name)
	w.stats["phone death"]++
	_ = p.r.Close()
	p.dead, p.states = true, nil
	w.lose(p.name + " died")
}

// enrol makes the phone a device: a new one, or one that a server that was
// rolled back does not know any more.
func (p *phone) enrol(grants syncproto.Grants) error {
	w := p.w
	var code string
	err := w.hq(func() (err error) {
		code, err = w.srv.Enrol(w.ctx, enrolRequest(grants))
		return err
	})
	if err != nil {
		return err
	}
	for { // as often as the answer is lost: the same code is good for the same phone
		var err error
		p.disk.full = false
		w.disk.withRoom(func() { p.disk.withRoom(func() { err = p.r.Enrol(w.ctx, code, p.name) }) })
		w.trace.log("%s enrols: %s", p.name, brief(err))
		w.stats["enrolments"]++
		switch {
		case p.crashed:
			p.restart("it crashed")
			if p.id != "" {
				return nil
			}
		case !errors.Is(err, syncproto.CodeOffline) || w.failed():
			p.id = p.r.Status().Device
			p.replay.id = p.id
			return err
		}
	}
}

// alive returns the phones that may act now.
func (w *world) alive() []*phone {
	return slices.DeleteFunc(slices.Clone(w.phones), func(p *phone) bool { return p.dead || p.killed })
}

// held returns the main records that the phone has, in order.
func (p *phone) held() []syncproto.RecordID {
	var out []syncproto.RecordID
	for _, id := range mains {
		if _, ok := p.states[id]; ok {
			out = append(out, id)
		}
	}
	return out
}
