package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func TestEnrolmentMakesADevice(t *testing.T) {
	for _, algorithm := range []string{"EdDSA", "ES256"} {
		t.Run(algorithm, func(t *testing.T) {
			o := newOffice(t)
			d := authtest.NewDevice(algorithm)
			got, err := o.redeem(d.EnrolBody(o.code(), "HP uji"), now)
			if err != nil {
				t.Fatal(err)
			}
			key, err := syncproto.DeriveRegionKey(o.identity.ProjectKey, "35.24.14")
			if err != nil {
				t.Fatal(err)
			}
			want := auth.EnrolReply{
				Device: d.ID, ServerID: o.identity.ServerID, ReceiptKeys: o.identity.ReceiptKeys(),
				Officer: "budi", OfficerName: "Budi Rekaan", Agency: "imigrasi", Role: "officer", GrantsVersion: 1,
				Grants:     []auth.EnrolGrant{{Region: "35.24.14", Classes: []syncproto.Class{"D", "T"}, Key: authtest.B64(key[:])}},
				ServerTime: now.UnixMilli(),
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			d.Server = got.ServerID
			caller, err := o.verifier().Verify(context.Background(), d.Token(now), now)
			if err != nil || caller.Device.ID != d.ID || caller.Device.Algorithm != algorithm || caller.Officer.ID != "budi" {
				t.Errorf("its token: %+v, %v", caller, err)
			}
		})
	}
}

func TestCodeIsUsedOnceAmong200(t *testing.T) {
	o := newOffice(t)
	code := o.code()
	var won atomic.Int32
	var wait sync.WaitGroup
	for range 200 {
		wait.Go(func() {
			d := authtest.NewDevice("EdDSA")
			switch _, err := o.redeem(d.EnrolBody(code, "HP uji"), now); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, syncproto.CodeEnrolmentUsed):
				t.Errorf("lost with %v", err)
			}
		})
	}
	wait.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 200 redemptions succeeded, want 1", won.Load())
	}
}

func TestLostAnswerIsGivenAgainToTheSameKey(t *testing.T) {
	o := newOffice(t)
	d := authtest.NewDevice("EdDSA")
	code := o.code()
	first, err := o.redeem(d.EnrolBody(code, "HP uji"), now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := o.redeem(d.EnrolBody(code, "HP uji"), now.Add(time.Minute))
	if err != nil || again.Device != first.Device || again.GrantsVersion != 1 {
		t.Errorf("again: %+v, %v", again, err)
	}
	_, err = o.redeem(d.EnrolBody(code, "HP uji"), now.Add(auth.CodeLife))
	wantCode(t, err, syncproto.CodeEnrolmentUsed)
	o.change(d.ID, func(d *store.Device) { d.RevokedAt = now.UnixMilli() })
	_, err = o.redeem(d.EnrolBody(code, "HP uji"), now.Add(time.Minute))
	wantCode(t, err, syncproto.CodeDeviceRevoked)
}

func TestCodeEndsInTime(t *testing.T) {
	o := newOffice(t)
	end := now.Add(auth.CodeLife)
	_, err := o.redeem(authtest.NewDevice("EdDSA").EnrolBody(o.code(), "HP uji"), end)
	wantCode(t, err, syncproto.CodeEnrolmentExpired)
	_, err = o.redeem(authtest.NewDevice("EdDSA").EnrolBody(o.code(), "HP uji"), end.Add(time.Second))
	wantCode(t, err, syncproto.CodeEnrolmentExpired)
	if _, err = o.redeem(authtest.NewDevice("EdDSA").EnrolBody(o.code(), "HP uji"), end.Add(-time.Millisecond)); err != nil {
		t.Errorf("a millisecond before its end: %v", err)
	}
}

func TestRefusedEnrolmentLeavesTheCodeUnused(t *testing.T) {
	o := newOffice(t)
	code := o.code()
	d, other := authtest.NewDevice("EdDSA"), authtest.NewDevice("EdDSA")
	good := d.EnrolBody(code, "HP uji")
	with := func(member string, value any) map[string]any {
		b := maps.Clone(good)
		b[member] = value
		return b
	}
	signed := func(member string, value any) map[string]any { return d.Prove(with(member, value)) }
	identityPoint := make([]byte, 32)
	identityPoint[0] = 1
	for _, c := range []struct {
		name string
		body map[string]any
		want syncproto.Code
	}{
		{"an unknown code", signed("enrolment", "abcdefghijklmnop"), syncproto.CodeEnrolmentInvalid},
		{"a wrong secret", signed("secret", authtest.B64(make([]byte, 16))), syncproto.CodeEnrolmentInvalid},
		{"a short secret", signed("secret", "AAAA"), syncproto.CodeEnrolmentInvalid},
		{"a code of another form", signed("enrolment", "../../etc"), syncproto.CodeEnrolmentInvalid},
		{"no proof", with("proof", ""), syncproto.CodeEnrolmentInvalid},
		{"a proof by another key", with("proof", other.EnrolBody(code, "HP uji")["proof"]), syncproto.CodeEnrolmentInvalid},
		{"a proof for another name", with("device_name", "HP lain"), syncproto.CodeEnrolmentInvalid},
		{"a proof for another algorithm", with("algorithm", "ES256"), syncproto.CodeMalformed},
		{"no algorithm", signed("algorithm", "none"), syncproto.CodeMalformed},
		{"a symmetric algorithm", signed("algorithm", "HS256"), syncproto.CodeMalformed},
		{"a key that is too short", signed("public_key", "AAAA"), syncproto.CodeMalformed},
		{"a key that is none", signed("public_key", "!"), syncproto.CodeMalformed},
		{"a key of small order", signed("public_key", authtest.B64(identityPoint)), syncproto.CodeMalformed},
		{"a nonce of another length", signed("key_nonce", "AAAA"), syncproto.CodeMalformed},
		{"no name", signed("device_name", ""), syncproto.CodeMalformed},
		{"a name with a line break", signed("device_name", "a\nb"), syncproto.CodeMalformed},
		{"a name that turns the text around", signed("device_name", "a\u202eb"), syncproto.CodeMalformed},
		{"a name that is too long", signed("device_name", strings.Repeat("a", 65)), syncproto.CodeMalformed},
		{"a number as a name", with("device_name", 7), syncproto.CodeMalformed},
		{"an object as a key", with("public_key", map[string]any{"kty": "oct"}), syncproto.CodeMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := o.redeem(c.body, now)
			wantCode(t, err, c.want)
		})
	}
	if _, err := o.redeem(good, now); err != nil {
		t.Errorf("the code was spoilt: %v", err)
	}
}

