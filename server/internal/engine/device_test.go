package engine_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// seeded is a deterministic source of bytes.
type seeded struct{ r *rand.Rand }

func (s seeded) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(s.r.Uint32())
	}
	return len(p), nil
}

// site is one engine on a real store in a temporary folder.
type site struct {
	t      testing.TB
	store  store.Store
	engine *engine.Engine
	config engine.Config
	now    int64
	public ed25519.PublicKey
	place  place
	saved  *pgtest.Snapshot
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, now: 1_772_000_000_000, place: newPlace(t)}
	public, private, _ := ed25519.GenerateKey(seeded{rand.New(rand.NewPCG(1, 2))})
	s.public = public
	s.config = engine.Config{
		ServerID: "srv-test", ReceiptKey: private, ReceiptKeyID: "k1", ProjectKey: make([]byte, 32),
		Rand: seeded{rand.New(rand.NewPCG(3, 4))},
	}
	s.open()
	t.Cleanup(func() { s.store.Close() })
	return s
}

func (s *site) open() {
	s.t.Helper()
	s.store = s.place.open(s.t)
	s.config.Store = s.store
	s.engine = engine.New(s.config)
}

// check fails the test if the store violates an invariant.
func (s *site) check() {
	s.t.Helper()
	err := s.engine.Check(s.t.Context(), func(problem string) { s.t.Errorf("check: %s", problem) })
	if err != nil {
		s.t.Errorf("check: %v", err)
	}
}

// device is a minimal phone: it speaks the protocol straight from syncproto,
// and keeps everything in memory. Its fields are open so that tests can make
// it lie.
type device struct {
	s        *site
	id       string
	key      ed25519.PrivateKey
	keyNonce [16]byte
	minter   syncproto.Minter
	records  map[syncproto.RecordID]syncproto.Record
	acked    map[syncproto.RecordID]syncproto.VV
	homes    map[syncproto.RecordID]syncproto.Scope
	cursors  map[syncproto.Scope]uint64
	epoch    []byte
	witness  *wire.Witness
	grantsV  uint64

	confirmed     uint64
	confirmedHead syncproto.Digest
	history       []wire.PastWrite
	refetch       []syncproto.RecordID
	repair        map[syncproto.RecordID]bool
	full          map[syncproto.RecordID]bool
	left          map[syncproto.RecordID]bool
	nonce         int
	queue         []syncproto.RecordID // if set, what is dirty
	maxEntries    uint32               // of a reply
	rejectBatch   func(*wire.Batch)    // lets a test damage what is sent
	rejectOpen    func(*wire.Open)
}

func (s *site) device(name string, grants ...syncproto.Grant) *device {
	s.t.Helper()
	seed := sha256.Sum256([]byte(name))
	key := ed25519.NewKeyFromSeed(seed[:])
	d := &device{
		s: s, id: "dev-" + name, key: key, maxEntries: 1000,
		records: map[syncproto.RecordID]syncproto.Record{}, acked: map[syncproto.RecordID]syncproto.VV{},
		homes: map[syncproto.RecordID]syncproto.Scope{}, cursors: map[syncproto.Scope]uint64{},
		repair: map[syncproto.RecordID]bool{}, full: map[syncproto.RecordID]bool{}, left: map[syncproto.RecordID]bool{},
	}
	d.rotate(1)
	row := store.Device{
		ID: d.id, Name: name, Officer: "off-" + name, Agency: "imigrasi", Role: "officer", Algorithm: "EdDSA",
		PublicKey: key.Public().(ed25519.PublicKey), Grants: grants, GrantsVersion: 1, EnrolledAt: s.now,
	}
	err := s.store.Update(s.t.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		if err := tx.PutOfficer(store.Officer{ID: row.Officer, Name: name, Agency: row.Agency, Role: row.Role}); err != nil {
			return nil, err
		}
		return nil, tx.PutDevice(row)
	}})
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (d *device) rotate(nonce byte) {
	d.keyNonce = [16]byte{nonce}
	replica := syncproto.NewReplicaID(d.key.Public().(ed25519.PublicKey), d.keyNonce)
	d.minter = syncproto.NewMinter(replica, 0)
	d.confirmed, d.confirmedHead = 0, syncproto.ChainStart(replica)
}

func (d *device) regrant(grants ...syncproto.Grant) {
	d.s.t.Helper()
	err := d.s.store.Update(d.s.t.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		return nil, tx.SetGrants(d.id, grants, d.s.now)
	}})
	if err != nil {
		d.s.t.Fatal(err)
	}
}

func recordID(n int) syncproto.RecordID {
	sum := sha256.Sum256(fmt.Appendf(nil, "record %d", n))
	sum[6] = sum[6]&0x0f | 0x40 // no UUIDv8: those are derived
	return syncproto.RecordID(sum[:16])
}

