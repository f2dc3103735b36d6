package sim

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// hostile is a device that speaks the protocol by hand, with a valid key and
// grants of its own, and lies.
type hostile struct {
	w             *world
	x             *raw
	nonce         byte
	replicas      map[syncproto.ReplicaID]bool
	minter        syncproto.Minter
	confirmed     uint64
	confirmedHead syncproto.Digest
	sent          map[syncproto.Dot]syncproto.VV // with what context it sent a write of its own
}

// hostileGrants are one district, and not what needs a mandate.
var hostileGrants = syncproto.Grants{grant("35.24.14", "D")}

func (w *world) addHostile() error {
	x, err := w.rawEnrol("hostile", keyOf(w.cfg.Seed, "hostile"), hostileGrants)
	if err != nil {
		return err
	}
	w.hostile = &hostile{w: w, x: x, replicas: map[syncproto.ReplicaID]bool{}, sent: map[syncproto.Dot]syncproto.VV{}}
	w.hostile.rotate()
	return nil
}

func (h *hostile) owns(r syncproto.ReplicaID) bool { return h.replicas[r] }

// killed returns the writes that one of the device's own replaced, by the
// context that it sent it with: an overwrite of what was not read is not told
// apart from an ordinary one.
func (h *hostile) killed(id syncproto.RecordID, path string, d syncproto.Dot) []*event {
	var out []*event
	for _, e := range h.w.oracle.records[id] {
		if e.uid.path == path && slices.ContainsFunc(e.dots, h.sent[d].Covers) {
			out = append(out, e)
		}
	}
	return out
}

// killers are those of the device's own writes that replaced one which is seen
// only now: the server had both before anybody looked.
func (h *hostile) killers(id syncproto.RecordID, path string, d syncproto.Dot) []*event {
	var out []*event
	for _, e := range h.w.oracle.records[id] {
		if e.uid.path == path && slices.ContainsFunc(e.dots, func(k syncproto.Dot) bool { return k != d && h.sent[k].Covers(d) }) {
			out = append(out, e)
		}
	}
	return out
}

func (h *hostile) rotate() {
	h.nonce++
	id := syncproto.NewReplicaID(h.x.key.Public().(ed25519.PublicKey), [16]byte{h.nonce})
	h.replicas[id] = true
	h.minter = syncproto.NewMinter(id, 0)
	h.confirmed, h.confirmedHead = 0, syncproto.ChainStart(id)
}

// attack is one hostile request.
func (w *world) attack() {
	if w.hostile == nil {
		return
	}
	w.stats["hostile requests"]++
	w.hostile.attack()
}

