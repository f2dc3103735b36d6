package auth_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/auth"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
)

func TestTokenOpensOneRequest(t *testing.T) {
	for _, algorithm := range []string{"EdDSA", "ES256"} {
		t.Run(algorithm, func(t *testing.T) {
			o := newOffice(t)
			d, v := o.enrol(algorithm), o.verifier()
			token := d.Token(now)
			if c, err := v.Verify(context.Background(), token, now); err != nil || c.Device.ID != d.ID {
				t.Fatalf("%+v, %v", c, err)
			}
			for _, later := range []time.Duration{0, time.Second, 80 * time.Second} {
				_, err := v.Verify(context.Background(), token, now.Add(later))
				wantCode(t, err, syncproto.CodeTokenReplayed)
			}
			_, err := v.Verify(context.Background(), token, now.Add(91*time.Second))
			wantCode(t, err, syncproto.CodeTokenExpired)
			if _, err := v.Verify(context.Background(), d.Token(now), now); err != nil {
				t.Errorf("a new token: %v", err)
			}
		})
	}
}

func TestTokenUsedByManyAtOnceOpensOneRequest(t *testing.T) {
	o := newOffice(t)
	d, v := o.enrol("EdDSA"), o.verifier()
	token := d.Token(now)
	var won atomic.Int32
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			_, err := v.Verify(context.Background(), token, now)
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, syncproto.CodeTokenReplayed) {
				t.Errorf("lost with %v", err)
			}
		})
	}
	wait.Wait()
	if won.Load() != 1 {
		t.Errorf("%d of 64 uses passed", won.Load())
	}
}

func TestClockOfAToken(t *testing.T) {
	o := newOffice(t)
	d, v := o.enrol("EdDSA"), o.verifier()
	for _, c := range []struct {
		name     string
		iat, exp time.Duration // after now
		want     syncproto.Code
	}{
		{"right", 0, time.Minute, ""},
		{"59 s fast", 59 * time.Second, 119 * time.Second, ""},
		{"60 s fast", 60 * time.Second, 120 * time.Second, ""},
		{"61 s fast", 61 * time.Second, 121 * time.Second, syncproto.CodeClockSkew},
		{"60 s slow", -time.Minute, 0, ""},
		{"89 s slow, within the leeway", -89 * time.Second, -29 * time.Second, ""},
		{"90 s slow", -90 * time.Second, -30 * time.Second, syncproto.CodeTokenExpired},
		{"120 s slow", -120 * time.Second, 0, ""},
		{"121 s slow", -121 * time.Second, -time.Second, syncproto.CodeClockSkew},
		{"a day fast", 24 * time.Hour, 24*time.Hour + time.Minute, syncproto.CodeClockSkew},
		{"ten years slow", -87600 * time.Hour, -87600*time.Hour + time.Minute, syncproto.CodeClockSkew},
		{"valid for 120 s", 0, 120 * time.Second, ""},
		{"valid for 121 s", 0, 121 * time.Second, syncproto.CodeTokenInvalid},
		{"valid for no time", 0, 0, syncproto.CodeTokenInvalid},
		{"ends before it begins", 0, -time.Second, syncproto.CodeTokenInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims := d.Claims(now)
			claims["iat"], claims["exp"] = now.Add(c.iat).Unix(), now.Add(c.exp).Unix()
			_, err := v.Verify(context.Background(), d.Sign(d.Header(), claims), now)
			if c.want == "" && err != nil {
				t.Errorf("refused: %v", err)
			}
			if c.want != "" {
				wantCode(t, err, c.want)
			}
		})
	}
	// Phones that have lost their clock, and numbers that overflow.
	for _, year := range []int64{-315_619_200, 0, 946_684_800, 7_258_118_400, math.MaxInt64, math.MinInt64, math.MaxInt64 - 60} {
		claims := d.Claims(now)
		claims["iat"], claims["exp"] = year, year+60
		_, err := v.Verify(context.Background(), d.Sign(d.Header(), claims), now)
		wantCode(t, err, syncproto.CodeClockSkew)
	}
}

