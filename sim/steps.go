package sim

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// step is one kind of thing that may happen. weight is in tenths of a percent
// of the steps; rough says that it is a fault, which a run may be spared.
type step struct {
	name   string
	weight int
	rough  bool
	do     func(*world)
}

func steps() []step {
	return []step{
		{"create", 90, false, (*world).create},
		{"edit", 200, false, (*world).edit},
		{"delete", 20, false, (*world).remove},
		{"undelete", 12, false, (*world).bringBack},
		{"move", 35, false, (*world).move},
		{"resolve", 60, false, (*world).resolve},
		{"sync", 330, false, (*world).syncOne},
		{"time passes", 30, false, func(w *world) { w.pass(time.Duration(1+w.rng.IntN(48)) * 30 * time.Minute) }},
		{"replay", 25, true, (*world).replay},
		{"phone restarts", 20, true, func(w *world) { w.withIdle(func(p *phone) { p.restart("at rest") }) }},
		{"phone killed in a sync", 10, true, (*world).killBusy},
		{"phone backup", 25, true, func(w *world) { w.withPhone(func(p *phone) { p.saveCopy() }) }},
		{"phone restored", 12, true, (*world).restorePhone},
		{"phone copied", 5, true, (*world).clonePhone},
		{"phone dies", 3, true, (*world).killPhone},
		{"clock jumps", 10, true, (*world).jump},
		{"grants", 16, true, (*world).regrant},
		{"purge", 8, true, (*world).purge},
		{"release", 8, true, (*world).release},
		{"server restarts", 10, true, func(w *world) { w.turn(); w.restartServer() }},
		{"server backup", 14, true, (*world).backupServer},
		{"server rolled back", 6, true, func(w *world) { w.rollBackServer(w.rng.IntN(2) == 0) }},
		{"phone crashes", 25, true, (*world).crashPhone},
		{"phone's disk is full", 8, true, func(w *world) { w.withPhone(func(p *phone) { w.fill(p.name, &p.disk, 6) }) }},
		{"server crashes", 20, true, func(w *world) { w.turn(); w.plan(&w.disk, 4) }},
		{"server's disk is full", 6, true, func(w *world) { w.fill("server", &w.disk, 4) }},
		{"server's clock jumps", 5, true, (*world).jumpServer},
		{"revocation", 5, true, (*world).revoke},
		{"audit", 12, false, (*world).audit},
		{"hostile", 60, true, (*world).attack},
	}
}

// weights draws how often each kind of step comes in a run: some faults not
// at all, others twice as often.
func (w *world) weights(all []step, rng *rand.Rand) []int {
	out := make([]int, len(all))
	for i, s := range all {
		out[i] = s.weight
		if s.rough {
			out[i] = s.weight * []int{0, 1, 1, 2, 3}[rng.IntN(5)]
		}
		switch {
		case w.cfg.Profile.Calm && s.rough,
			s.name == "hostile" && !w.cfg.Profile.Hostile,
			s.name == "server rolled back" && w.cfg.Profile.Hostile,
			s.name == "phone restored" && w.cfg.Profile.Hostile,
			s.name == "phone copied" && w.cfg.Profile.Hostile:
			out[i] = 0
		}
	}
	return out
}

func pick(weights []int, rng *rand.Rand) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	n := rng.IntN(sum)
	for i, w := range weights {
		if n -= w; n < 0 {
			return i
		}
	}
	return len(weights) - 1
}

// chance is true in so many of a hundred cases, never when the world is calm.
func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent && !w.calm }

// meanwhile lets other things happen while something is on its way.
func (w *world) meanwhile() {
	for w.depth < 3 && !w.failed() && w.chance(12) {
		w.depth++
		w.trace.depth++
		all := steps()
		s := all[pick(w.cfg.weights, w.rng)]
		w.trace.log("- meanwhile %s", s.name)
		w.stats["steps inside requests"]++
		s.do(w)
		w.depth--
		w.trace.depth--
	}
}

// pass lets time pass, with odd milliseconds: two writes of the same value at
// the very same time are one to the oracle.
func (w *world) pass(d time.Duration) { w.now += d.Milliseconds() + int64(w.rng.IntN(1000)) }