func (h *hostile) attack() {
	w := h.w
	mine, err := h.x.pull()
	if !w.must("the hostile device pulls", err) {
		return
	}
	n := w.rng.IntN(recordCount)
	id := mains[n]
	rec, ok := mine[id]
	if !ok {
		rec = syncproto.NewRecord(id)
	}
	value := syncproto.MustValue(fmt.Sprintf("hostile%d", w.uids))
	w.uids++
	before := h.minter
	next, m, mints, _, err := h.minter.Write(rec, 0, w.now, h.writes(rec, value)...)
	if err != nil {
		h.rotate()
		return
	}
	delta := next.Full()
	open, tweak := h.x.open(), func(*wire.Batch) {}
	kind := w.rng.IntN(11)
	others := h.others()
	other := others[w.rng.IntN(len(others))]
	scope := syncproto.Scope("35.24.14")
	switch kind {
	case 0: // an ordinary write, so that he has something to lose
	case 1: // in another's name
		dot := syncproto.Dot{Replica: other.Replica, N: other.N + 1}
		delta, err = h.delta(next, next.Context().With(dot), syncproto.VV{}, syncproto.Sibling{Dot: dot, HLC: m.Clock(), Value: syncproto.MustValue("forged")})
	case 2: // having seen what nobody wrote: it would suppress what others will write
		delta, err = h.delta(next, next.Context().With(syncproto.Dot{Replica: other.Replica, N: other.N + 1000}), syncproto.VV{})
	case 3: // a purge that is not his to make
		delta, err = h.delta(next, next.Context(), next.Context())
	case 4: // in another district
		scope = "35.24.16"
		next, m, mints, _, err = before.Write(syncproto.NewRecord(id), 0, w.now,
			syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue(kindName)},
			syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue(string(scope))},
			syncproto.Write{Path: "a", Value: value})
		delta = next.Full()
	case 5: // bytes that are no value
		tweak = func(b *wire.Batch) {
			d := b.GetItems()[0].GetDelta()
			lines := strings.Split(d.GetValues(), "\n")
			lines[len(lines)-1] = []string{`{"a":1,"a":2}`, "\xff\xfe", "1e999", "\"\x00\"", "[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]"}[w.rng.IntN(5)]
			d.Values = strings.Join(lines, "\n")
		}
	case 6: // a counter that jumps
		m = syncproto.ResumeMinter(m.Replica(), m.N()+5_000_000, m.Head(), m.Clock())
	case 7: // a stamp of his own making
		open.Witness = &wire.Witness{N: 3, Stamp: make([]byte, 16)}
	case 8: // asks for what is not his to see
		open.Cursors = []*wire.Cursor{{Scope: "35.24.16/T", Seq: 0}, {Scope: "35.24.15", Seq: 0}}
		for _, id := range universe {
			open.Refetch = append(open.Refetch, id[:])
		}
	case 9: // takes a companion of the stricter class into a district's open scope
		id = companions[id]
		next, m, mints, _, err = before.Write(syncproto.NewRecord(id), 0, w.now+500_000,
			syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14")},
			syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue(kindName)})
		delta = next.Full()
	case 10: // an empty future: claims what it never sends
		m = syncproto.ResumeMinter(m.Replica(), m.N()+3, m.Head(), m.Clock())
	}
	if err != nil {
		w.trace.log("hostile %d: not possible: %v", kind, brief(err))
		return
	}
	for _, x := range mints {
		h.sent[x.Dot] = delta.Context()
	}
	enc := wire.NewEncoder(syncproto.HLCFromMillis(w.now))
	batch := &wire.Batch{Items: []*wire.Item{{Scope: enc.Scope(scope), Delta: enc.Delta(delta), Repair: w.rng.IntN(3) == 0}}}
	batch.Tables = enc.Tables()
	tweak(batch)
	head := m.Head()
	open.Claims = []*wire.Claim{{
		Replica: uint64(m.Replica()), KeyNonce: append([]byte{h.nonce}, make([]byte, 15)...), N: m.N(), Head: head[:],
		ConfirmedN: h.confirmed, ConfirmedHead: h.confirmedHead[:],
	}}
	open.ClaimSignature = ed25519.Sign(h.x.key, wire.ClaimBytes(h.x.id, open.GetNonce(), nil, open.Claims))
	ex, err := h.x.exchange(open, batch)
	if err != nil {
		w.trace.log("hostile %d on %s: refused: %v", kind, w.names[id], err)
		h.rotate()
		return
	}
	w.trace.log("hostile %d on %s: %s", kind, w.names[id], ex)
	h.minter = m
	h.confirmed, h.confirmedHead = m.N(), m.Head()
	if ex.begin.GetStatus() != wire.Status_STATUS_OK || kind == 10 {
		h.rotate()
	}
	for _, x := range ex.receipt.GetExceptions() {
		w.stats["hostile "+x.GetResult().String()+" "+x.GetCode()]++
	}
	w.judgeFeed("the hostile device", h.x.id, ex, &response{})
}

const kindName = kind

// writes of an ordinary change.
func (h *hostile) writes(rec syncproto.Record, v syncproto.Value) []syncproto.Write {
	var out []syncproto.Write
	if rec.IsZero() {
		out = append(out,
			syncproto.Write{Path: syncproto.PathKind, Value: syncproto.MustValue(kind)},
			syncproto.Write{Path: syncproto.PathScope, Value: syncproto.MustValue("35.24.14")})
	}
	return append(out, syncproto.Write{Path: fieldNames[h.w.rng.IntN(3)], Value: v})
}

// others are the honest replicas with how far they wrote.
func (h *hostile) others() []syncproto.Dot {
	high := map[syncproto.ReplicaID]uint64{}
	for d := range h.w.oracle.byDot { // a maximum does not depend on the order
		high[d.Replica] = max(high[d.Replica], d.N)
	}
	out := []syncproto.Dot{{Replica: 77, N: 1}}
	for _, r := range slices.Sorted(maps.Keys(high)) {
		if !h.replicas[r] {
			out = append(out, syncproto.Dot{Replica: r, N: high[r]})
		}
	}
	return out
}

// delta builds a full state by hand.
func (h *hostile) delta(r syncproto.Record, ctx, floor syncproto.VV, more ...syncproto.Sibling) (syncproto.Delta, error) {
	var fields []syncproto.Field
	for f := range r.Fields() {
		f.Siblings = slices.Clone(f.Siblings)
		if f.Path == "a" {
			f.Siblings = append(f.Siblings, more...)
			more = nil
			slices.SortFunc(f.Siblings, func(a, b syncproto.Sibling) int {
				if a.Dot.Less(b.Dot) {
					return -1
				}
				return 1
			})
		}
		fields = append(fields, f)
	}
	if len(more) > 0 {
		fields = append(fields, syncproto.Field{Path: "a", Siblings: more})
		slices.SortFunc(fields, func(a, b syncproto.Field) int {
			if a.Path < b.Path {
				return -1
			}
			return 1
		})
	}
	return syncproto.NewDelta(r.ID(), syncproto.VV{}, ctx, floor, fields)
}
