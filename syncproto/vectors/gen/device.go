package gen

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// device is a phone that does what SPEC says and nothing more: no store, no
// retry.
type device struct {
	name, id, officer, agency string
	key                       ed25519.PrivateKey
	keyNonce                  [16]byte
	grants                    syncproto.Grants
	now                       int64

	minter        syncproto.Minter
	confirmed     uint64
	confirmedHead syncproto.Digest
	records       map[syncproto.RecordID]syncproto.Record
	acked         map[syncproto.RecordID]syncproto.VV
	homes         map[syncproto.RecordID]syncproto.Scope // as the server last had them
	full, repair  map[syncproto.RecordID]bool
	history       []wire.PastWrite
	refetch       []syncproto.RecordID
	sent          []syncproto.Record
	claimed       syncproto.Minter

	epoch   []byte
	witness *wire.Witness
	cursors map[syncproto.Scope]uint64
	version uint64 // of the grants
	asked   int
}

func newDevice(name, officer, agency string, grants syncproto.Grants) *device {
	d := &device{
		name: name, id: "dev-" + name, officer: officer, agency: agency, grants: grants,
		key:     ed25519.NewKeyFromSeed(named(32, "key of "+name)),
		records: map[syncproto.RecordID]syncproto.Record{}, acked: map[syncproto.RecordID]syncproto.VV{}, homes: map[syncproto.RecordID]syncproto.Scope{},
		full: map[syncproto.RecordID]bool{}, repair: map[syncproto.RecordID]bool{}, cursors: map[syncproto.Scope]uint64{},
	}
	copy(d.keyNonce[:], named(16, "nonce of the replica of "+name))
	replica := syncproto.NewReplicaID(public(d.key), d.keyNonce)
	d.minter = syncproto.NewMinter(replica, 0)
	d.confirmedHead = syncproto.ChainStart(replica)
	return d
}

