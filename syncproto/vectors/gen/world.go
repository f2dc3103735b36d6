package gen

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// start is when the scenarios begin: 2026-03-10 09:42:10 in Surabaya.
const start = 1_773_110_530_000

// world is one scenario as it is played.
type world struct {
	now       int64
	server    *server
	devices   map[string]*device
	names     vectors.Names
	happened  []string
	exchanges []vectors.Exchange
	actions   []vectors.Action
}

func newWorld() *world {
	w := &world{now: start, server: newServer(), devices: map[string]*device{}, names: vectors.Names{}}
	w.device("A", "ptg-imi-07", "imigrasi", syncproto.Grant{Region: "35.24.14", Classes: []syncproto.Class{"D", "T"}})
	w.device("B", "ptg-dis-02", "disnaker", syncproto.Grant{Region: "35.24", Classes: []syncproto.Class{"D"}})
	return w
}

func (w *world) device(name, officer, agency string, grants ...syncproto.Grant) {
	d := newDevice(name, officer, agency, grants)
	w.devices[name] = d
	w.names[d.minter.Replica()] = name
	w.server.devices[d.id] = d
}

func (w *world) describe() vectors.World {
	s := w.server
	out := vectors.World{
		Says: "What the scenarios have in common. Byte strings are in hexadecimal. B, of another agency, sees the whole regency, but only class D.",
		Server: vectors.Server{
			ID: s.id, Epoch: hex.EncodeToString(s.epoch), ReceiptKeyID: s.keyID,
			ReceiptSeed: hex.EncodeToString(s.key.Seed()), ReceiptKey: hex.EncodeToString(public(s.key)), ProjectKey: hex.EncodeToString(s.projectKey),
		},
	}
	for _, name := range []string{"A", "B"} {
		d := w.devices[name]
		row := vectors.Device{
			Name: name, ID: d.id, Seed: hex.EncodeToString(d.key.Seed()), PublicKey: hex.EncodeToString(public(d.key)),
			KeyNonce: hex.EncodeToString(d.keyNonce[:]), Replica: d.minter.Replica().String(), Officer: d.officer, Agency: d.agency, GrantsVersion: 1,
		}
		for _, g := range d.grants {
			row.Grants = append(row.Grants, grantOf(g))
		}
		out.Devices = append(out.Devices, row)
	}
	return out
}

func grantOf(g syncproto.Grant) vectors.Grant {
	out := vectors.Grant{Region: string(g.Region)}
	for _, c := range g.Classes {
		out.Classes = append(out.Classes, string(c))
	}
	return out
}

func public(k ed25519.PrivateKey) ed25519.PublicKey {
	p, _ := k.Public().(ed25519.PublicKey)
	return p
}

// exchange plays one exchange and writes it down. spoil may change what the
// device sends.
func (w *world) exchange(name, device, says string, spoil ...func(open *wire.Open, batches []*wire.Batch)) {
	w.now += 60_000
	d := w.devices[device]
	d.now = w.now
	open, batches := d.request()
	for _, f := range spoil {
		f(open, batches)
	}
	d.sign(open)
	frames := []*wire.RequestFrame{{Frame: &wire.RequestFrame_Open{Open: open}}}
	for _, b := range batches {
		frames = append(frames, &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}})
	}
	x := vectors.Exchange{Name: name, Says: says, Device: device, Now: w.now, Before: w.happened, Request: w.request(frames)}
	for _, b := range batches {
		items, err := w.names.Items(b)
		check(err)
		x.Items = append(x.Items, items...)
		past, err := w.names.Past(b)
		check(err)
		x.History = append(x.History, past...)
	}
	response, err := w.server.answer(d, w.now, open, batches)
	if err != nil {
		x.Refused = string(syncproto.CodeOf(err))
	} else {
		m := w.response(response)
		x.Response = &m
		x.Reply, err = w.names.Reply(response, public(w.server.key))
		check(err)
		d.take(response)
	}
	w.exchanges = append(w.exchanges, x)
	w.happened = append(w.happened[:len(w.happened):len(w.happened)], name)
}

// action plays something that happens on the server.
func (w *world) action(a vectors.Action) {
	w.now += 60_000
	a.Now = w.now
	switch a.Do {
	case "purge":
		id, err := syncproto.ParseRecordID(a.Record)
		check(err)
		w.server.purge(id, a.Reason, w.now)
	case "epoch":
		w.server.epoch = named(16, "second epoch")
	}
	w.actions = append(w.actions, a)
	w.happened = append(w.happened[:len(w.happened):len(w.happened)], a.Name)
}

// request writes a request down and reads it again: what is described is what
// was sent.
func (w *world) request(frames []*wire.RequestFrame) vectors.Message {
	var m vectors.Message
	var raw bytes.Buffer
	for _, f := range frames {
		check(wire.NewFrameWriter(&raw, wire.Protobuf).Request(f))
		m.Frames = append(m.Frames, line(func(out io.Writer) error { return wire.NewFrameWriter(out, wire.JSON).Request(f) }))
	}
	m.Protobuf = hex.EncodeToString(raw.Bytes())
	r := wire.NewFrameReader(&raw, wire.Protobuf)
	for _, f := range frames {
		again, err := r.Request()
		check(err)
		if !proto.Equal(f, again) {
			panic("a frame reads as another one")
		}
	}
	return m
}

func (w *world) response(frames []*wire.ResponseFrame) vectors.Message {
	var m vectors.Message
	var raw bytes.Buffer
	for _, f := range frames {
		check(wire.NewFrameWriter(&raw, wire.Protobuf).Response(f))
		m.Frames = append(m.Frames, line(func(out io.Writer) error { return wire.NewFrameWriter(out, wire.JSON).Response(f) }))
	}
	m.Protobuf = hex.EncodeToString(raw.Bytes())
	return m
}

func line(write func(io.Writer) error) json.RawMessage {
	var out bytes.Buffer
	check(write(&out))
	return bytes.TrimSpace(out.Bytes())
}

// check stops the making of the vectors: there is nobody to answer to.
func check(err error) {
	if err != nil {
		panic(fmt.Errorf("make vectors: %w", errors.Join(err)))
	}
}