// create makes a record of kind "site" in scope with the given fields.
func (d *device) create(n int, scope string, fields ...string) syncproto.RecordID {
	id := recordID(n)
	writes := []syncproto.Write{{Path: syncproto.PathKind, Value: syncproto.MustValue("site")}, {Path: syncproto.PathScope, Value: syncproto.MustValue(scope)}}
	for i := 0; i < len(fields); i += 2 {
		writes = append(writes, syncproto.Write{Path: fields[i], Value: syncproto.MustValue(fields[i+1])})
	}
	d.write(id, writes...)
	return id
}

func (d *device) set(id syncproto.RecordID, path string, value any) {
	d.write(id, syncproto.Write{Path: path, Value: syncproto.MustValue(value)})
}

func (d *device) write(id syncproto.RecordID, writes ...syncproto.Write) {
	d.s.t.Helper()
	rec, ok := d.records[id]
	if !ok {
		rec = syncproto.NewRecord(id)
	}
	next, m, _, over, err := d.minter.Write(rec, 0, d.s.now, writes...)
	if err != nil {
		d.s.t.Fatal(err)
	}
	for _, o := range over {
		if o.Sibling.Dot.Replica == m.Replica() && o.Sibling.Dot.N > d.confirmed {
			s := o.Sibling
			d.history = append(d.history, wire.PastWrite{
				Dot: s.Dot, Step: syncproto.Step(id, o.Path, s.Dot, s.HLC, s.Value), Scope: d.home(id, next), Record: id, Path: o.Path, HLC: s.HLC, Value: s.Value,
			})
		}
	}
	d.records[id], d.minter = next, m
}

func (d *device) home(id syncproto.RecordID, rec syncproto.Record) syncproto.Scope {
	if h, ok := d.homes[id]; ok {
		return h
	}
	return rec.Home()
}

func (d *device) dirty() []syncproto.RecordID {
	if d.queue != nil {
		return d.queue
	}
	var out []syncproto.RecordID
	for n := range 2000 { // in a fixed order
		id := recordID(n)
		if rec, ok := d.records[id]; ok && (!rec.Context().LessEq(d.acked[id]) || d.repair[id]) {
			out = append(out, id)
		}
	}
	return out
}

// reply is what an exchange gave.
type reply struct {
	begin    *wire.Begin
	feed     []*wire.Feed
	end      *wire.End
	receipt  *wire.ReceiptBody
	sent     []syncproto.RecordID
	sum      engine.Summary
	refusal  error
	delivery map[syncproto.RecordID]bool
}

func (d *device) row() store.Device {
	d.s.t.Helper()
	var row store.Device
	err := d.s.store.View(d.s.t.Context(), func(r store.Reader) (err error) {
		row, err = r.Device(d.id)
		return err
	})
	if err != nil {
		d.s.t.Fatal(err)
	}
	return row
}

// request builds what the device would send now.
func (d *device) request() (*wire.Open, []*wire.Batch, []syncproto.RecordID, map[syncproto.RecordID]syncproto.VV) {
	d.nonce++
	nonce := make([]byte, 16)
	copy(nonce, fmt.Sprintf("%s%d", d.id, d.nonce))
	head := d.minter.Head()
	claim := &wire.Claim{
		Replica: uint64(d.minter.Replica()), KeyNonce: d.keyNonce[:], N: d.minter.N(), Head: head[:],
		ConfirmedN: d.confirmed, ConfirmedHead: d.confirmedHead[:],
	}
	open := &wire.Open{
		Version: wire.Version, Nonce: nonce, Epoch: d.epoch, Witness: d.witness, GrantsVersion: d.grantsV,
		Claims: []*wire.Claim{claim}, MaxEntries: d.maxEntries, App: "test/1",
	}
	open.ClaimSignature = ed25519.Sign(d.key, wire.ClaimBytes(d.id, nonce, d.epoch, open.Claims))
	for scope, seq := range d.cursors {
		open.Cursors = append(open.Cursors, &wire.Cursor{Scope: string(scope), Seq: seq})
	}
	for _, id := range d.refetch {
		open.Refetch = append(open.Refetch, id[:])
	}
	ids := d.dirty()
	sent := map[syncproto.RecordID]syncproto.VV{}
	var batches []*wire.Batch
	if len(ids) > 0 || len(d.history) > 0 {
		enc := wire.NewEncoder(syncproto.HLCFromMillis(d.s.now))
		b := &wire.Batch{}
		for _, id := range ids {
			rec := d.records[id]
			hint := d.acked[id]
			if d.full[id] || d.repair[id] {
				hint = syncproto.VV{}
			}
			b.Items = append(b.Items, &wire.Item{Scope: enc.Scope(d.home(id, rec)), Delta: enc.Delta(rec.Delta(hint)), Repair: d.repair[id]})
			sent[id] = rec.Context()
		}
		for _, h := range d.history {
			b.History = append(b.History, enc.History(h))
		}
		b.Tables = enc.Tables()
		batches = append(batches, b)
	}
	if d.rejectBatch != nil && len(batches) > 0 {
		d.rejectBatch(batches[0])
	}
	if d.rejectOpen != nil {
		d.rejectOpen(open)
	}
	return open, batches, ids, sent
}

