package engine_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"crypto/ed25519"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/engine"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// TestGoldenVectors plays every golden exchange, with what happened before it,
// against this engine on a real store: its replies must mean what SPEC.md's
// examples say.
func TestGoldenVectors(t *testing.T) {
	world, err := vectors.Load[vectors.World]("world.json")
	if err != nil {
		t.Fatal(err)
	}
	exchanges, err := vectors.LoadAll[vectors.Exchange]("exchanges")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range exchanges {
		t.Run(x.Name, func(t *testing.T) {
			v := newVectorSite(t, world)
			for _, name := range x.Before {
				v.happen(name)
			}
			v.play(x, true)
			err := v.engine.Check(t.Context(), func(problem string) { t.Errorf("check: %s", problem) })
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// vectorSite is the server of the vectors' world.
type vectorSite struct {
	t         *testing.T
	world     vectors.World
	names     vectors.Names
	store     store.Store
	engine    *engine.Engine
	witnesses map[string]*wire.Witness
}

func newVectorSite(t *testing.T, world vectors.World) *vectorSite {
	t.Helper()
	v := &vectorSite{t: t, world: world, witnesses: map[string]*wire.Witness{}}
	names, err := world.Names()
	v.must(err)
	v.names = names
	v.store = newPlace(t).open(t)
	t.Cleanup(func() { v.store.Close() })
	v.engine = engine.New(engine.Config{
		Store: v.store, ServerID: world.Server.ID, ReceiptKeyID: world.Server.ReceiptKeyID, ProjectKey: v.bytes(world.Server.ProjectKey),
		ReceiptKey: ed25519.NewKeyFromSeed(v.bytes(world.Server.ReceiptSeed)), Rand: seeded{rand.New(rand.NewPCG(5, 6))},
	})
	v.must(v.store.Update(t.Context(),
		store.Step{Scopes: []string{store.EpochScope}, Do: func(tx store.Tx) ([]store.Step, error) {
			_, err := tx.SetEpoch([16]byte{}, store.Epoch{ID: [16]byte(v.bytes(world.Server.Epoch))})
			return nil, err
		}},
		store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
			for _, d := range world.Devices {
				if err := tx.PutOfficer(store.Officer{ID: d.Officer, Name: d.Officer, Agency: d.Agency, Role: "officer"}); err != nil {
					return nil, err
				}
				if err := tx.PutDevice(v.device(d)); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}}))
	return v
}

func (v *vectorSite) device(d vectors.Device) store.Device {
	row := store.Device{
		ID: d.ID, Name: d.Name, Officer: d.Officer, Agency: d.Agency, Role: "officer", Algorithm: "EdDSA",
		PublicKey: v.bytes(d.PublicKey), GrantsVersion: d.GrantsVersion,
	}
	for _, g := range d.Grants {
		grant := syncproto.Grant{Region: syncproto.Region(g.Region)}
		for _, c := range g.Classes {
			grant.Classes = append(grant.Classes, syncproto.Class(c))
		}
		row.Grants = append(row.Grants, grant)
	}
	return row
}

// happen plays an exchange or an action that comes before.
func (v *vectorSite) happen(name string) {
	v.t.Helper()
	if a, err := vectors.Load[vectors.Action]("actions/" + name + ".json"); err == nil {
		switch a.Do {
		case "purge":
			id, err := syncproto.ParseRecordID(a.Record)
			v.must(err)
			v.must(v.engine.Purge(v.t.Context(), engine.Actor{ID: "hq"}, id, a.Reason, a.Now))
		case "epoch":
			v.must(v.engine.BeginEpoch(v.t.Context(), a.Now))
		}
		return
	}
	x, err := vectors.Load[vectors.Exchange]("exchanges/" + name + ".json")
	v.must(err)
	v.play(x, false)
}

func (v *vectorSite) play(x vectors.Exchange, compare bool) {
	v.t.Helper()
	r := wire.NewFrameReader(hex.NewDecoder(strings.NewReader(x.Request.Protobuf)), wire.Protobuf)
	first, err := r.Request()
	v.must(err)
	open := first.GetOpen()
	if open.GetWitness() != nil {
		open.Witness = v.witnesses[x.Device] // each server draws its own stamps
	}
	next := func() (*wire.Batch, error) {
		f, err := r.Request()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		return f.GetBatch(), err
	}
	var device store.Device
	for _, d := range v.world.Devices {
		if d.Name == x.Device {
			device = v.device(d)
		}
	}
	var frames []*wire.ResponseFrame
	_, err = v.engine.Sync(v.t.Context(), device, x.Now, open, next, func(f *wire.ResponseFrame) error {
		frames = append(frames, f)
		return nil
	})
	if string(syncproto.CodeOf(err)) != x.Refused {
		v.t.Fatalf("%s: refused with %v, want %q", x.Name, err, x.Refused)
	}
	if x.Refused != "" {
		return
	}
	if w := frames[0].GetBegin().GetWitness(); w != nil {
		v.witnesses[x.Device] = w
	}
	if !compare {
		return
	}
	got, err := v.names.Reply(frames, v.bytes(v.world.Server.ReceiptKey))
	v.must(err)
	want := x.Reply
	if want.Status == wire.Status_STATUS_EPOCH.String() {
		want.Epoch = got.Epoch // drawn by each server
	}
	if diff := cmp.Diff(v.text(want), v.text(got)); diff != "" {
		v.t.Errorf("reply (-want +got):\n%s", diff)
	}
}

func (v *vectorSite) text(x any) any {
	v.t.Helper()
	b, err := json.Marshal(x)
	v.must(err)
	var out any
	v.must(json.Unmarshal(b, &out))
	return out
}

func (v *vectorSite) bytes(s string) []byte {
	v.t.Helper()
	b, err := hex.DecodeString(s)
	v.must(err)
	return b
}

func (v *vectorSite) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}
