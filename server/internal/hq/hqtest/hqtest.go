// Package hqtest is a server without network for the tests of what reads the
// merged log: a real store in a temporary folder, the real engine, and devices
// that speak the protocol straight from memory.
//
// What is always true of it:
//
//   - Nothing is written behind the engine's back: rows come from exchanges.
//   - Its clock stands still until a test moves it.
package hqtest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/hq"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// World is a store, an engine on it, and a service that asks them.
type World struct {
	TB     testing.TB
	Store  store.Store
	Engine *engine.Engine
	HQ     *hq.Service
	Pack   *pack.Pack
	Path   string

	now     atomic.Int64
	config  hq.Config
	address string // of its database; "" for the file at Path
}

// Secret is the secret of the service's cursors.
var Secret = []byte("0123456789abcdef0123456789abcdef") //nolint:gochecknoglobals // constant

// New returns a world with the Timpora pack. change may change what the service
// stands on.
func New(tb testing.TB, change func(*hq.Config)) *World {
	tb.Helper()
	return NewOn(tb, "", change)
}

// NewOn is New on a PostgreSQL database, or a file for "".
func NewOn(tb testing.TB, address string, change func(*hq.Config)) *World {
	tb.Helper()
	w := &World{TB: tb, Pack: pack.Timpora(), Path: filepath.Join(tb.TempDir(), "sambang.db"), address: address}
	w.now.Store(1_772_000_000_000)
	w.config = hq.Config{Secret: Secret, Pack: w.Pack, Now: w.Now, Audit: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&w.config)
	}
	w.Open()
	tb.Cleanup(func() { _ = w.Store.Close() })
	return w
}

// Open opens the store, the engine and the service, anew after a Close of the
// store.
func (w *World) Open() {
	w.TB.Helper()
	var err error
	if w.address != "" {
		w.Store, err = postgres.Open(w.TB.Context(), w.address, postgres.Options{})
	} else {
		w.Store, err = sqlite.Open(w.TB.Context(), w.Path, sqlite.Options{})
	}
	if err != nil {
		w.TB.Fatal(err)
	}
	seed := sha256.Sum256([]byte("receipts"))
	w.Engine = engine.New(engine.Config{
		Store: w.Store, ServerID: "srv-test", ReceiptKey: ed25519.NewKeyFromSeed(seed[:]), ReceiptKeyID: "rk-test",
		ProjectKey: Secret, Pack: w.Pack,
	})
	w.config.Store, w.config.Decisions = w.Store, w.Engine
	if w.HQ, err = hq.New(w.config); err != nil {
		w.TB.Fatal(err)
	}
}

// Now is the world's clock.
func (w *World) Now() time.Time { return time.UnixMilli(w.now.Load()) }

// Tick moves the clock and returns the time, in Unix milliseconds.
func (w *World) Tick(d time.Duration) int64 { return w.now.Add(d.Milliseconds()) }

// ID returns the record id of a number.
func ID(n int) syncproto.RecordID {
	sum := sha256.Sum256(fmt.Appendf(nil, "record %d", n))
	id := syncproto.RecordID(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x70, id[8]&0x3f|0x80
	return id
}

// Grant returns a grant; without classes of D, T and H.
func Grant(region string, classes ...syncproto.Class) syncproto.Grant {
	if len(classes) == 0 {
		classes = []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ}
	}
	return syncproto.Grant{Region: syncproto.Region(region), Classes: classes}
}

// Reader returns a reader with grants.
func Reader(grants ...syncproto.Grant) hq.Reader {
	return hq.Reader{ID: "hq-reader", Role: "admin", Agency: "imigrasi", Grants: grants}
}

// Device is a phone that keeps everything in memory. It is used by one
// goroutine.
type Device struct {
	ID string
	// Damage may change what is sent.
	Damage func(*wire.Open, []*wire.Batch)

	w       *World
	row     store.Device
	key     ed25519.PrivateKey
	nonce   [16]byte
	minter  syncproto.Minter
	records map[syncproto.RecordID]syncproto.Record
	order   []syncproto.RecordID
	acked   map[syncproto.RecordID]syncproto.VV
	past    []wire.PastWrite

	confirmed     uint64
	confirmedHead syncproto.Digest
	epoch         []byte
	requests      uint64
	scopes        map[syncproto.RecordID]syncproto.Scope // confirmed homes
}

