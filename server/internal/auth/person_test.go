package auth_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func siti() auth.Person {
	return auth.Person{Subject: "siti", Role: auth.Viewer, Agency: "imigrasi", Regions: []syncproto.Region{"35.24", "35.25.01"}, Classes: []syncproto.Class{"D", "H"}}
}

func newIdentity(t *testing.T) *auth.Identity {
	t.Helper()
	id, err := auth.OpenIdentity(t.TempDir(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestPersonTokenNamesThePerson(t *testing.T) {
	id := newIdentity(t)
	token, err := id.IssuePersonToken(siti(), time.Hour, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	want := siti()
	want.Expires = now.Add(time.Hour).Unix()
	got, err := id.VerifyPerson(token, now)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v -want +got\n%s", err, diff)
	}
	if g := got.Grants(); !g.MayRead("35.24.14/H", 0) || g.MayRead("35.24.14/T", 0) || g.MayRead("35.25.02", 0) {
		t.Errorf("grants %v", g)
	}
	_, err = id.VerifyPerson(token, now.Add(time.Hour+31*time.Second))
	wantCode(t, err, syncproto.CodeTokenExpired)
	_, err = newIdentity(t).VerifyPerson(token, now)
	wantCode(t, err, syncproto.CodeTokenInvalid)
}

func TestPersonTokenIsRefused(t *testing.T) {
	id := newIdentity(t)
	token, err := id.IssuePersonToken(siti(), time.Hour, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	part := func(i int) map[string]any {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		var m map[string]any
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	sign := func(key ed25519.PrivateKey, headerEdit, claimEdit map[string]any) string {
		h, c := part(0), part(1)
		for m, edit := range map[*map[string]any]map[string]any{&h: headerEdit, &c: claimEdit} {
			for k, v := range edit {
				if (*m)[k] = v; v == nil {
					delete(*m, k)
				}
			}
		}
		hb, _ := json.Marshal(h)
		cb, _ := json.Marshal(c)
		signed := authtest.B64(hb) + "." + authtest.B64(cb)
		return signed + "." + authtest.B64(ed25519.Sign(key, []byte(signed)))
	}
	if _, err := id.VerifyPerson(sign(id.TokenKey, nil, nil), now); err != nil {
		t.Fatalf("the helper's token: %v", err)
	}
	type edit = map[string]any
	for name, c := range map[string]struct {
		token string
		want  syncproto.Code
	}{
		"signed by the receipt key": {sign(id.ReceiptKey, nil, nil), syncproto.CodeTokenInvalid},
		"another typ":               {sign(id.TokenKey, edit{"typ": "JWT"}, nil), syncproto.CodeTokenInvalid},
		"a device's typ":            {sign(id.TokenKey, edit{"typ": auth.DeviceTokenType}, nil), syncproto.CodeTokenInvalid},
		"another kid":               {sign(id.TokenKey, edit{"kid": "tk-aaaaaaaa"}, nil), syncproto.CodeTokenInvalid},
		"a header parameter more":   {sign(id.TokenKey, edit{"jwk": "x"}, nil), syncproto.CodeTokenInvalid},
		"another aud":               {sign(id.TokenKey, nil, edit{"aud": "srv-aaaaaaaaaaaaaaaa"}), syncproto.CodeWrongServer},
		"no aud":                    {sign(id.TokenKey, nil, edit{"aud": nil}), syncproto.CodeTokenInvalid},
		"another iss":               {sign(id.TokenKey, nil, edit{"iss": "srv-aaaaaaaaaaaaaaaa"}), syncproto.CodeTokenInvalid},
		"no exp":                    {sign(id.TokenKey, nil, edit{"exp": nil}), syncproto.CodeTokenInvalid},
		"issued in the future":      {sign(id.TokenKey, nil, edit{"iat": now.Add(time.Hour).Unix()}), syncproto.CodeTokenInvalid},
		"an unknown role":           {sign(id.TokenKey, nil, edit{"role": "root"}), syncproto.CodeTokenInvalid},
		"no role":                   {sign(id.TokenKey, nil, edit{"role": nil}), syncproto.CodeTokenInvalid},
		"no region":                 {sign(id.TokenKey, nil, edit{"regions": []string{}}), syncproto.CodeTokenInvalid},
		"a region that is none":     {sign(id.TokenKey, nil, edit{"regions": []string{""}}), syncproto.CodeTokenInvalid},
		"a class that is none":      {sign(id.TokenKey, nil, edit{"classes": []string{"X"}}), syncproto.CodeTokenInvalid},
		"nobody":                    {sign(id.TokenKey, nil, edit{"sub": ""}), syncproto.CodeTokenInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := id.VerifyPerson(c.token, now)
			wantCode(t, err, c.want)
		})
	}
	for i := range len(token) {
		for _, c := range []byte{token[i] ^ 1, token[i] ^ 0x20, 'A', '='} {
			if c != token[i] {
				if _, err := id.VerifyPerson(token[:i]+string([]byte{c})+token[i+1:], now); err == nil {
					t.Errorf("byte %d as %q passes", i, c)
				}
			}
		}
	}
}

func TestPersonTokenIsIssuedWithinLimits(t *testing.T) {
	id := newIdentity(t)
	for name, c := range map[string]struct {
		edit func(*auth.Person)
		life time.Duration
	}{
		"too long":  {func(*auth.Person) {}, auth.MaxPersonLife + 1},
		"no time":   {func(*auth.Person) {}, 0},
		"no role":   {func(p *auth.Person) { p.Role = "" }, time.Hour},
		"no region": {func(p *auth.Person) { p.Regions = nil }, time.Hour},
		"no class":  {func(p *auth.Person) { p.Classes = nil }, time.Hour},
		"no name":   {func(p *auth.Person) { p.Subject = "" }, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			p := siti()
			c.edit(&p)
			if _, err := id.IssuePersonToken(p, c.life, now, rand.Reader); err == nil {
				t.Error("issued")
			}
		})
	}
}

// Every cell of role and action is written down here, so that a new action
// needs a decision.
func TestAccessMatrix(t *testing.T) {
	const no, yes = false, true
	matrix := map[auth.Action][3]bool{ // viewer, operator, admin
		auth.Public:        {no, no, no}, // reached without a role
		auth.Sync:          {no, no, no}, // of devices alone
		auth.ReadLog:       {yes, yes, yes},
		auth.ReadDevices:   {no, yes, yes},
		auth.DecideInbox:   {no, yes, yes},
		auth.ManageDevices: {no, no, yes},
		auth.PurgeRecords:  {no, no, yes},
	}
	if len(matrix) != len(auth.Actions()) {
		t.Errorf("%d rows, %d actions", len(matrix), len(auth.Actions()))
	}
	for _, a := range auth.Actions() {
		for i, r := range auth.Roles() {
			if r.Can(a) != matrix[a][i] {
				t.Errorf("%s may %s: %v", r, a, r.Can(a))
			}
		}
		for _, r := range []auth.Role{"", "root", "Admin", "officer"} {
			if r.Can(a) {
				t.Errorf("role %q may %s", r, a)
			}
		}
	}
	if auth.Admin.Can("records.invent") {
		t.Error("an action without a rule is allowed")
	}
}

func TestWipeOrderIsSignedForOneDevice(t *testing.T) {
	id := newIdentity(t)
	if o, err := id.WipeOrder(store.Device{ID: "dev-x", RevokedAt: 1}); o != nil || err != nil {
		t.Errorf("order without wish: %v, %v", o, err)
	}
	if o, err := id.WipeOrder(store.Device{ID: "dev-x", Wipe: true}); o != nil || err != nil {
		t.Errorf("order to a device that was not revoked: %v, %v", o, err)
	}
	o, err := id.WipeOrder(store.Device{ID: "dev-x", RevokedAt: 1_700_000_000_000, Wipe: true})
	if err != nil || o == nil {
		t.Fatal(o, err)
	}
	body, _ := base64.RawURLEncoding.DecodeString(o.Body)
	sig, _ := base64.RawURLEncoding.DecodeString(o.Signature)
	public, _ := base64.RawURLEncoding.DecodeString(id.ReceiptKeys()[0].PublicKey)
	if !ed25519.Verify(public, append([]byte("sambang-wipe"), body...), sig) || o.Key != id.ReceiptKeys()[0].ID {
		t.Error("the signature does not fit")
	}
	if want := `{"device":"dev-x","server":"` + id.ServerID + `","revoked_at":1700000000000}`; string(body) != want {
		t.Errorf("body %s", body)
	}
}
