package gen

import (
	"crypto/ed25519"
	"fmt"
	"maps"
	"slices"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// server is a server that does what SPEC says and nothing more: no store, no
// authentication, no concurrency.
type server struct {
	id, keyID  string
	key        ed25519.PrivateKey
	projectKey []byte
	epoch      []byte
	minter     syncproto.Minter
	devices    map[string]*device
	rows       map[syncproto.RecordID]*row
	markers    []marker
	heads      map[syncproto.Scope]uint64
	known      map[string]*holder // of replicas, by device
	witnesses  map[string]uint64
}

// row is a record in its home scope.
type row struct {
	record       syncproto.Record
	scope        syncproto.Scope
	seq, entered uint64
	stamps       map[string]uint64
}

// marker is what a record left behind.
type marker struct {
	scope syncproto.Scope
	id    syncproto.RecordID
	seq   uint64
	ctx   syncproto.VV
}

// holder is what the server holds of a device's replica.
type holder struct {
	claimed     uint64
	claimedHead syncproto.Digest
	held        uint64
	heldHead    syncproto.Digest
	steps       map[uint64]syncproto.Digest
}

func newServer() *server {
	return &server{
		id: "srv-vectors", keyID: "k1", key: ed25519.NewKeyFromSeed(named(32, "receipt key")), projectKey: named(32, "project key"),
		epoch: named(16, "first epoch"), minter: syncproto.NewMinter(0x5e7e5e7e5e7e5e7f, 0), devices: map[string]*device{},
		rows: map[syncproto.RecordID]*row{}, heads: map[syncproto.Scope]uint64{}, known: map[string]*holder{}, witnesses: map[string]uint64{},
	}
}

func (s *server) next(scope syncproto.Scope) uint64 {
	s.heads[scope]++
	return s.heads[scope]
}

// judged is one item and what became of it.
type judged struct {
	id           syncproto.RecordID
	ctx          syncproto.VV // as sent
	result       wire.Result
	code         syncproto.Code
	serverCtx    syncproto.VV
	reply        *syncproto.Record
	hidden       bool
	batch, index uint32
}

// answer is SPEC 4.4 and 4.5: judge the claims, take in the push, deliver the pull.
func (s *server) answer(d *device, now int64, open *wire.Open, batches []*wire.Batch) ([]*wire.ResponseFrame, error) {
	if open.GetVersion() != wire.Version {
		return nil, syncproto.CodeUnsupportedVersion
	}
	claim := open.GetClaims()[0]
	if syncproto.NewReplicaID(public(d.key), [16]byte(claim.GetKeyNonce())) != syncproto.ReplicaID(claim.GetReplica()) {
		return nil, syncproto.CodeReplicaNotYours
	}
	if !ed25519.Verify(public(d.key), wire.ClaimBytes(d.id, open.GetNonce(), open.GetEpoch(), open.GetClaims()), open.GetClaimSignature()) {
		return nil, syncproto.CodeClaimInvalid
	}
	begin := &wire.Begin{Version: wire.Version, Nonce: open.GetNonce(), ServerTime: now, Epoch: s.epoch, Status: wire.Status_STATUS_OK}
	end := &wire.End{}
	frame := func(feed *wire.Feed) []*wire.ResponseFrame {
		out := []*wire.ResponseFrame{{Frame: &wire.ResponseFrame_Begin{Begin: begin}}}
		if feed != nil {
			out = append(out, &wire.ResponseFrame{Frame: &wire.ResponseFrame_Feed{Feed: feed}})
		}
		return append(out, &wire.ResponseFrame{Frame: &wire.ResponseFrame_End{End: end}})
	}
	if len(open.GetEpoch()) > 0 && string(open.GetEpoch()) != string(s.epoch) {
		begin.Status = wire.Status_STATUS_EPOCH
		return frame(nil), nil
	}
	h := s.holder(d)
	if claim.GetConfirmedN() != h.claimed || h.claimed > 0 && string(claim.GetConfirmedHead()) != string(h.claimedHead[:]) || claim.GetN() < h.claimed {
		begin.Status = wire.Status_STATUS_CHAIN
		begin.Chain = []*wire.Head{{Replica: claim.GetReplica(), N: h.claimed, Head: slices.Clone(h.claimedHead[:])}}
		return frame(nil), nil
	}
	h.claimed, h.claimedHead = claim.GetN(), syncproto.Digest(claim.GetHead())
	begin.Heads = []*wire.Head{{Replica: claim.GetReplica(), N: h.claimed, Head: slices.Clone(h.claimedHead[:])}}
	if begin.GrantsVersion = 1; open.GetGrantsVersion() != 1 {
		begin.Grants = s.grants(d)
	}
	digest := wire.NewItemsDigest()
	items, err := s.push(d, now, batches, h, digest)
	if err != nil {
		return nil, err
	}
	feed := s.feed(d, now, open, items)
	if len(batches) > 0 || feed != nil {
		s.witnesses[d.id]++
		n := s.witnesses[d.id]
		begin.Witness = &wire.Witness{N: n, Stamp: named(16, fmt.Sprintf("stamp %d of %s", n, d.name))}
	}
	if len(batches) > 0 {
		begin.Receipt = s.receipt(d, now, open, items, h, digest)
	}
	s.outcomes(begin, items)
	if feed != nil {
		begin.FeedEntries = uint64(len(feed.GetEntries()))
	}
	return frame(feed), nil
}

func (s *server) holder(d *device) *holder {
	h, ok := s.known[d.id]
	if !ok {
		start := syncproto.ChainStart(d.minter.Replica())
		h = &holder{claimedHead: start, heldHead: start, steps: map[uint64]syncproto.Digest{}}
		s.known[d.id] = h
	}
	return h
}

func (s *server) grants(d *device) []*wire.Grant {
	var out []*wire.Grant
	for _, g := range d.grants {
		key, err := syncproto.DeriveRegionKey(s.projectKey, g.Region)
		check(err)
		out = append(out, &wire.Grant{Region: string(g.Region), Classes: grantOf(g).Classes, Until: g.Until, Key: key[:]})
	}
	return out
}

func (s *server) push(d *device, now int64, batches []*wire.Batch, h *holder, digest *wire.ItemsDigest) ([]judged, error) {
	var out []judged
	for i, b := range batches {
		dec, err := wire.NewDecoder(b.GetTables())
		if err != nil {
			return nil, err
		}
		for j, item := range b.GetItems() {
			x := s.item(d, now, dec, item, h)
			x.batch, x.index = uint32(i), uint32(j)
			digest.Add(x.id, x.ctx)
			out = append(out, x)
		}
		for _, m := range b.GetHistory() {
			w, err := dec.History(m)
			if err != nil {
				return nil, err
			}
			h.steps[w.Dot.N] = w.Step
		}
	}
	for {
		step, ok := h.steps[h.held+1]
		if !ok {
			return out, nil
		}
		h.held, h.heldHead = h.held+1, syncproto.Chain(h.heldHead, step)
	}
}

func (s *server) item(d *device, now int64, dec *wire.Decoder, item *wire.Item, h *holder) judged {
	x := judged{}
	x.id, x.ctx = dec.Name(item.GetDelta())
	scope, err := dec.Scope(item.GetScope())
	delta, derr := dec.Delta(item.GetDelta())
	if err == nil {
		err = derr
	}
	keep := func() {
		for _, step := range dec.Steps(item.GetDelta()) {
			if step.Dot.Replica == d.minter.Replica() {
				h.steps[step.Dot.N] = step.Digest
			}
		}
	}
	aside := func(result wire.Result, code syncproto.Code) judged {
		x.result, x.code = result, code
		return x
	}
	if err != nil {
		keep()
		return aside(wire.Result_RESULT_QUARANTINED, syncproto.CodeOf(err))
	}
	have := s.rows[delta.ID()]
	if have == nil {
		have = &row{record: syncproto.NewRecord(delta.ID()), scope: scope, stamps: map[string]uint64{}}
	}
	news := !delta.Context().LessEq(have.record.Context())
	switch {
	case news && have.record.IsPurged():
		keep()
		return aside(wire.Result_RESULT_PURGED, "")
	case news && !d.grants.MayWrite(have.scope, now) && !s.passed(d, delta.ID(), now):
		keep()
		return aside(wire.Result_RESULT_QUARANTINED, syncproto.CodeScopeDenied)
	}
	c, err := syncproto.Apply(have.record, delta)
	switch code := syncproto.CodeOf(err); {
	case code == syncproto.CodeNeedFull:
		return aside(wire.Result_RESULT_NEED_FULL, "")
	case code != "" && !item.GetRepair():
		return aside(wire.Result_RESULT_REPAIR, code)
	case code != "":
		var mints []syncproto.Mint
		c.Record, s.minter, mints = syncproto.Absorb(have.record, delta, s.minter, now, func(string, syncproto.Sibling) bool { return false })
		for _, m := range mints {
			c.Paths = append(c.Paths, m.Path)
		}
		c.Changed = len(mints) > 0
		x.result, x.reply = wire.Result_RESULT_ABSORBED, &c.Record
	}
	keep()
	if c.Changed {
		s.store(have, c)
	}
	x.serverCtx, x.hidden = have.record.Context(), !d.grants.MayRead(have.record.Home(), now)
	return x
}

// passed reports whether the record was once where the device may write: it
// could have seen it there.
func (s *server) passed(d *device, id syncproto.RecordID, now int64) bool {
	return slices.ContainsFunc(s.markers, func(m marker) bool { return m.id == id && d.grants.MayWrite(m.scope, now) })
}

// store is SPEC 4.6: the scope's next sequence, or two scopes' when the record
// moves.
func (s *server) store(r *row, c syncproto.Change) {
	to := c.Record.Home()
	if moved := r.seq > 0 && to != r.scope; moved {
		s.markers = append(s.markers, marker{r.scope, c.Record.ID(), s.next(r.scope), c.Record.Context()})
		r.entered = 0
	}
	r.record, r.scope, r.seq = c.Record, to, s.next(to)
	if r.entered == 0 {
		r.entered = r.seq
	}
	for _, p := range c.Paths {
		r.stamps[p] = r.seq
	}
	s.rows[c.Record.ID()] = r
}

func (s *server) purge(id syncproto.RecordID, reason string, now int64) {
	r := s.rows[id]
	rec, m, _, err := syncproto.Purge(r.record, s.minter, now, syncproto.MustValue(map[string]string{"by": "hq", "reason": reason}))
	check(err)
	s.minter = m
	// Every path of the skeleton is news: whoever evicted the record must be
	// able to take it in.
	c := syncproto.Change{Record: rec, Changed: true}
	for f := range rec.Fields() {
		c.Paths = append(c.Paths, f.Path)
	}
	s.store(r, c)
}

func (s *server) outcomes(begin *wire.Begin, items []judged) {
	e := wire.NewEncoder(0)
	for _, x := range items {
		if x.result == wire.Result_RESULT_APPLIED && !x.hidden {
			continue
		}
		o := &wire.Outcome{Batch: x.batch, Item: x.index, Result: x.result, Code: string(x.code), Hidden: x.hidden}
		if x.hidden {
			o.Ctx = e.Vector(x.serverCtx)
		}
		if x.reply != nil && !x.hidden {
			o.Reply = e.Delta(x.reply.Full())
		}
		begin.Outcomes = append(begin.Outcomes, o)
	}
	if len(begin.Outcomes) > 0 {
		begin.Tables = e.Tables()
	}
}

func (s *server) receipt(d *device, now int64, open *wire.Open, items []judged, h *holder, digest *wire.ItemsDigest) *wire.Receipt {
	body := &wire.ReceiptBody{
		Server: s.id, Device: d.id, Epoch: s.epoch, Nonce: open.GetNonce(), At: now, Items: digest.Sum(), Count: digest.Count(),
	}
	for i, x := range items {
		if x.result != wire.Result_RESULT_APPLIED {
			body.Exceptions = append(body.Exceptions, &wire.Exception{Index: uint32(i), Result: x.result, Code: string(x.code)})
		}
	}
	if h.held > 0 {
		body.Held = []*wire.Head{{Replica: uint64(d.minter.Replica()), N: h.held, Head: slices.Clone(h.heldHead[:])}}
	}
	return wire.SignReceipt(s.key, s.keyID, body)
}

// feed is SPEC 4.5: per granted scope what is beyond the cursor, in order.
func (s *server) feed(d *device, now int64, open *wire.Open, items []judged) *wire.Feed {
	e := wire.NewEncoder(syncproto.HLCFromMillis(now))
	out := &wire.Feed{}
	sent := map[syncproto.RecordID]syncproto.VV{}
	for _, x := range items {
		if x.result == wire.Result_RESULT_APPLIED {
			sent[x.id] = x.ctx
		}
	}
	for _, raw := range open.GetRefetch() {
		out.Entries = append(out.Entries, s.refetched(d, now, e, syncproto.RecordID(raw)))
	}
	cursors := map[syncproto.Scope]uint64{}
	for _, c := range open.GetCursors() {
		cursors[syncproto.Scope(c.GetScope())] = c.GetSeq()
	}
	for _, scope := range slices.Sorted(maps.Keys(s.heads)) {
		if !d.grants.MayRead(scope, now) || s.heads[scope] <= cursors[scope] {
			continue
		}
		for seq := cursors[scope] + 1; seq <= s.heads[scope]; seq++ {
			if entry := s.entry(d, now, e, scope, seq, cursors[scope], sent); entry != nil {
				out.Entries = append(out.Entries, entry)
			}
		}
		out.Cursors = append(out.Cursors, &wire.Cursor{Scope: string(scope), Seq: s.heads[scope]})
	}
	if len(out.GetEntries()) == 0 && len(out.GetCursors()) == 0 {
		return nil
	}
	out.Tables = e.Tables()
	for _, r := range out.GetTables().GetReplicas() {
		for _, id := range slices.Sorted(maps.Keys(s.devices)) {
			if x := s.devices[id]; uint64(x.minter.Replica()) == r {
				out.Authors = append(out.Authors, &wire.Author{Replica: r, Officer: x.officer, Agency: x.agency})
			}
		}
	}
	return out
}

func (s *server) entry(d *device, now int64, e *wire.Encoder, scope syncproto.Scope, seq, cursor uint64, sent map[syncproto.RecordID]syncproto.VV) *wire.Entry {
	for _, m := range s.markers {
		if m.scope == scope && m.seq == seq {
			visible := d.grants.MayRead(s.rows[m.id].scope, now)
			return &wire.Entry{Scope: e.Scope(scope), Entry: &wire.Entry_Left{Left: &wire.Left{Id: m.id[:], Ctx: e.Vector(m.ctx), Visible: visible}}}
		}
	}
	for _, r := range s.rows {
		if r.scope != scope || r.seq != seq {
			continue
		}
		ctx, pushed := sent[r.record.ID()]
		var delta syncproto.Delta
		switch {
		case pushed && r.record.Context().LessEq(ctx):
			return nil
		case pushed:
			delta = r.record.Delta(ctx)
		case r.entered > cursor:
			delta = r.record.Full()
		default:
			delta = r.record.DeltaOf(func(path string) bool { return r.stamps[path] > cursor })
		}
		return &wire.Entry{Scope: e.Scope(scope), Entry: &wire.Entry_Delta{Delta: e.Delta(delta)}}
	}
	return nil // the record has a later sequence
}

func (s *server) refetched(d *device, now int64, e *wire.Encoder, id syncproto.RecordID) *wire.Entry {
	v := &wire.Verdict{Id: id[:]}
	if r, ok := s.rows[id]; ok {
		if d.grants.MayRead(r.scope, now) && !r.record.IsPurged() {
			return &wire.Entry{Scope: e.Scope(r.scope), Entry: &wire.Entry_Delta{Delta: e.Delta(r.record.Full())}}
		}
		v.Known, v.Purged, v.Ctx = true, r.record.IsPurged(), e.Vector(r.record.Context())
	}
	return &wire.Entry{Entry: &wire.Entry_Verdict{Verdict: v}}
}
