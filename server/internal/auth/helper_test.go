package auth_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/sqlite"
	"github.com/sambang-id/sambang/syncproto"
)

// now is the time of all tests that do not say another.
var now = time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)

var district = syncproto.Grants{{Region: "35.24.14", Classes: []syncproto.Class{"D", "T"}}}

// office is a server's registry with one officer.
type office struct {
	t        testing.TB
	store    store.Store
	identity *auth.Identity
	enroller *auth.Enroller
}

func newOffice(t testing.TB) *office {
	t.Helper()
	dir := t.TempDir()
	s, err := sqlite.Open(context.Background(), filepath.Join(dir, "store.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	id, err := auth.OpenIdentity(dir, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	o := &office{t: t, store: s, identity: id, enroller: &auth.Enroller{Store: s, Identity: id}}
	o.put(store.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi", Role: "officer"})
	return o
}

func (o *office) registry(do func(tx store.Tx) error) {
	o.t.Helper()
	err := o.store.Update(context.Background(), store.Step{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) { return nil, do(tx) }})
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) put(x store.Officer) {
	o.t.Helper()
	o.registry(func(tx store.Tx) error { return tx.PutOfficer(x) })
}

func (o *office) change(device string, edit func(*store.Device)) {
	o.t.Helper()
	o.registry(func(tx store.Tx) error {
		d, err := tx.Device(device)
		if err != nil {
			return err
		}
		edit(&d)
		return tx.PutDevice(d)
	})
}

func (o *office) code() string {
	o.t.Helper()
	p, err := auth.CreateCode(context.Background(), o.store, rand.Reader, auth.NewCode{URL: "https://sync.example.go.id", Officer: "budi", Grants: district}, now.UnixMilli())
	if err != nil {
		o.t.Fatal(err)
	}
	return p.String()
}

// redeem redeems a body as the HTTP layer would.
func (o *office) redeem(body map[string]any, at time.Time) (auth.EnrolReply, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return auth.EnrolReply{}, err
	}
	r, err := auth.ParseEnrolRequest(text)
	if err != nil {
		return auth.EnrolReply{}, err
	}
	return o.enroller.Redeem(context.Background(), r, at.UnixMilli())
}

func (o *office) enrol(algorithm string) *authtest.Device {
	o.t.Helper()
	d := authtest.NewDevice(algorithm)
	r, err := o.redeem(d.EnrolBody(o.code(), "HP uji"), now)
	if err != nil {
		o.t.Fatal(err)
	}
	d.Server = r.ServerID
	return d
}

func (o *office) verifier() *auth.DeviceVerifier {
	return auth.NewDeviceVerifier(o.store, o.identity.ServerID, now.Add(-time.Hour))
}

func wantCode(t testing.TB, err error, want syncproto.Code) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want code %s", err, want)
	}
}
