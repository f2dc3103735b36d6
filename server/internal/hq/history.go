package hq

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Write is one write of a register: what, by whom, when, and how it came here.
type Write struct {
	// Value is absent if a purge erased it.
	Value json.RawMessage `json:"value,omitempty"`
	// Replica and N are the write's dot.
	Replica string `json:"replica"`
	N       uint64 `json:"n"`
	// WrittenAt is the writer's clock; SuspectClock says that it was ahead.
	WrittenAt    string `json:"written_at"`
	SuspectClock bool   `json:"suspect_clock,omitempty"`
	// ReceivedAt is when the server first had it, "" if that was not noted.
	ReceivedAt string `json:"received_at,omitempty"`
	// Device, Officer and Agency are the writer's, "" if no device has claimed
	// the replica: what a device brought of others after a rollback, or what the
	// server wrote beside a record that it could not join. For the server's own
	// writes Officer is who made the decision, if anybody did.
	Device  string `json:"device,omitempty"`
	Officer string `json:"officer,omitempty"`
	Agency  string `json:"agency,omitempty"`
	Server  bool   `json:"server,omitempty"`
	// AuthorDamaged says that a device has claimed the replica, and what is
	// stored of it can't be read.
	AuthorDamaged bool `json:"author_damaged,omitempty"`
	// Via is the device that brought it.
	Via string `json:"via,omitempty"`
	// Scope and Seq are its place in the journal; Seq is 0 for a write that was
	// overwritten before it reached the server.
	Scope syncproto.Scope `json:"scope,omitempty"`
	Seq   uint64          `json:"seq,omitempty"`
	// Present says that no other write replaced it; Shown that the document
	// shows it.
	Present bool `json:"present"`
	Shown   bool `json:"shown,omitempty"`

	hlc syncproto.HLC
	dot syncproto.Dot
	by  [2]string // officer and agency of the change that brought it
}

// maxWrites bounds the history that is read of one record.
const maxWrites = 10_000

type registerKey struct {
	id   syncproto.RecordID
	path string
}

type writeKey struct {
	registerKey
	dot   syncproto.Dot
	value string
}

// history gathers the writes of a record's parts.
type history struct {
	rd     store.Reader
	r      Reader
	now    int64
	writes map[registerKey][]Write
	seen   map[writeKey]int // index into writes
	total  int
	cut    bool
	erased int
	// damaged counts entries that can't be read; whether the reader may read
	// them can't be known either.
	damaged int
}

// read reads the journal of one part. What was written while the record was in
// a class that the reader may not read is left out.
func (h *history) read(row store.Row) error {
	readable := func(s syncproto.Scope) bool {
		then, err := syncproto.NewScope(row.Scope.Region(), s.Class())
		return err == nil && h.r.Grants.MayRead(then, h.now)
	}
	for c, err := range h.rd.Changes(row.ID) {
		switch {
		case err != nil:
			return fmt.Errorf("read the journal of record %s: %w", row.ID, err)
		case c.Damaged:
			h.damaged++
			continue
		case !readable(c.Scope):
			continue
		case len(c.Ops) == 0:
			h.erased++
			continue
		}
		delta, past, err := wire.DecodeChange(c.Ops)
		if err != nil {
			return fmt.Errorf("read change %d of %s: %w", c.Seq, c.Scope, err)
		}
		for f := range delta.Fields() {
			for _, s := range f.Siblings {
				if !s.Elided() {
					h.add(row.ID, f.Path, changed(c, s.Dot, s.HLC, s.Value.JSON(), s.Suspect))
				}
			}
		}
		for _, p := range past {
			h.add(row.ID, p.Path, changed(c, p.Dot, p.HLC, p.Value.JSON(), false))
		}
		if h.cut {
			return nil
		}
	}
	for p, err := range h.rd.PastWrites(row.ID) {
		switch {
		case err != nil:
			return fmt.Errorf("read the past writes of record %s: %w", row.ID, err)
		case p.Damaged:
			h.damaged++
		case readable(p.Scope):
			h.add(row.ID, p.Path, Write{
				Value: p.Value, hlc: p.HLC, dot: p.Dot, ReceivedAt: stamp(p.At), Via: p.Device, Scope: p.Scope, by: [2]string{p.Officer, p.Agency},
			})
		}
		if h.cut {
			return nil
		}
	}
	return nil
}