func (w *world) withPhone(fn func(*phone)) {
	if all := w.alive(); len(all) > 0 {
		fn(all[w.rng.IntN(len(all))])
	}
}

// withIdle takes a phone on which no sync runs.
func (w *world) withIdle(fn func(*phone)) {
	var idle []*phone
	for _, p := range w.alive() {
		if !p.busy {
			idle = append(idle, p)
		}
	}
	if len(idle) > 0 {
		fn(idle[w.rng.IntN(len(idle))])
	}
}

func (w *world) withRecord(fn func(*phone, syncproto.RecordID)) {
	w.withPhone(func(p *phone) {
		if held := p.held(); len(held) > 0 {
			fn(p, held[w.rng.IntN(len(held))])
		}
	})
}

// value is a new one, that no other write has.
func (w *world) value() any {
	w.uids++
	if w.rng.IntN(6) == 0 {
		return nil
	}
	return fmt.Sprintf("u%d", w.uids)
}

// items changes a list of objects: one comes, changes or goes.
func (w *world) items(old []any) []any {
	key := fmt.Sprintf("k%d", w.rng.IntN(3))
	field := []string{"p", "q"}[w.rng.IntN(2)]
	w.uids++
	value := fmt.Sprintf("u%d", w.uids)
	out := slices.Clone(old)
	for i, x := range out {
		item, _ := x.(map[string]any)
		if item["id"] != key {
			continue
		}
		if w.rng.IntN(3) == 0 {
			return slices.Delete(out, i, i+1)
		}
		item = maps.Clone(item)
		item[field] = value
		out[i] = item
		return out
	}
	return append(out, map[string]any{"id": key, field: value})
}

// money is an amount with its currency, which conflict together.
func (w *world) money() (amount, currency any) {
	w.uids++
	return fmt.Sprint(w.uids), []string{"IDR", "USD"}[w.rng.IntN(2)]
}

func (w *world) region() string { return regions[w.rng.IntN(len(regions))] }

func (w *world) create() {
	w.withPhone(func(p *phone) {
		id := mains[w.rng.IntN(recordCount)]
		region := w.region()
		fields := sambang.Fields{}
		for _, name := range fieldNames {
			if w.rng.IntN(2) == 0 {
				w.uids++
				fields[name] = fmt.Sprintf("u%d", w.uids)
			}
		}
		if w.rng.IntN(3) == 0 {
			fields["l"] = w.items(nil)
		}
		if w.rng.IntN(3) == 0 {
			fields["amount"], fields["currency"] = w.money()
		}
		p.act(id, fmt.Sprintf("creates %s in %s", w.names[id], region), func() error { return p.r.CreateWith(id, kind, region, fields) })
	})
}

func (w *world) edit() {
	w.withRecord(func(p *phone, id syncproto.RecordID) {
		changes := map[string]any{}
		for range 1 + w.rng.IntN(2) {
			changes[fieldNames[w.rng.IntN(len(fieldNames))]] = w.value()
		}
		more := w.rng.IntN(6)
		p.act(id, fmt.Sprintf("edits %s %v", w.names[id], changes), func() error {
			return p.r.Edit(id, func(d *sambang.Draft) error {
				for _, name := range fieldNames {
					if v, ok := changes[name]; ok {
						d.Set(name, v)
					}
				}
				switch more {
				case 0:
					items, _ := d.Get("l").([]any)
					d.Set("l", w.items(items))
				case 1:
					amount, currency := w.money()
					d.Set("amount", amount)
					d.Set("currency", currency)
				}
				return nil
			})
		})
	})
}

func (w *world) remove() {
	w.withRecord(func(p *phone, id syncproto.RecordID) {
		p.act(id, "deletes "+w.names[id], func() error { return p.r.Delete(id) })
	})
}

func (w *world) bringBack() {
	w.withRecord(func(p *phone, id syncproto.RecordID) {
		p.act(id, "undeletes "+w.names[id], func() error { return p.r.Undelete(id) })
	})
}