// Device enrols a device of an officer of that name.
func (w *World) Device(name, agency string, grants ...syncproto.Grant) *Device {
	w.TB.Helper()
	seed := sha256.Sum256([]byte(name))
	d := &Device{
		ID: "dev-" + name, w: w, key: ed25519.NewKeyFromSeed(seed[:]),
		records: map[syncproto.RecordID]syncproto.Record{}, acked: map[syncproto.RecordID]syncproto.VV{}, scopes: map[syncproto.RecordID]syncproto.Scope{},
	}
	public := d.key.Public().(ed25519.PublicKey) //nolint:forcetypeassert // of Ed25519
	replica := syncproto.NewReplicaID(public, d.nonce)
	d.minter, d.confirmedHead = syncproto.NewMinter(replica, 0), syncproto.ChainStart(replica)
	d.row = store.Device{
		ID: d.ID, Name: "phone of " + name, Officer: "off-" + name, Agency: agency, Role: "officer", Algorithm: "EdDSA",
		PublicKey: public, Grants: grants, GrantsVersion: 1, EnrolledAt: w.now.Load(),
	}
	err := w.Store.Update(w.TB.Context(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		if err := tx.PutOfficer(store.Officer{ID: d.row.Officer, Name: "Officer " + name, Agency: agency, Role: "officer"}); err != nil {
			return nil, err
		}
		return nil, tx.PutDevice(d.row)
	}})
	if err != nil {
		w.TB.Fatal(err)
	}
	return d
}

// Create makes a record of a kind in a district, and its companions, as the
// pack splits the document.
func (d *Device) Create(n int, kind, district string, doc map[string]any) syncproto.RecordID {
	d.w.TB.Helper()
	id := ID(n)
	parts, err := d.w.Pack.Split(kind, doc, pack.ForRecord(id))
	if err != nil {
		d.w.TB.Fatal(err)
	}
	for _, p := range parts {
		scope, err := syncproto.NewScope(syncproto.Region(district), p.Class)
		if err != nil {
			d.w.TB.Fatal(err)
		}
		writes := []syncproto.Write{{Path: syncproto.PathKind, Value: syncproto.MustValue(kind)}, {Path: syncproto.PathScope, Value: syncproto.MustValue(string(scope))}}
		if p.Companion {
			writes = append(writes, syncproto.Write{Path: syncproto.PathOf, Value: syncproto.MustValue(id.String())})
		}
		d.Write(p.ID(id), append(writes, p.Writes...)...)
	}
	return id
}

// Set writes one value.
func (d *Device) Set(id syncproto.RecordID, path string, value any) {
	d.w.TB.Helper()
	d.Write(id, syncproto.Write{Path: path, Value: syncproto.MustValue(value)})
}

// Delete writes a tombstone.
func (d *Device) Delete(id syncproto.RecordID) {
	d.w.TB.Helper()
	d.Write(id, syncproto.Write{Path: syncproto.PathDel, Value: syncproto.Deletion{Deleted: true, Seen: d.records[id].Context()}.Value()})
}

// Move moves a record to another scope.
func (d *Device) Move(id syncproto.RecordID, scope string) {
	d.w.TB.Helper()
	d.Set(id, syncproto.PathScope, scope)
}

// Write makes local writes.
func (d *Device) Write(id syncproto.RecordID, writes ...syncproto.Write) {
	d.w.TB.Helper()
	rec, ok := d.records[id]
	if !ok {
		rec = syncproto.NewRecord(id)
		d.order = append(d.order, id)
	}
	next, m, _, over, err := d.minter.Write(rec, 0, d.w.now.Load(), writes...)
	if err != nil {
		d.w.TB.Fatal(err)
	}
	for _, o := range over {
		if s := o.Sibling; s.Dot.Replica == m.Replica() && s.Dot.N > d.confirmed {
			d.past = append(d.past, wire.PastWrite{
				Dot: s.Dot, Step: syncproto.Step(id, o.Path, s.Dot, s.HLC, s.Value), Scope: d.home(id, next), Record: id, Path: o.Path, HLC: s.HLC, Value: s.Value,
			})
		}
	}
	d.records[id], d.minter = next, m
}

func (d *Device) home(id syncproto.RecordID, rec syncproto.Record) syncproto.Scope {
	if s, ok := d.scopes[id]; ok {
		return s
	}
	return rec.Home()
}