// send delivers a request and reads the reply, without taking it in.
func (d *device) send(open *wire.Open, batches []*wire.Batch) reply {
	r := reply{delivery: map[syncproto.RecordID]bool{}}
	i := 0
	next := func() (*wire.Batch, error) {
		if i == len(batches) {
			return nil, io.EOF
		}
		i++
		return batches[i-1], nil
	}
	r.sum, r.refusal = d.s.engine.Sync(d.s.t.Context(), d.row(), d.s.now, open, next, func(f *wire.ResponseFrame) error {
		switch x := f.GetFrame().(type) {
		case *wire.ResponseFrame_Begin:
			r.begin = x.Begin
		case *wire.ResponseFrame_Feed:
			r.feed = append(r.feed, x.Feed)
		case *wire.ResponseFrame_End:
			r.end = x.End
		}
		return nil
	})
	return r
}

// exchange sends what is dirty, and takes in the reply.
func (d *device) exchange() reply {
	d.s.t.Helper()
	d.s.now += 1000
	open, batches, ids, sent := d.request()
	n, head := d.minter.N(), d.minter.Head()
	r := d.send(open, batches)
	if r.refusal != nil {
		return r
	}
	r.sent = ids
	d.take(&r, sent, n, head)
	return r
}

// sync exchanges until the reply is OK, and fails the test on a refusal.
func (d *device) sync() reply {
	d.s.t.Helper()
	for range 4 {
		r := d.exchange()
		if r.refusal != nil {
			d.s.t.Fatalf("%s: refused: %v", d.id, r.refusal)
		}
		if r.begin.GetStatus() == wire.Status_STATUS_OK {
			return r
		}
	}
	d.s.t.Fatalf("%s: no OK within 4 exchanges", d.id)
	return reply{}
}

func (d *device) take(r *reply, sent map[syncproto.RecordID]syncproto.VV, n uint64, head syncproto.Digest) {
	t := d.s.t
	t.Helper()
	switch r.begin.GetStatus() {
	case wire.Status_STATUS_EPOCH:
		d.epoch, d.cursors, d.witness = r.begin.GetEpoch(), map[syncproto.Scope]uint64{}, nil
		d.acked, d.confirmed, d.confirmedHead = map[syncproto.RecordID]syncproto.VV{}, 0, syncproto.ChainStart(d.minter.Replica())
		return
	case wire.Status_STATUS_CHAIN:
		d.confirmed = r.begin.GetChain()[0].GetN()
		copy(d.confirmedHead[:], r.begin.GetChain()[0].GetHead())
		return
	default:
	}
	d.epoch = r.begin.GetEpoch()
	if w := r.begin.GetWitness(); w != nil {
		d.witness = w
	}
	if len(r.begin.GetGrants()) > 0 || d.grantsV != r.begin.GetGrantsVersion() {
		d.grantsV = r.begin.GetGrantsVersion()
	}
	d.confirmed, d.confirmedHead = n, head
	if r.begin.GetReceipt() != nil {
		body, err := wire.VerifyReceipt(d.s.public, r.begin.GetReceipt())
		if err != nil {
			t.Fatal(err)
		}
		r.receipt = body
	}
	exceptions := map[syncproto.RecordID]*wire.Outcome{}
	for _, o := range r.begin.GetOutcomes() {
		exceptions[r.sent[o.GetItem()]] = o
	}
	for _, id := range r.sent {
		o := exceptions[id]
		switch o.GetResult() {
		case wire.Result_RESULT_APPLIED:
			d.acked[id] = d.acked[id].Join(sent[id])
			delete(d.full, id)
			if _, ok := d.homes[id]; !ok {
				d.homes[id] = d.records[id].Home()
			}
			if o.GetHidden() {
				delete(d.records, id)
			}
		case wire.Result_RESULT_NEED_FULL:
			d.full[id] = true
		case wire.Result_RESULT_REPAIR:
			d.repair[id] = true
		case wire.Result_RESULT_PURGED:
			delete(d.records, id)
		case wire.Result_RESULT_ABSORBED:
			delete(d.repair, id)
			dec, err := wire.NewDecoder(r.begin.GetTables())
			if err != nil {
				t.Fatal(err)
			}
			delta, err := dec.Delta(o.GetReply())
			if err != nil {
				t.Fatal(err)
			}
			c, err := syncproto.Apply(syncproto.NewRecord(id), delta)
			if err != nil {
				t.Fatal(err)
			}
			d.records[id], d.acked[id] = c.Record, c.Record.Context()
		default:
		}
	}
	d.history, d.refetch = nil, nil
	for _, f := range r.feed {
		d.takeFeed(r, f)
	}
}