func (w *world) move() {
	w.withRecord(func(p *phone, id syncproto.RecordID) {
		region := w.region()
		p.act(id, fmt.Sprintf("moves %s to %s", w.names[id], region), func() error { return p.r.Move(id, region) })
	})
}

// resolve decides a conflict of some record that has one.
func (w *world) resolve() {
	w.withPhone(func(p *phone) {
		type open struct {
			id   syncproto.RecordID
			path string
		}
		var all []open
		for _, id := range p.held() {
			rec, err := p.r.Get(id)
			if err != nil {
				continue
			}
			for _, path := range rec.Conflicts {
				all = append(all, open{id, path})
			}
		}
		if len(all) == 0 {
			return
		}
		c := all[w.rng.IntN(len(all))]
		conflicts, err := p.r.Conflicts(c.id)
		if !w.must("read conflicts", err) {
			return
		}
		w.uids++
		var value any = fmt.Sprintf("u%d", w.uids)
		if syncproto.IsReserved(c.path) {
			value = w.region()
		}
		for _, x := range conflicts {
			if x.Path == c.path && len(x.Values) > 0 && w.rng.IntN(2) == 0 {
				value = x.Values[w.rng.IntN(len(x.Values))].Value
			}
		}
		p.act(c.id, fmt.Sprintf("resolves %s %s", w.names[c.id], c.path), func() error { return p.r.Resolve(c.id, c.path, value) })
	})
}

func (w *world) syncOne() { w.withIdle(func(p *phone) { _ = p.sync() }) }

func (w *world) replay() {
	if len(w.wire) == 0 {
		return
	}
	c := w.wire[w.rng.IntN(len(w.wire))]
	if c.p.dead {
		return
	}
	w.trace.log("late replay of a request of %s", c.p.name)
	w.stats["late replays"]++
	w.again(c, w.rng.IntN(3) > 0)
}

func (w *world) killBusy() {
	for _, p := range w.alive() {
		if p.busy {
			p.restart("killed in a sync")
			return
		}
	}
}

func (w *world) restorePhone() {
	w.withIdle(func(p *phone) {
		if len(p.copies) > 0 {
			p.restore(w.rng.IntN(len(p.copies)))
		}
	})
}

func (w *world) clonePhone() {
	if len(w.alive()) < 8 {
		w.withIdle(func(p *phone) { p.clone() })
	}
}

func (w *world) killPhone() {
	if len(w.alive()) > 2 {
		w.withIdle(func(p *phone) { p.die() })
	}
}

func (w *world) jump() {
	w.withPhone(func(p *phone) {
		by := time.Duration(w.rng.IntN(21)-10) * day
		if w.rng.IntN(4) == 0 {
			by = time.Duration(w.rng.IntN(41)-20) * 365 * day
		}
		p.skew += by
		w.trace.log("%s clock jumps by %s to %s", p.name, by, p.skew)
		w.stats["clock jumps"]++
	})
}

// plan lets a process end around one of its next steps to the disk.
func (w *world) plan(d *diskPlan, within int) {
	d.crashIn, d.after = 1+w.rng.IntN(within), w.rng.IntN(2) == 0
}

func (w *world) crashPhone() { w.withPhone(func(p *phone) { w.plan(&p.disk, 8) }) }

// fill lets a disk run full at one of its next steps, or makes room again.
func (w *world) fill(whose string, d *diskPlan, within int) {
	if d.full {
		d.full = false
		w.trace.log("%s has room again", whose)
		return
	}
	d.fullIn = 1 + w.rng.IntN(within)
	w.trace.log("%s runs out of space in %d steps", whose, d.fullIn)
	w.stats["disks full"]++
}

// jumpServer sets the server's clock wrong, by minutes or days, or right again.
// It never runs backwards by more than tokens live while their use is
// remembered: the restart forgets.
func (w *world) jumpServer() {
	clear(w.used) // far enough ahead, servers forget
	w.off = 0
	if w.rng.IntN(3) > 0 {
		far := []time.Duration{10 * time.Minute, 5 * time.Hour, 3 * day}[w.rng.IntN(3)]
		w.off = w.rng.Int64N(2*far.Milliseconds()) - far.Milliseconds()
	}
	w.trace.log("server's clock is off by %d ms", w.off)
	w.stats["server clock jumps"]++
}