// Take gives the device another's state of a record, as a pull would.
func (d *Device) Take(from *Device, id syncproto.RecordID) {
	d.w.TB.Helper()
	rec, ok := d.records[id]
	if !ok {
		rec = syncproto.NewRecord(id)
		d.order = append(d.order, id)
	}
	c, err := syncproto.Apply(rec, from.records[id].Full())
	if err != nil {
		d.w.TB.Fatal(err)
	}
	d.records[id] = c.Record
	d.acked[id] = d.acked[id].Join(from.acked[id])
	d.scopes[id] = from.scopes[id]
}

// Request returns what the device would send now.
func (d *Device) Request() (*wire.Open, []*wire.Batch) {
	d.requests++
	nonce := make([]byte, 16)
	binary.BigEndian.PutUint64(nonce, uint64(d.minter.Replica()))
	binary.BigEndian.PutUint64(nonce[8:], d.requests)
	head := d.minter.Head()
	open := &wire.Open{
		Version: wire.Version, Nonce: nonce, Epoch: d.epoch, GrantsVersion: 1, App: "hqtest/1",
		Claims: []*wire.Claim{{
			Replica: uint64(d.minter.Replica()), KeyNonce: d.nonce[:], N: d.minter.N(), Head: head[:],
			ConfirmedN: d.confirmed, ConfirmedHead: d.confirmedHead[:],
		}},
	}
	enc := wire.NewEncoder(syncproto.HLCFromMillis(d.w.now.Load()))
	b := &wire.Batch{}
	for _, id := range d.order {
		if rec := d.records[id]; !rec.Context().LessEq(d.acked[id]) {
			b.Items = append(b.Items, &wire.Item{Scope: enc.Scope(d.home(id, rec)), Delta: enc.Delta(rec.Delta(d.acked[id]))})
		}
	}
	for _, p := range d.past {
		b.History = append(b.History, enc.History(p))
	}
	b.Tables = enc.Tables()
	var batches []*wire.Batch
	if len(b.Items)+len(b.History) > 0 {
		batches = append(batches, b)
	}
	if d.Damage != nil {
		d.Damage(open, batches)
	}
	open.ClaimSignature = ed25519.Sign(d.key, wire.ClaimBytes(d.ID, open.Nonce, open.Epoch, open.Claims))
	return open, batches
}

// Sync pushes what is new; all of it counts as acknowledged. It returns an
// error and no fatal failure, so that any goroutine may call it.
func (d *Device) Sync() error {
	sent := map[syncproto.RecordID]syncproto.Record{}
	for id, rec := range d.records {
		sent[id] = rec
	}
	n, head := d.minter.N(), d.minter.Head()
	open, batches := d.Request()
	next := func() (*wire.Batch, error) {
		if len(batches) == 0 {
			return nil, io.EOF
		}
		b := batches[0]
		batches = batches[1:]
		return b, nil
	}
	_, err := d.w.Engine.Sync(d.w.TB.Context(), d.row, d.w.now.Add(1), open, next, func(f *wire.ResponseFrame) error {
		if begin := f.GetBegin(); begin != nil {
			if begin.GetStatus() != wire.Status_STATUS_OK {
				return fmt.Errorf("exchange refused: %s", begin.GetStatus())
			}
			d.epoch = begin.GetEpoch()
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, rec := range sent {
		d.acked[id] = rec.Context()
		d.scopes[id] = rec.Home()
	}
	d.confirmed, d.confirmedHead, d.past = n, head, nil
	d.w.HQ.Wake()
	return nil
}

// MustSync is Sync for the test's own goroutine.
func (d *Device) MustSync() {
	d.w.TB.Helper()
	if err := d.Sync(); err != nil {
		d.w.TB.Fatal(err)
	}
}

// Lines collects a stream. It is a Sink, safe for one writer and any readers.
type Lines struct {
	mu  sync.Mutex
	all []hq.Line
	// Fail makes Send fail after so many lines, as a cut connection would; 0
	// means never.
	Fail int
	// Got is called with each line, if set.
	Got func(hq.Line)
}

// Send implements hq.Sink.
func (l *Lines) Send(line hq.Line) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Fail > 0 && len(l.all) >= l.Fail {
		return io.ErrClosedPipe
	}
	l.all = append(l.all, line)
	if l.Got != nil {
		l.Got(line)
	}
	return nil
}

// Flush implements hq.Sink.
func (l *Lines) Flush() error { return nil }

// All returns what came so far.
func (l *Lines) All() []hq.Line {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]hq.Line(nil), l.all...)
}

// Cursor returns the last cursor that came.
func (l *Lines) Cursor() (cursor string) {
	for _, x := range l.All() {
		if x.Cursor != "" {
			cursor = x.Cursor
		}
	}
	return cursor
}