func (d *device) takeFeed(r *reply, f *wire.Feed) {
	t := d.s.t
	t.Helper()
	dec, err := wire.NewDecoder(f.GetTables())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range f.GetEntries() {
		switch x := e.GetEntry().(type) {
		case *wire.Entry_Delta:
			delta, err := dec.Delta(x.Delta)
			if err != nil {
				t.Fatal(err)
			}
			id := delta.ID()
			r.delivery[id] = true
			rec, ok := d.records[id]
			if !ok {
				rec = syncproto.NewRecord(id)
			}
			c, err := syncproto.Apply(rec, delta)
			if errors.Is(err, syncproto.CodeNeedFull) {
				d.refetch = append(d.refetch, id)
				continue
			}
			if err != nil {
				t.Fatalf("%s: apply from the feed: %v", d.id, err)
			}
			d.records[id], d.acked[id] = c.Record, d.acked[id].Join(delta.Context())
			scope, err := dec.Scope(e.GetScope())
			if err != nil {
				t.Fatal(err)
			}
			d.homes[id] = scope
		case *wire.Entry_Left:
			var id syncproto.RecordID
			copy(id[:], x.Left.GetId())
			ctx, err := dec.Vector(x.Left.GetCtx())
			if err != nil {
				t.Fatal(err)
			}
			d.left[id] = true
			if !x.Left.GetVisible() && d.records[id].Context().LessEq(ctx) {
				delete(d.records, id)
			} else {
				d.refetch = append(d.refetch, id)
			}
		case *wire.Entry_Verdict:
			var id syncproto.RecordID
			copy(id[:], x.Verdict.GetId())
			if ctx, err := dec.Vector(x.Verdict.GetCtx()); err == nil && (x.Verdict.GetPurged() || d.records[id].Context().LessEq(ctx)) {
				delete(d.records, id)
			}
		}
	}
	for _, c := range f.GetCursors() {
		d.cursors[syncproto.Scope(c.GetScope())] = c.GetSeq()
	}
}

var all = []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask}

func grant(region string, classes ...syncproto.Class) syncproto.Grant {
	if len(classes) == 0 {
		classes = all
	}
	return syncproto.Grant{Region: syncproto.Region(region), Classes: classes}
}

// sign signs the claims of a changed Open.
func (d *device) sign(o *wire.Open) {
	o.ClaimSignature = ed25519.Sign(d.key, wire.ClaimBytes(d.id, o.GetNonce(), o.GetEpoch(), o.GetClaims()))
}

var actor = engine.Actor{ID: "hq-1", Agency: "imigrasi"}

// inbox returns the open messages of a region.
func (s *site) inbox(region string) (out []store.Quarantined) {
	s.t.Helper()
	err := s.store.View(s.t.Context(), func(r store.Reader) (err error) {
		out, err = r.Inbox(syncproto.Region(region), nil, 100)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// contains reports whether text stands anywhere in the store's files, after
// their free pages were given back, or in the rows of a database.
func (s *site) contains(text string) bool {
	s.t.Helper()
	if *kind == "postgres" {
		return holds(s.place.dump(s.t), text)
	}
	copied := filepath.Join(s.t.TempDir(), "copy.db")
	if err := s.store.Backup(s.t.Context(), copied); err != nil {
		s.t.Fatal(err)
	}
	b, err := os.ReadFile(copied)
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Contains(b, []byte(text))
}

func (s *site) backup() {
	s.t.Helper()
	if *kind == "postgres" {
		s.saved = pgtest.Start(s.t).Snapshot(s.t, string(s.place))
		return
	}
	if err := s.store.Backup(s.t.Context(), string(s.place)+".backup"); err != nil {
		s.t.Fatal(err)
	}
}

// restore puts the backup in the store's place and starts anew.
func (s *site) restore() {
	s.t.Helper()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	if s.saved != nil {
		s.saved.Restore(s.t)
		s.open()
		return
	}
	b, err := os.ReadFile(string(s.place) + ".backup")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(string(s.place) + suffix)
	}
	if err := os.WriteFile(string(s.place), b, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.open()
}