func TestHostileTokens(t *testing.T) {
	o := newOffice(t)
	d, es, other := o.enrol("EdDSA"), o.enrol("ES256"), o.enrol("EdDSA")
	stranger := authtest.NewDevice("EdDSA")
	stranger.Server = d.Server
	claim := func(k string, v any) map[string]any {
		c := d.Claims(now)
		if c[k] = v; v == nil {
			delete(c, k)
		}
		return c
	}
	header := func(k string, v any) map[string]any {
		h := d.Header()
		if h[k] = v; v == nil {
			delete(h, k)
		}
		return h
	}
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	unsigned := func(h map[string]any) string {
		return authtest.B64([]byte(text(h))) + "." + authtest.B64([]byte(text(d.Claims(now)))) + "."
	}
	// The classic: the public key as an HMAC secret.
	hs := authtest.B64([]byte(text(header("alg", "HS256")))) + "." + authtest.B64([]byte(text(d.Claims(now))))
	mac := hmac.New(sha256.New, d.Public)
	mac.Write([]byte(hs))
	good := d.Token(now)
	parts := strings.Split(good, ".")
	esToken := es.Token(now)
	esParts := strings.Split(esToken, ".")
	person, err := o.identity.IssuePersonToken(auth.Person{Subject: "siti", Role: auth.Admin, Regions: []syncproto.Region{"35"}, Classes: []syncproto.Class{"D"}}, time.Hour, now, other.Random)
	if err != nil {
		t.Fatal(err)
	}
	der := func() string {
		signed := esParts[0] + "." + esParts[1]
		sum := sha256.Sum256([]byte(signed))
		sig, err := ecdsa.SignASN1(es.Random, es.Key.(*ecdsa.PrivateKey), sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signed + "." + authtest.B64(sig)
	}
	const invalid = syncproto.CodeTokenInvalid
	cases := []struct {
		name, token string
		want        syncproto.Code
	}{
		{"empty", "", invalid},
		{"dots", "..", invalid},
		{"two parts", parts[0] + "." + parts[1], invalid},
		{"four parts", good + "." + parts[2], invalid},
		{"alg none", unsigned(header("alg", "none")), invalid},
		{"alg NONE", unsigned(header("alg", "NONE")), invalid},
		{"no alg", d.Sign(header("alg", nil), d.Claims(now)), invalid},
		{"alg is a number", d.Sign(header("alg", 1), d.Claims(now)), invalid},
		{"alg is another device's", d.Sign(header("alg", "ES256"), d.Claims(now)), invalid},
		{"alg RS256", d.Sign(header("alg", "RS256"), d.Claims(now)), invalid},
		{"public key as HMAC secret", hs + "." + authtest.B64(mac.Sum(nil)), invalid},
		{"no signature", parts[0] + "." + parts[1] + ".", invalid},
		{"another token's signature", parts[0] + "." + parts[1] + "." + strings.Split(d.Token(now), ".")[2], invalid},
		{"another device's key", other.Sign(d.Header(), d.Claims(now)), invalid},
		{"a P-256 device's key under an Ed25519 id", es.Sign(header("alg", "ES256"), d.Claims(now)), invalid},
		{"an Ed25519 device's key under a P-256 id", d.Sign(map[string]any{"typ": "sambang-device+jwt", "alg": "EdDSA", "kid": es.ID}, es.Claims(now)), invalid},
		{"a DER signature", der(), invalid},
		{"typ JWT", d.Sign(header("typ", "JWT"), d.Claims(now)), invalid},
		{"typ of people", d.Sign(header("typ", "sambang-hq+jwt"), d.Claims(now)), invalid},
		{"no typ", d.Sign(header("typ", nil), d.Claims(now)), invalid},
		{"a person's token", person, invalid},
		{"no kid", d.Sign(header("kid", nil), d.Claims(now)), invalid},
		{"kid is a list", d.Sign(header("kid", []string{d.ID}), d.Claims(now)), invalid},
		{"kid is a path", d.Sign(header("kid", "../../"+d.ID), d.Claims(now)), invalid},
		{"kid is SQL", d.Sign(header("kid", "dev-' OR 1=1 --"), d.Claims(now)), invalid},
		{"kid has a NUL", d.Sign(header("kid", d.ID+"\x00"), d.Claims(now)), invalid},
		{"key in the header", d.Sign(header("jwk", map[string]string{"kty": "OKP"}), d.Claims(now)), invalid},
		{"key by URL", d.Sign(header("jku", "https://evil.example"), d.Claims(now)), invalid},
		{"certificate in the header", d.Sign(header("x5c", []string{"AAAA"}), d.Claims(now)), invalid},
		{"critical extension", d.Sign(header("crit", []string{"exp"}), d.Claims(now)), invalid},
		{"unencoded payload", d.Sign(header("b64", false), d.Claims(now)), invalid},
		{"an unknown device", stranger.Token(now), syncproto.CodeDeviceUnknown},
		{"iss of another device", d.Sign(d.Header(), claim("iss", other.ID)), invalid},
		{"sub of another device", d.Sign(d.Header(), claim("sub", other.ID)), invalid},
		{"no iss", d.Sign(d.Header(), claim("iss", nil)), invalid},
		{"no aud", d.Sign(d.Header(), claim("aud", nil)), syncproto.CodeWrongServer},
		{"aud of another server", d.Sign(d.Header(), claim("aud", "srv-aaaaaaaaaaaaaaaa")), syncproto.CodeWrongServer},
		{"a list of servers", d.Sign(d.Header(), claim("aud", []string{d.Server, "srv-aaaaaaaaaaaaaaaa"})), invalid},
		{"no exp", d.Sign(d.Header(), claim("exp", nil)), invalid},
		{"no iat", d.Sign(d.Header(), claim("iat", nil)), invalid},
		{"exp is text", d.Sign(d.Header(), claim("exp", "never")), invalid},
		{"exp is a fraction", d.SignText(text(d.Header()), `{"exp":1e999}`), invalid},
		{"exp overflows", d.SignText(text(d.Header()), strings.Replace(text(d.Claims(now)), `"exp":`, `"exp":9223372036854775808,"x":`, 1)), invalid},
		{"no jti", d.Sign(d.Header(), claim("jti", nil)), invalid},
		{"a short jti", d.Sign(d.Header(), claim("jti", "1")), invalid},
		{"a long jti", d.Sign(d.Header(), claim("jti", strings.Repeat("a", 65))), invalid},
		{"a jti with a space", d.Sign(d.Header(), claim("jti", "aaaaaaaaaaaaaaa a")), invalid},
		{"claims are a list", d.SignText(text(d.Header()), "[]"), invalid},
		{"claims are null", d.SignText(text(d.Header()), "null"), invalid},
		{"header is null", d.SignText("null", text(d.Claims(now))), invalid},
		{"claims are 10,000 deep", d.SignText(text(d.Header()), strings.Repeat("[", 300)+strings.Repeat("]", 300)), invalid},
		{"claims are no UTF-8", d.SignText(text(d.Header()), "{\"iss\":\"\xff\"}"), invalid},
		{"padding", good + "=", invalid},
		{"standard base64", strings.Map(func(r rune) rune {
			return map[rune]rune{'-': '+', '_': '/'}[r] + r*b2r(r != '-' && r != '_')
		}, d.Sign(d.Header(), claim("jti", "????>>>>????>>>>"))), invalid},
		{"a line break", good[:20] + "\n" + good[20:], invalid},
		{"100 KB", parts[0] + "." + strings.Repeat("A", 100_000) + "." + parts[2], invalid},
		{"Bearer twice", "Bearer " + good, invalid},
	}
	if len(cases) < 16 {
		t.Fatalf("%d cases", len(cases))
	}
	v := o.verifier()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := v.Verify(context.Background(), c.token, now)
			wantCode(t, err, c.want)
		})
	}
	if _, err := v.Verify(context.Background(), good, now); err != nil {
		t.Errorf("the good token was spoilt by the others: %v", err)
	}
}