// Who guesses must not learn whether a code exists.
func TestUnknownCodeAndWrongSecretLookAlike(t *testing.T) {
	o := newOffice(t)
	d := authtest.NewDevice("EdDSA")
	body := d.EnrolBody(o.code(), "HP uji")
	body["secret"] = authtest.B64(make([]byte, 16))
	_, wrong := o.redeem(d.Prove(body), now)
	body["enrolment"] = "abcdefghijklmnop"
	_, unknown := o.redeem(d.Prove(body), now)
	used := o.code()
	if _, err := o.redeem(authtest.NewDevice("EdDSA").EnrolBody(used, "HP uji"), now); err != nil {
		t.Fatal(err)
	}
	body = d.EnrolBody(used, "HP uji")
	body["secret"] = authtest.B64(make([]byte, 16))
	_, usedWrong := o.redeem(d.Prove(body), now)
	if wrong == nil || unknown == nil || usedWrong == nil || wrong.Error() != unknown.Error() || wrong.Error() != usedWrong.Error() {
		t.Errorf("wrong secret: %v\nunknown code: %v\nused code with a wrong secret: %v", wrong, unknown, usedWrong)
	}
}

func TestOneKeyIsOneDevice(t *testing.T) {
	o := newOffice(t)
	d := o.enrol("EdDSA")
	_, err := o.redeem(d.EnrolBody(o.code(), "HP uji"), now)
	wantCode(t, err, syncproto.CodeConflictingIdentity)
	o.change(d.ID, func(d *store.Device) { d.RevokedAt = now.UnixMilli() })
	_, err = o.redeem(d.EnrolBody(o.code(), "HP uji"), now)
	wantCode(t, err, syncproto.CodeConflictingIdentity)
}

