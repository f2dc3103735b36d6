// Package authtest plays the device's side of enrolment and of tokens, for the
// tests of the server's packages. It follows the comment of package auth and
// shares no code with what it tests.
package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// Device is a phone with its key.
type Device struct {
	Algorithm string
	Key       crypto.Signer
	Public    []byte // as the registry keeps it
	ID        string
	Server    string // the server id, once enrolled
	Random    io.Reader
}

// NewDevice makes a device with a new key of algorithm EdDSA or ES256.
func NewDevice(algorithm string) *Device {
	d := &Device{Algorithm: algorithm, Random: rand.Reader}
	switch algorithm {
	case "EdDSA":
		public, key := must2(ed25519.GenerateKey(rand.Reader))
		d.Key, d.Public = key, public
	case "ES256":
		key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
		d.Key, d.Public = key, must(x509.MarshalPKIXPublicKey(key.Public()))
	default:
		panic(algorithm)
	}
	sum := sha256.Sum256(append([]byte("sambang-device"), d.Public...))
	d.ID = "dev-" + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:15]))
	return d
}

// EnrolBody returns the body of POST /v1/enrol for a code.
func (d *Device) EnrolBody(code, name string) map[string]any {
	q := must(url.ParseQuery(strings.TrimPrefix(code, "sambang:1?")))
	nonce := make([]byte, 16)
	must(io.ReadFull(d.Random, nonce))
	return d.Prove(map[string]any{
		"enrolment": q.Get("e"), "secret": q.Get("s"), "algorithm": d.Algorithm, "public_key": B64(d.Public),
		"key_nonce": B64(nonce), "device_name": name,
	})
}

// Prove returns the body with the proof that fits its members.
func (d *Device) Prove(body map[string]any) map[string]any {
	body = maps.Clone(body)
	body["proof"] = B64(d.sign(Transcript(body)))
	return body
}

// Transcript returns what the proof of a body signs.
func Transcript(body map[string]any) []byte {
	b := []byte("sambang-enrol-1")
	for _, k := range []string{"enrolment", "secret", "algorithm", "public_key", "key_nonce", "device_name"} {
		s, _ := body[k].(string)
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	return b
}

// sign signs outside a JWT.
func (d *Device) sign(message []byte) []byte {
	if d.Algorithm == "EdDSA" {
		return must(d.Key.Sign(d.Random, message, crypto.Hash(0)))
	}
	sum := sha256.Sum256(message)
	return must(d.Key.Sign(d.Random, sum[:], crypto.SHA256))
}

// Claims returns those of a good token.
func (d *Device) Claims(now time.Time) map[string]any {
	jti := make([]byte, 16)
	must(io.ReadFull(d.Random, jti))
	return map[string]any{
		"iss": d.ID, "sub": d.ID, "aud": d.Server, "iat": now.Unix(), "exp": now.Unix() + 60, "jti": B64(jti),
	}
}

// Header returns that of a good token.
func (d *Device) Header() map[string]any {
	return map[string]any{"typ": "sambang-device+jwt", "alg": d.Algorithm, "kid": d.ID}
}

// Token returns a good token.
func (d *Device) Token(now time.Time) string { return d.Sign(d.Header(), d.Claims(now)) }

// Sign returns a token with any header and claims, signed by the device's key
// in its algorithm.
func (d *Device) Sign(header, claims any) string {
	return d.SignText(string(must(json.Marshal(header))), string(must(json.Marshal(claims))))
}

// SignText is Sign for header and claims that no encoder would write.
func (d *Device) SignText(header, claims string) string {
	signed := B64([]byte(header)) + "." + B64([]byte(claims))
	if d.Algorithm == "EdDSA" {
		return signed + "." + B64(d.sign([]byte(signed)))
	}
	sum := sha256.Sum256([]byte(signed))
	key, ok := d.Key.(*ecdsa.PrivateKey)
	if !ok {
		panic("ES256 without a P-256 key")
	}
	r, s, err := ecdsa.Sign(d.Random, key, sum[:])
	if err != nil {
		panic(err)
	}
	return signed + "." + B64(append(fill(r), fill(s)...))
}

func fill(x *big.Int) []byte { return x.FillBytes(make([]byte, 32)) }

// B64 is base64url without padding.
func B64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("authtest: %v", err))
	}
	return v
}

func must2[T, U any](v T, u U, err error) (T, U) { return must(v, err), u }