func b2r(b bool) rune {
	if b {
		return 1
	}
	return 0
}

func TestEveryMutationOfATokenIsRefused(t *testing.T) {
	for _, algorithm := range []string{"EdDSA", "ES256"} {
		t.Run(algorithm, func(t *testing.T) {
			o := newOffice(t)
			d, v := o.enrol(algorithm), o.verifier()
			token := d.Token(now)
			tried := 0
			for i := range len(token) {
				for _, c := range []byte{token[i] ^ 1, token[i] ^ 0x20, token[i] ^ 0x80, 'A', '.', '=', '\n'} {
					if c == token[i] {
						continue
					}
					tried++
					mutant := token[:i] + string([]byte{c}) + token[i+1:]
					if _, err := v.Verify(context.Background(), mutant, now); err == nil {
						t.Errorf("byte %d as %q passes", i, c)
					}
				}
				if _, err := v.Verify(context.Background(), token[:i], now); err == nil {
					t.Errorf("cut at %d passes", i)
				}
			}
			t.Logf("%d mutations of %d bytes", tried, len(token))
			if _, err := v.Verify(context.Background(), token, now); err != nil {
				t.Errorf("the token itself: %v", err)
			}
		})
	}
}

func TestRevocationHoldsAtTheNextRequest(t *testing.T) {
	o := newOffice(t)
	d, v := o.enrol("EdDSA"), o.verifier()
	if _, err := v.Verify(context.Background(), d.Token(now), now); err != nil {
		t.Fatal(err)
	}
	o.put(store.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi", Role: "officer", Disabled: true})
	_, err := v.Verify(context.Background(), d.Token(now), now)
	wantCode(t, err, syncproto.CodeForbidden)
	o.put(store.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi", Role: "officer"})
	o.change(d.ID, func(x *store.Device) { x.RevokedAt, x.Wipe = now.UnixMilli(), true })
	caller, err := v.Verify(context.Background(), d.Token(now), now)
	wantCode(t, err, syncproto.CodeDeviceRevoked)
	if caller.Device.ID != d.ID {
		t.Error("the caller of a revoked device is needed for its wipe order")
	}
	// Who does not have the key learns nothing of it.
	stranger := authtest.NewDevice("EdDSA")
	caller, err = v.Verify(context.Background(), stranger.Sign(d.Header(), d.Claims(now)), now)
	wantCode(t, err, syncproto.CodeTokenInvalid)
	if caller.Device.ID != "" {
		t.Error("a forged token gave a device")
	}
}

func TestTokenOlderThanTheProcessIsRefused(t *testing.T) {
	o := newOffice(t)
	d := o.enrol("EdDSA")
	v := auth.NewDeviceVerifier(o.store, o.identity.ServerID, now)
	for age, want := range map[time.Duration]syncproto.Code{
		6 * time.Second: syncproto.CodeTokenReplayed, 5 * time.Second: "", 0: "", -time.Second: "",
	} {
		_, err := v.Verify(context.Background(), d.Token(now.Add(-age)), now.Add(time.Second))
		if want == "" && err != nil {
			t.Errorf("%s old: %v", age, err)
		}
		if want != "" {
			wantCode(t, err, want)
		}
	}
}

// One device must not fill the memory of used tokens for the others, and no
// used token may be forgotten while it is valid.
// TestAClockThatWasSetBackLocksNobodyOut: a server that started with a clock
// three days ahead refused every token as older than itself when its clock was
// put right.
func TestAClockThatWasSetBackLocksNobodyOut(t *testing.T) {
	o := newOffice(t)
	d := o.enrol("EdDSA")
	v := auth.NewDeviceVerifier(o.store, o.identity.ServerID, now.Add(72*time.Hour))
	if _, err := v.Verify(context.Background(), d.Token(now), now); err != nil {
		t.Errorf("a fresh token: %v", err)
	}
	_, err := v.Verify(context.Background(), d.Token(now.Add(-6*time.Second)), now)
	wantCode(t, err, syncproto.CodeTokenReplayed)
}

func TestTokenMemoryIsBoundedPerDevice(t *testing.T) {
	o := newOffice(t)
	greedy, honest, v := o.enrol("EdDSA"), o.enrol("EdDSA"), o.verifier()
	first := greedy.Token(now)
	if _, err := v.Verify(context.Background(), first, now); err != nil {
		t.Fatal(err)
	}
	limited := 0
	for range 4200 {
		if _, err := v.Verify(context.Background(), greedy.Token(now), now); errors.Is(err, syncproto.CodeRateLimited) {
			limited++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if limited != 4200-4095 {
		t.Errorf("%d of 4200 were limited", limited)
	}
	if _, err := v.Verify(context.Background(), honest.Token(now), now); err != nil {
		t.Errorf("the honest device: %v", err)
	}
	_, err := v.Verify(context.Background(), first, now)
	wantCode(t, err, syncproto.CodeTokenReplayed)
	later := now.Add(3 * time.Minute)
	if _, err := v.Verify(context.Background(), greedy.Token(later), later); err != nil {
		t.Errorf("after they expired: %v", err)
	}
}

func TestRegistryFailureIsNotARefusal(t *testing.T) {
	o := newOffice(t)
	d := o.enrol("EdDSA")
	broken := errors.New("disk gone")
	v := auth.NewDeviceVerifier(brokenRegistry{broken}, o.identity.ServerID, now)
	_, err := v.Verify(context.Background(), d.Token(now), now)
	if !errors.Is(err, broken) || syncproto.CodeOf(err) != syncproto.CodeInternal {
		t.Errorf("got %v", err)
	}
}

type brokenRegistry struct{ err error }

func (b brokenRegistry) View(context.Context, func(store.Reader) error) error { return b.err }

func FuzzDeviceToken(f *testing.F) {
	o := newOffice(f)
	d, v := o.enrol("EdDSA"), o.verifier()
	token := d.Token(now)
	parts := strings.Split(token, ".")
	for _, p := range parts[:2] {
		b, err := base64.RawURLEncoding.DecodeString(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
	}
	f.Add([]byte(`{"typ":"sambang-device+jwt","alg":"none","kid":"`+d.ID+`"}`), true)
	f.Add([]byte(`{"iat":1e400}`), false)
	header, claims := d.Header(), d.Claims(now)
	f.Fuzz(func(t *testing.T, part []byte, isHeader bool) {
		h, err := json.Marshal(header)
		if err != nil {
			t.Fatal(err)
		}
		c := maps.Clone(claims)
		c["jti"] = d.Claims(now)["jti"]
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		// Signed by the device's own key: what is refused is refused by rule.
		if isHeader {
			h = part
		} else {
			b = part
		}
		caller, err := v.Verify(context.Background(), d.SignText(string(h), string(b)), now)
		if err == nil && caller.Device.ID != d.ID {
			t.Errorf("another device %q", caller.Device.ID)
		}
		if err == nil && isHeader {
			var got map[string]any
			if json.Unmarshal(h, &got) != nil || got["alg"] != "EdDSA" || got["typ"] != "sambang-device+jwt" || len(got) != 3 {
				t.Errorf("header %q passes", h)
			}
		}
		if err != nil && syncproto.CodeOf(err) == syncproto.CodeInternal {
			t.Errorf("no code: %v", err)
		}
		if err != nil && len(part) > 20 && bytes.Contains([]byte(err.Error()), part) {
			t.Errorf("the error quotes the token: %v", err)
		}
	})
}