func TestDisabledOfficerEnrolsNothing(t *testing.T) {
	o := newOffice(t)
	code := o.code()
	o.put(store.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi", Role: "officer", Disabled: true})
	_, err := o.redeem(authtest.NewDevice("EdDSA").EnrolBody(code, "HP uji"), now)
	wantCode(t, err, syncproto.CodeForbidden)
	n := auth.NewCode{URL: "https://a.example", Officer: "budi", Grants: district}
	_, err = auth.CreateCode(context.Background(), o.store, rand.Reader, n, now.UnixMilli())
	wantCode(t, err, syncproto.CodeForbidden)
	n.Officer = "siapa"
	_, err = auth.CreateCode(context.Background(), o.store, rand.Reader, n, now.UnixMilli())
	wantCode(t, err, syncproto.CodeNotFound)
}

// Each byte of a code counts: what is changed does not parse, or opens
// nothing, or leads to another address or certificate than the server's.
func TestEveryMutationOfACodeIsRefused(t *testing.T) {
	o := newOffice(t)
	p, err := auth.CreateCode(context.Background(), o.store, rand.Reader, auth.NewCode{
		URL: "https://sync.example.go.id", Pin: make([]byte, 32), Officer: "budi", Grants: district,
	}, now.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	code := p.String()
	d := authtest.NewDevice("EdDSA")
	tried, elsewhere := 0, 0
	for i := range len(code) {
		for _, c := range []byte{code[i] ^ 1, code[i] ^ 0x20, 'A', 'a', '2', '%', '&'} {
			if c == code[i] {
				continue
			}
			tried++
			mutant := code[:i] + string([]byte{c}) + code[i+1:]
			q, err := auth.ParsePayload(mutant)
			if err != nil {
				continue
			}
			if q.URL != p.URL || string(q.Pin) != string(p.Pin) {
				elsewhere++
				continue
			}
			if _, err := o.redeem(d.EnrolBody(mutant, "HP uji"), now); !errors.Is(err, syncproto.CodeEnrolmentInvalid) {
				t.Errorf("byte %d as %q: %v", i, c, err)
			}
		}
	}
	t.Logf("%d mutations, %d of them lead elsewhere", tried, elsewhere)
	if _, err := o.redeem(d.EnrolBody(code, "HP uji"), now); err != nil {
		t.Errorf("the code was spoilt: %v", err)
	}
}

func TestSecretIsNotStored(t *testing.T) {
	o := newOffice(t)
	p, err := auth.ParsePayload(o.code())
	if err != nil {
		t.Fatal(err)
	}
	o.registry(func(tx store.Tx) error {
		e, used, err := tx.UseEnrolment(p.Enrolment, "dev-x", now.UnixMilli())
		if err != nil || !used {
			t.Errorf("used %v, %v", used, err)
		}
		if e.SecretHash != sha256.Sum256(p.Secret) {
			t.Errorf("stored %s", hex.EncodeToString(e.SecretHash[:]))
		}
		return nil
	})
}

func TestEnrolmentBodyIsReadStrictly(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want syncproto.Code
	}{
		"empty":          {"", syncproto.CodeMalformed},
		"an array":       {"[]", syncproto.CodeMalformed},
		"two values":     {"{}{}", syncproto.CodeMalformed},
		"duplicate keys": {`{"secret":"a","secret":"b"}`, syncproto.CodeMalformed},
		"invalid UTF-8":  {"{\"secret\":\"\xff\"}", syncproto.CodeInvalidUTF8},
		"a lone half":    {`{"secret":"\ud800"}`, syncproto.CodeMalformed},
		"200 deep":       {strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), syncproto.CodeMalformed},
		"1e999":          {`{"x":1e999}`, syncproto.CodeMalformed},
		"too long":       {`{"x":"` + strings.Repeat("a", auth.MaxEnrolBody) + `"}`, syncproto.CodeTooLarge},
		"cut":            {`{"secret":"a`, syncproto.CodeMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := auth.ParseEnrolRequest([]byte(c.body))
			wantCode(t, err, c.want)
		})
	}
	if r, err := auth.ParseEnrolRequest([]byte(`{"secret":"a","of_a_later_version":{"x":[1]}}`)); err != nil || r.Secret != "a" {
		t.Errorf("a member of a later version: %+v, %v", r, err)
	}
}

func FuzzEnrolment(f *testing.F) {
	o := newOffice(f)
	d := authtest.NewDevice("EdDSA")
	body, err := json.Marshal(d.EnrolBody(o.code(), "HP uji"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte(`{"enrolment":"abcdefghijklmnop","secret":"AAECAwQFBgcICQoLDA0ODw"}`))
	f.Add([]byte(`{"secret":"\ud800"}`))
	e := &auth.Enroller{Store: closedStore{o.store}, Identity: o.identity}
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := auth.ParseEnrolRequest(body)
		if err != nil {
			return
		}
		_, err = e.Redeem(context.Background(), r, now.UnixMilli())
		if err == nil {
			t.Errorf("redeemed %q", body)
		}
		if errors.Is(err, errReached) && !proves(r) {
			t.Errorf("the proof does not fit, and reached the store: %q", body)
		}
	})
}

// proves checks a proof without the code under test.
func proves(r auth.EnrolRequest) bool {
	signed := authtest.Transcript(map[string]any{
		"enrolment": r.Enrolment, "secret": r.Secret, "algorithm": r.Algorithm, "public_key": r.PublicKey,
		"key_nonce": r.KeyNonce, "device_name": r.DeviceName,
	})
	key, err1 := base64.RawURLEncoding.DecodeString(r.PublicKey)
	proof, err2 := base64.RawURLEncoding.DecodeString(r.Proof)
	if err1 != nil || err2 != nil {
		return false
	}
	if r.Algorithm == "EdDSA" {
		return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, signed, proof)
	}
	public, err := x509.ParsePKIXPublicKey(key)
	p, ok := public.(*ecdsa.PublicKey)
	sum := sha256.Sum256(signed)
	return err == nil && ok && ecdsa.VerifyASN1(p, sum[:], proof)
}

var errReached = errors.New("the store was reached")

// closedStore refuses every update.
type closedStore struct{ store.Store }

func (closedStore) Update(context.Context, ...store.Step) error { return errReached }
