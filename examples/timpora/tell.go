package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// teller writes for a person who watches.
type teller struct {
	out     io.Writer
	english bool
	live    bool // the output is a terminal
}

func (t *teller) text(x syncproto.Text) string {
	if t.english {
		return x.English
	}
	return x.Indonesian
}

// step is a line of its own at the left margin.
func (t *teller) step(x syncproto.Text, args ...any) {
	fmt.Fprintf(t.out, "\n== "+t.text(x)+"\n", args...)
}

func (t *teller) line(x syncproto.Text, args ...any) {
	fmt.Fprintf(t.out, t.text(x)+"\n", args...)
}

func (t *teller) sprint(x syncproto.Text, args ...any) string { return fmt.Sprintf(t.text(x), args...) }

// wib is the time zone in which the agencies work.
func wib(at time.Time) string {
	return at.In(time.FixedZone("WIB", 7*60*60)).Format("02-01-2006 15.04")
}

func (t *teller) captured(x *sample, p *phone) {
	extra := ""
	if x.SkewSeconds != 0 {
		extra = t.sprint(textSkew, x.skew())
	}
	t.line(textCaptured, x.ID, wib(x.captured()), p.officer.id, x.Desa, x.Title+extra, p.replica.Counts().Waiting)
}

func (t *teller) lost(x *sample, attempt int) {
	t.line(textLost, x.ID, wib(x.ReceivedAt), x.Officer, attempt)
}

// progress draws how far a sync is, over itself, where that can be done.
func (t *teller) progress(*sample) func(sambang.Progress) {
	if !t.live {
		return func(sambang.Progress) {}
	}
	return func(p sambang.Progress) {
		fmt.Fprint(t.out, "\r"+t.sprint(textProgress, p.Pushed, p.ToPush, p.Pulled, p.ToPull, p.BytesUp+p.BytesDown)+"\x1b[K")
	}
}

func (t *teller) synced(x *sample, p *phone, r sambang.Report) {
	if t.live {
		fmt.Fprint(t.out, "\r\x1b[K")
	}
	var extra strings.Builder
	for _, e := range []struct {
		n    int
		text syncproto.Text
	}{{r.Quarantined, textAside}, {r.Evicted, textEvicted}, {r.Conflicts, textConflicts}} {
		if e.n > 0 {
			extra.WriteString(t.sprint(e.text, e.n))
		}
	}
	t.line(textSynced, x.ID, wib(x.ReceivedAt), p.officer.id, r.Pushed, r.Pulled, r.BytesUp, r.BytesDown, r.Requests, extra.String())
}

// tell shows what headquarters sees.
func (s *story) tell(ctx context.Context, hq *headquarters) error {
	entries, err := hq.log(ctx)
	if err != nil {
		return err
	}
	s.say.step(textLog, len(entries))
	slices.SortStableFunc(entries, func(a, b entry) int { return a.UpdatedAt.Compare(b.UpdatedAt) })
	for _, e := range entries {
		s.say.entry(e)
	}
	s.say.step(textConflict)
	for _, e := range entries {
		d, err := hq.record(ctx, e.ID)
		if err != nil {
			return err
		}
		s.say.conflicts(d)
	}
	messages, err := hq.inbox(ctx)
	if err != nil {
		return err
	}
	s.say.step(textInbox)
	for _, m := range messages {
		s.say.line(textMessage, m.Kind, m.Scope, m.Device, s.say.text(syncproto.Code(m.Code).Text()))
	}
	if err := s.custody(ctx, hq); err != nil {
		return err
	}
	s.say.further(hq)
	return nil
}

func (t *teller) entry(e entry) {
	var flags strings.Builder
	if e.Conflicts > 0 {
		flags.WriteString(t.sprint(textFlags[0], e.Conflicts))
	}
	if e.SuspectClock {
		flags.WriteString(t.text(textFlags[1]))
	}
	if e.Purged {
		flags.WriteString(t.text(textFlags[2]))
	}
	t.line(textEntry, e.Kind, e.Region, e.Agency, headline(e), flags.String())
}

// headline is what names a record in a list: never a person's data, which the
// log shows only on request.
func headline(e entry) string {
	for _, name := range []string{"name", "outcome", "type", "action", "handling"} {
		if v := str(e.Doc[name]); v != "" && e.Kind != "foreigner" && e.Kind != "sponsor" {
			return v
		}
	}
	return e.ID[:8]
}

func (t *teller) conflicts(d details) {
	for _, f := range d.Fields {
		if !f.Conflict {
			continue
		}
		how := t.text(textReview[0])
		if !f.Review {
			how = t.sprint(textReview[1], f.Why)
		}
		t.line(textField, d.Kind, d.ID[:8], f.Path, how)
		for _, v := range f.Values {
			mark, suspect := " ", ""
			if v.Shown {
				mark = ">"
			}
			if v.SuspectClock {
				suspect = t.text(textFlags[1])
			}
			t.line(textValue, mark, string(v.Value), v.Officer, v.Agency, wib(v.WrittenAt), wib(v.ReceivedAt), suspect)
		}
	}
	for _, c := range d.Computed {
		how := t.text(textReview[0])
		if !c.Review {
			how = t.sprint(textReview[1], c.Why)
		}
		t.line(textField, d.Kind, d.ID[:8], c.Field, how)
		for _, v := range c.Values {
			t.line(textComputed, " ", string(v.Value))
		}
	}
}

// custody shows, per phone, how many of its records are in which state, and
// how many of its writes headquarters holds.
func (s *story) custody(ctx context.Context, hq *headquarters) error {
	devices, err := hq.devices(ctx)
	if err != nil {
		return err
	}
	s.say.step(textCustody)
	for _, d := range devices {
		p := s.phones[d.Officer]
		if p == nil {
			continue
		}
		var n [3]int
		for rec, err := range p.replica.List(sambang.Filter{}) {
			if err != nil {
				return err
			}
			n[rec.Custody]++
		}
		aside := map[sambang.ID]bool{}
		for w, err := range p.replica.Outbox() {
			if err != nil {
				return err
			}
			aside[w.ID] = aside[w.ID] || w.Custody == sambang.CustodyReceived
		}
		for _, received := range aside {
			if received {
				n[sambang.CustodyReceived]++
			}
		}
		s.say.line(textCustodyRow, d.Officer, n[sambang.CustodyOnPhone], n[sambang.CustodyReceived], n[sambang.CustodyHeld], d.Held, d.Claimed)
	}
	return nil
}

// further says how to go on from here.
func (t *teller) further(hq *headquarters) {
	t.step(textLook)
	fmt.Fprintf(t.out, "  export TOKEN=%s\n", hq.token)
	for _, path := range []string{"/v1/log?region=35.24&kind=inspection", "/v1/devices", "/v1/inbox", "/v1/openapi.json"} {
		fmt.Fprintf(t.out, "  curl -sH \"Authorization: Bearer $TOKEN\" '%s%s'\n", hq.url, path)
	}
}