func changed(c store.Change, dot syncproto.Dot, hlc syncproto.HLC, value string, suspect bool) Write {
	return Write{
		Value: json.RawMessage(value), hlc: hlc, dot: dot, SuspectClock: suspect, ReceivedAt: stamp(c.At),
		Via: c.Device, Scope: c.Scope, Seq: c.Seq, by: [2]string{c.Officer, c.Agency},
	}
}

// add keeps a write once: as it first came.
func (h *history) add(id syncproto.RecordID, path string, w Write) {
	reg := registerKey{id, path}
	k := writeKey{reg, w.dot, string(w.Value)}
	if _, ok := h.seen[k]; ok {
		return
	}
	if h.total >= maxWrites {
		h.cut = true
		return
	}
	h.total++
	w.Replica, w.N, w.WrittenAt = w.dot.Replica.String(), w.dot.N, stamp(w.hlc.Millis())
	h.seen[k] = len(h.writes[reg])
	h.writes[reg] = append(h.writes[reg], w)
}

// present marks the writes that the record shows, and adds those that the
// journal does not have.
func (h *history) present(rec syncproto.Record) {
	for f := range rec.Fields() {
		reg := registerKey{rec.ID(), f.Path}
		for _, s := range f.Siblings {
			k := writeKey{reg, s.Dot, s.Value.JSON()}
			if _, ok := h.seen[k]; !ok {
				h.add(rec.ID(), f.Path, Write{Value: json.RawMessage(s.Value.JSON()), hlc: s.HLC, dot: s.Dot, SuspectClock: s.Suspect})
			}
			if i, ok := h.seen[k]; ok {
				w := &h.writes[reg][i]
				w.Present, w.SuspectClock = true, w.SuspectClock || s.Suspect
			}
		}
	}
}

// authors names the writers.
func (h *history) authors() error {
	replicas := map[syncproto.ReplicaID]store.Author{}
	var ids []syncproto.ReplicaID
	for _, ws := range h.writes {
		for _, w := range ws {
			if _, ok := replicas[w.dot.Replica]; !ok {
				replicas[w.dot.Replica] = store.Author{}
				ids = append(ids, w.dot.Replica)
			}
		}
	}
	found, err := h.rd.Authors(ids)
	if err != nil {
		return fmt.Errorf("read who wrote: %w", err)
	}
	for _, a := range found {
		replicas[a.Replica] = a
	}
	for reg, ws := range h.writes {
		for i := range ws {
			w := &ws[i]
			switch a := replicas[w.dot.Replica]; {
			case a.Damaged:
				w.AuthorDamaged = true
			case a.Device != "":
				w.Device, w.Officer, w.Agency = a.Device, a.Officer, a.Agency
			case w.Via == "":
				w.Server, w.Officer, w.Agency = true, w.by[0], w.by[1]
			}
		}
		h.writes[reg] = ws
	}
	return nil
}

// of returns the writes of one register in order of the writers' clocks.
func (h *history) of(id syncproto.RecordID, path string) []Write {
	out := slices.Clone(h.writes[registerKey{id, path}])
	slices.SortFunc(out, func(a, b Write) int {
		return cmp.Or(cmp.Compare(a.hlc, b.hlc), cmp.Compare(a.dot.Replica, b.dot.Replica), cmp.Compare(a.dot.N, b.dot.N))
	})
	if out == nil {
		out = []Write{}
	}
	return out
}

// sibling returns what is known of a present value.
func (h *history) sibling(id syncproto.RecordID, path string, s syncproto.Sibling) Write {
	reg := registerKey{id, path}
	if i, ok := h.seen[writeKey{reg, s.Dot, s.Value.JSON()}]; ok {
		return h.writes[reg][i]
	}
	return Write{
		Value: json.RawMessage(s.Value.JSON()), Replica: s.Dot.Replica.String(), N: s.Dot.N,
		WrittenAt: stamp(s.HLC.Millis()), SuspectClock: s.Suspect, Present: true,
	}
}

// gone returns the registers that the record no longer has, for instance
// after a purge: only their history is left.
func (h *history) gone(w *whole) []Field {
	var out []Field
	for i, row := range w.rows {
		for reg := range h.writes {
			if _, has := w.records[i].Field(reg.path); reg.id != row.ID || has {
				continue
			}
			out = append(out, Field{
				Part: row.ID.String(), Class: row.Scope.Class(), Path: reg.path, Policy: pack.PolicyLWW, Why: "none",
				Values: []Write{}, History: h.of(reg.id, reg.path),
			})
		}
	}
	slices.SortFunc(out, func(a, b Field) int { return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Path, b.Path)) })
	return out
}
