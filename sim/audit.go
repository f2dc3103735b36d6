package sim

import (
	"maps"
	"slices"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// pullAll reads and judges what the server has, and returns it with everything
// that it thereby holds: shown, or replaced by what is shown. inbox is what its
// inbox holds.
func (w *world) pullAll() (states map[syncproto.RecordID]syncproto.Record, have, inbox map[*event]bool) {
	have, inbox = map[*event]bool{}, w.inbox()
	states, err := w.auditor.pull()
	if !w.must("pull as auditor", err) {
		return nil, have, inbox
	}
	w.sabotageAudit(states)
	for _, id := range slices.SortedFunc(maps.Keys(states), byID) {
		w.observe(states[id], "server")
		closure(have, w.oracle.visible(states[id]))
		w.absorbed(states[id], have, inbox)
	}
	return states, have, inbox
}

// absorbed adds what a release from the inbox took in without showing it: a
// value that was there already is not put beside itself, and evidence does not
// move a record.
func (w *world) absorbed(r syncproto.Record, have, inbox map[*event]bool) {
	for _, e := range w.oracle.records[r.ID()] {
		if have[e] || !inbox[e] {
			continue
		}
		f, ok := r.Field(e.uid.path)
		if ok && (e.uid.path == syncproto.PathScope || slices.ContainsFunc(f.Siblings, func(s syncproto.Sibling) bool { return s.Value.JSON() == e.uid.value })) {
			closure(have, []*event{e})
		}
	}
}

// audit checks that what was promised is kept: what receipts vouch for is at
// the server, and so is everything in a record that a phone calls held.
func (w *world) audit() {
	if !w.failed() {
		_, have, inbox := w.pullAll()
		w.keeps(have, inbox)
	}
}

func (w *world) keeps(have, inbox map[*event]bool) {
	if w.failed() {
		return
	}
	w.stats["audits"]++
	kept := func(e *event) bool {
		return have[e] || inbox[e] || e.lost != "" || w.oracle.purged[e.uid.record] || w.inJournal(e)
	}
	for _, e := range w.oracle.events {
		if w.vouches(e) && !kept(e) {
			w.fail(e.uid.record, "custody: a receipt vouches for %s, and the server has it neither shown nor replaced", e)
			return
		}
	}
	for _, p := range w.phones {
		if p.dead || p.busy || p.contact != w.rollbacks {
			continue
		}
		p.custody(kept)
	}
}

// vouches reports whether a receipt of this server's history covers the write.
// One whose step alone was sent, to close a gap of the chain after a rollback,
// is in no record of its author any more.
func (w *world) vouches(e *event) bool {
	for _, d := range e.dots {
		if d.N <= w.vouched[d.Replica] && !w.bare[d] {
			return true
		}
	}
	return false
}

// inJournal says that a write was replaced on its own phone by one that no
// receipt covers yet: it went to the journal alone, ahead of its record.
func (w *world) inJournal(e *event) bool {
	return slices.ContainsFunc(e.killed, func(k *event) bool { return k.by == e.by && !w.vouches(k) })
}

// custody checks what the phone says about the safety of its records.
func (p *phone) custody(kept func(*event) bool) {
	w := p.w
	for _, id := range p.held() {
		c, err := p.r.Custody(id)
		if !w.must("read custody", err) {
			return
		}
		if c != sambang.CustodyHeld {
			continue
		}
		for _, part := range []syncproto.RecordID{id, companions[id]} {
			s, ok := p.states[part]
			if !ok {
				continue
			}
			for _, e := range w.oracle.visible(s) {
				if e.by == p.name && !kept(e) {
					w.fail(part, "V9: %s says held, and the server does not have %s", p.name, e)
					return
				}
			}
		}
	}
}

// maxRounds is within how many rounds of everybody syncing nothing may change
// any more, after the last thing that changed from outside.
const maxRounds = 6

// quiesce turns the faults off and lets everybody sync until nothing changes.
// It returns the number of rounds that it took.
func (w *world) quiesce() int {
	w.calm = true
	for _, h := range w.hosts {
		h.disk.mend()
	}
	w.off = 0
	for _, p := range w.phones {
		p.disk.mend()
	}
	w.pass((grantDays + 4) * day) // what ends by time has ended, by any clock
	for _, p := range w.alive() {
		switch code := syncproto.CodeOf(p.sync()); code {
		case syncproto.CodeDeviceRevoked:
			p.die()
		case syncproto.CodeDeviceUnknown:
			w.must("enrol anew", p.enrol(w.portfolio()))
		default:
		}
	}
	worst := 0
	for phase := range 4 {
		rounds := 0
		for changed := true; changed && !w.failed(); rounds++ {
			if rounds > maxRounds {
				w.fail(syncproto.RecordID{}, "V4: still changing after %d rounds (phase %d)", rounds, phase)
				return rounds
			}
			changed = false
			for _, p := range w.alive() {
				w.pass(7 * time.Hour) // longer than any pause of the refetch set
				moved, was := w.stats["carried"], p.states
				if err := p.sync(); err != nil {
					w.fail(syncproto.RecordID{}, "V4: %s can't sync in calm: %v", p.name, err)
				}
				changed = changed || w.stats["carried"] != moved || !sameStates(was, p.states)
			}
		}
		worst = max(worst, rounds)
		if !w.releaseAll() {
			break
		}
	}
	return worst
}

func sameStates(a, b map[syncproto.RecordID]syncproto.Record) bool {
	return maps.EqualFunc(a, b, syncproto.Record.Equal)
}

// carried counts what an exchange carried to the server, and what was asked
// for by id, unless that may be about a record that waits for a decision.
func (w *world) carried(p *phone, ex *exchange) {
	n := 0
	if p.killed || p.r.Counts().Quarantined == 0 {
		n = len(ex.open.GetRefetch())
	}
	for _, b := range ex.batches {
		n += len(b.GetItems()) + len(b.GetHistory())
	}
	if ex.begin.GetStatus() != wire.Status_STATUS_OK {
		n++
	}
	w.stats["carried"] += n
}

// releaseAll takes what is in the inbox into the log, as headquarters would at
// last. It reports whether there was anything.
func (w *world) releaseAll() bool {
	messages, err := w.any().srv.Inbox(w.ctx, "", "", 1000)
	if !w.must("read the inbox", err) {
		return false
	}
	some := false
	slices.Reverse(messages) // oldest first
	for _, m := range messages {
		if m.State != "open" || w.hostile != nil && m.Device == w.hostile.x.id {
			continue
		}
		some = w.releaseOne(m.Key, m.Record, string(m.Code)) || some
	}
	return some
}

// verdict is the end of a run: everything is where it must be, and nothing
// anywhere else.
func (w *world) verdict() {
	states, have, inbox := w.pullAll()
	if w.keeps(have, inbox); w.failed() {
		return
	}
	for _, e := range w.oracle.events {
		if !have[e] && e.lost == "" && !w.oracle.purged[e.uid.record] && e.by != "hostile" {
			w.fail(e.uid.record, "V2: the server ends without %s; its state: %s", e, describe(states[e.uid.record]))
			return
		}
	}
	for _, p := range w.alive() {
		p.look("the end")
		if !w.failed() {
			p.compare(states)
		}
	}
	if w.failed() {
		return
	}
	w.replayAll(states)
	w.must("check the store", w.any().srv.Check(w.ctx, func(problem string) { w.fail(syncproto.RecordID{}, "V6: %s", problem) }))
}

// compare checks V3 and the rest of V4 on one phone.
func (p *phone) compare(server map[syncproto.RecordID]syncproto.Record) {
	w := p.w
	clear(w.devices)
	grants, err := w.grantsOf(p.id)
	if !w.must("read the device", err) {
		return
	}
	for _, id := range universe {
		want, known := server[id]
		got, here := p.states[id]
		visible := known && !want.IsPurged() && grants.MayRead(want.Home(), w.serverNow())
		switch {
		case visible && !here:
			w.fail(id, "V3: %s lacks it; server: %s", p.name, describe(want))
		case visible && !got.Equal(want):
			w.fail(id, "V3: %s differs: %s; server: %s", p.name, describe(got), describe(want))
		case !visible && here && want.IsPurged() && got.Equal(want) && grants.MayRead(want.Home(), w.serverNow()):
			// After a rollback a device brought the purge back to a record that
			// had got new contents meanwhile: they are above the floor, and shown.
			w.stats["purged records with contents"]++
		case !visible && here:
			w.fail(id, "V3: %s still has it: %s; server knows it: %t, %s", p.name, describe(got), known, describe(want))
		}
	}
	if c := p.r.Counts(); c.Waiting > 0 || c.Quarantined > 0 {
		w.fail(syncproto.RecordID{}, "V4: %s ends with %d waiting and %d put aside", p.name, c.Waiting, c.Quarantined)
	}
	for o, err := range p.r.Outbox() {
		if w.must("read the outbox", err) {
			w.fail(o.ID, "V4: %s ends with it in the outbox: %+v", p.name, o)
		}
	}
}

// replayAll sends every batch that a phone sent again (V7).
func (w *world) replayAll(before map[syncproto.RecordID]syncproto.Record) {
	for _, p := range w.phones {
		var batches []*wire.Batch
		for _, x := range w.pushes {
			if x.p == p {
				batches = append(batches, x.batch)
			}
		}
		for some := range slices.Chunk(batches, syncproto.MaxBatches) {
			open := p.replay.open()
			open.MaxEntries = 0
			if _, err := p.replay.exchange(open, some...); !w.revoked[p.id] && !w.must("replay the pushes of "+p.name, err) {
				return
			}
		}
	}
	after, err := w.auditor.pull()
	if !w.must("pull as auditor", err) {
		return
	}
	for _, id := range universe {
		a, b := before[id], after[id]
		if a.IsZero() != b.IsZero() || !a.IsZero() && !a.Equal(b) {
			w.fail(id, "V7: replays changed it: %s -> %s", describe(a), describe(b))
			return
		}
	}
}