// grantDays is within how many days a grant that ends by time does.
const grantDays = 2

// revoke shuts a phone out for good. When that is known, another takes its
// place.
func (w *world) revoke() {
	w.withIdle(func(p *phone) {
		if w.revoked[p.id] {
			p.die()
			w.must("add a phone", w.addPhone(w.portfolio()))
			return
		}
		w.trace.log("%s is revoked", p.name)
		w.stats["revocations"]++
		w.revoked[p.id] = true // before: other servers tell it as soon as it is so
		err := w.hq(func() error { return w.srv.Revoke(w.ctx, p.id, false) })
		if unknown := w.rollbacks > 0 && errors.Is(err, syncproto.CodeNotFound); unknown || !w.must("revoke", err) {
			delete(w.revoked, p.id)
		}
	})
}

func (w *world) portfolio() syncproto.Grants { return portfolios[w.rng.IntN(len(portfolios))] }

func (w *world) regrant() {
	w.withPhone(func(p *phone) {
		n := w.rng.IntN(len(portfolios))
		w.trace.log("%s is granted portfolio %d", p.name, n)
		w.stats["grants changed"]++
		grants := slices.Clone(portfolios[n])
		if w.rng.IntN(3) == 0 { // some of it for a while only
			i := w.rng.IntN(len(grants))
			grants[i].Until = w.serverNow() + w.rng.Int64N(grantDays*day.Milliseconds())
			w.trace.log("grant %d of them until %d", i, grants[i].Until)
			w.stats["grants that end by time"]++
		}
		err := w.hq(func() error { return w.srv.SetGrants(w.ctx, p.id, grants) })
		if w.rollbacks == 0 || !errors.Is(err, syncproto.CodeNotFound) { // enrolled in a time that was rolled back
			w.must("change grants", err)
		}
	})
}

// purge erases a record that the server has.
func (w *world) purge() {
	states, err := w.auditor.pull()
	if !w.must("pull as auditor", err) {
		return
	}
	var all []syncproto.RecordID
	for n := range recordCount {
		if s, ok := states[mains[n]]; ok && !s.IsPurged() {
			all = append(all, mains[n])
		}
	}
	if len(all) == 0 {
		return
	}
	id := all[w.rng.IntN(len(all))]
	for _, x := range []syncproto.RecordID{id, companions[id]} {
		if s, ok := states[x]; ok {
			w.observe(s, "server, before a purge")
			w.purged(x)
		}
	}
	w.trace.log("! %s purged", w.names[id])
	w.stats["purges"]++
	w.must("purge", w.hq(func() error { return w.srv.Purge(w.ctx, id.String(), "hq", "retention") }))
}

// release takes one message of the inbox into the log.
func (w *world) release() {
	messages, err := w.any().srv.Inbox(w.ctx, "", "", 100)
	if !w.must("read the inbox", err) {
		return
	}
	for _, m := range messages {
		if m.State == "open" && (w.hostile == nil || m.Device != w.hostile.x.id) {
			w.releaseOne(m.Key, m.Record, string(m.Code))
			return
		}
	}
}

func (w *world) releaseOne(key, record, why string) bool {
	err := w.hq(func() error { return w.srv.ReleaseMessage(w.ctx, key, "hq", "checked") }, syncproto.CodeMalformed)
	id, _ := syncproto.ParseRecordID(record)
	w.trace.log("message %.8s on %s (%s) released: %s", key, w.names[id], why, brief(err))
	w.stats["messages released"]++
	switch code := syncproto.CodeOf(err); code {
	case "":
		return true
	case syncproto.CodePurged, syncproto.CodeNeedFull:
		w.stats["messages not released: "+string(code)]++
		return false
	case syncproto.CodeBadRecord: // past writes: evidence, with nothing to merge
		w.stats["messages closed"]++
		w.must("close a message", w.hq(func() error { return w.srv.CloseMessage(w.ctx, key, "hq", "checked") }, syncproto.CodeMalformed))
		return false
	default:
		w.fail(id, "a message of the inbox (%s) can't be released: %v", why, err)
		return false
	}
}