// recordID is that of a record of the scenarios; it looks like what a phone
// makes.
func recordID(name string) syncproto.RecordID {
	id := syncproto.RecordID(named(16, "record "+name))
	copy(id[:6], []byte{0x01, 0x9c, 0xd5, 0x5e, 0x5c, 0x90}) // about the time of start
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

func set(path string, value any) syncproto.Write {
	return syncproto.Write{Path: path, Value: syncproto.MustValue(value)}
}

func (d *device) write(at int64, id syncproto.RecordID, writes ...syncproto.Write) {
	rec, ok := d.records[id]
	if !ok {
		rec = syncproto.NewRecord(id)
	}
	next, m, _, over, err := d.minter.Write(rec, 0, at, writes...)
	check(err)
	for _, o := range over {
		if s := o.Sibling; s.Dot.Replica == m.Replica() && s.Dot.N > d.confirmed {
			d.history = append(d.history, wire.PastWrite{
				Dot: s.Dot, Step: syncproto.Step(id, o.Path, s.Dot, s.HLC, s.Value), Scope: d.home(next), Record: id, Path: o.Path, HLC: s.HLC, Value: s.Value,
			})
		}
	}
	d.records[id], d.minter = next, m
}

func (d *device) home(r syncproto.Record) syncproto.Scope {
	if s, ok := d.homes[r.ID()]; ok {
		return s
	}
	return r.Home()
}

// request makes what the device would send now.
func (d *device) request() (*wire.Open, []*wire.Batch) {
	d.asked++
	head := d.minter.Head()
	open := &wire.Open{
		Version: wire.Version, Nonce: named(16, fmt.Sprintf("request %d of %s", d.asked, d.name)), Epoch: d.epoch, Witness: d.witness, GrantsVersion: d.version,
		Claims: []*wire.Claim{{
			Replica: uint64(d.minter.Replica()), KeyNonce: d.keyNonce[:], N: d.minter.N(), Head: head[:],
			ConfirmedN: d.confirmed, ConfirmedHead: d.confirmedHead[:],
		}},
		MaxEntries: 1000, App: "timpora 1.0",
	}
	for _, s := range slices.Sorted(maps.Keys(d.cursors)) {
		open.Cursors = append(open.Cursors, &wire.Cursor{Scope: string(s), Seq: d.cursors[s]})
	}
	for _, id := range d.refetch {
		open.Refetch = append(open.Refetch, id[:])
	}
	d.claimed, d.sent = d.minter, nil
	var dirty []syncproto.Record
	for id, r := range d.records {
		if d.repair[id] || !r.Context().LessEq(d.acked[id]) {
			dirty = append(dirty, r)
		}
	}
	if len(dirty) == 0 && len(d.history) == 0 {
		return open, nil
	}
	// In the order of the lowest write that is not confirmed.
	slices.SortFunc(dirty, func(a, b syncproto.Record) int { return int(d.lowest(a)) - int(d.lowest(b)) })
	e := wire.NewEncoder(d.minter.Clock())
	b := &wire.Batch{}
	for _, r := range dirty {
		hint := d.acked[r.ID()]
		if d.full[r.ID()] || d.repair[r.ID()] {
			hint = syncproto.VV{}
		}
		b.Items = append(b.Items, &wire.Item{Scope: e.Scope(d.home(r)), Delta: e.Delta(r.Delta(hint)), Repair: d.repair[r.ID()]})
	}
	d.sent = dirty
	for _, w := range d.history {
		b.History = append(b.History, e.History(w))
	}
	b.Tables = e.Tables()
	return open, []*wire.Batch{b}
}

func (d *device) lowest(r syncproto.Record) uint64 {
	low := d.minter.N() + 1
	for f := range r.Fields() {
		for _, s := range f.Siblings {
			if s.Dot.Replica == d.minter.Replica() && s.Dot.N > d.confirmed {
				low = min(low, s.Dot.N)
			}
		}
	}
	return low
}

func (d *device) sign(open *wire.Open) {
	if open.ClaimSignature == nil {
		open.ClaimSignature = ed25519.Sign(d.key, wire.ClaimBytes(d.id, open.Nonce, open.Epoch, open.Claims))
	}
}

// take follows a response.
func (d *device) take(frames []*wire.ResponseFrame) {
	begin := frames[0].GetBegin()
	if begin.GetStatus() != wire.Status_STATUS_OK {
		return // what a device does then ends its scenario
	}
	d.epoch, d.version = begin.GetEpoch(), begin.GetGrantsVersion()
	if begin.GetWitness() != nil {
		d.witness = begin.GetWitness()
	}
	d.confirmed, d.confirmedHead = d.claimed.N(), d.claimed.Head()
	d.refetch, d.history = nil, nil
	tables, err := wire.NewDecoder(begin.GetTables())
	check(err)
	outcomes := map[uint32]*wire.Outcome{}
	for _, o := range begin.GetOutcomes() {
		outcomes[o.GetItem()] = o
	}
	for i, r := range d.sent {
		id := r.ID()
		d.full[id], d.repair[id] = false, false
		switch o := outcomes[uint32(i)]; o.GetResult() {
		case wire.Result_RESULT_APPLIED, wire.Result_RESULT_QUARANTINED:
			d.acked[id] = d.acked[id].Join(r.Context())
			d.homes[id] = r.Home()
		case wire.Result_RESULT_NEED_FULL:
			d.full[id] = true
		case wire.Result_RESULT_REPAIR:
			d.repair[id] = true
		case wire.Result_RESULT_ABSORBED:
			delta, err := tables.Delta(o.GetReply())
			check(err)
			c, err := syncproto.Apply(syncproto.NewRecord(id), delta)
			check(err)
			d.records[id], d.acked[id] = c.Record, delta.Context()
		case wire.Result_RESULT_PURGED:
			delete(d.records, id)
		}
	}
	for _, f := range frames {
		d.feed(f.GetFeed())
	}
}

func (d *device) feed(f *wire.Feed) {
	tables, err := wire.NewDecoder(f.GetTables())
	check(err)
	for _, e := range f.GetEntries() {
		switch {
		case e.GetDelta() != nil:
			delta, err := tables.Delta(e.GetDelta())
			check(err)
			r, ok := d.records[delta.ID()]
			if !ok {
				r = syncproto.NewRecord(delta.ID())
			}
			c, err := syncproto.Apply(r, delta)
			if syncproto.CodeOf(err) == syncproto.CodeNeedFull {
				d.refetch = append(d.refetch, r.ID())
				continue
			}
			check(err)
			d.records[r.ID()], d.acked[r.ID()] = c.Record, d.acked[r.ID()].Join(delta.Context())
			d.homes[r.ID()], err = tables.Scope(e.GetScope())
			check(err)
		case e.GetLeft() != nil:
			ctx, err := tables.Vector(e.GetLeft().GetCtx())
			check(err)
			id := syncproto.RecordID(e.GetLeft().GetId())
			if !e.GetLeft().GetVisible() && d.records[id].Context().LessEq(ctx) {
				delete(d.records, id)
			} else if _, have := d.records[id]; have {
				d.refetch = append(d.refetch, id)
			}
		case e.GetVerdict() != nil:
			ctx, err := tables.Vector(e.GetVerdict().GetCtx())
			check(err)
			if id := syncproto.RecordID(e.GetVerdict().GetId()); d.records[id].Context().LessEq(ctx) {
				delete(d.records, id)
			}
		}
	}
	for _, c := range f.GetCursors() {
		d.cursors[syncproto.Scope(c.GetScope())] = c.GetSeq()
	}
}
