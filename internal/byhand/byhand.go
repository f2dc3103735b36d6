// Package byhand enrols a device and makes its tokens without the SDK, for what
// drives or checks a server from outside.
//
// What is always true of it:
//
//   - It follows the specification of enrolment and of tokens (the package
//     comment of server/internal/auth) and shares no code with those who
//     implement it: a mistake on both sides would hide itself.
//   - It reads no clock and draws nothing at random: its callers may be
//     deterministic.
package byhand

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

//nolint:gochecknoglobals // an encoding, never written to
var b64 = base64.RawURLEncoding

// tokenLife is how long a token is valid, in seconds.
const tokenLife = 90

// EnrolBody returns the JSON body with which a device of this key and name
// redeems an enrolment code.
func EnrolBody(code string, key ed25519.PrivateKey, name string) ([]byte, error) {
	_, query, _ := strings.Cut(code, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("enrolment code: %w", err)
	}
	public := b64.EncodeToString(key[ed25519.SeedSize:])
	transcript := []byte("sambang-enrol-1")
	for _, part := range []string{q.Get("e"), q.Get("s"), "EdDSA", public, "", name} { // "": no key nonce
		transcript = append(binary.BigEndian.AppendUint32(transcript, uint32(len(part))), part...) //nolint:gosec // a short text
	}
	return json.Marshal(map[string]string{
		"enrolment": q.Get("e"), "secret": q.Get("s"), "algorithm": "EdDSA", "public_key": public,
		"device_name": name, "proof": b64.EncodeToString(ed25519.Sign(key, transcript)),
	})
}

// Enrolled returns the device's id from the server's reply to an enrolment.
func Enrolled(status int, reply []byte) (device string, err error) {
	var r struct {
		Device string `json:"device"`
	}
	if err := json.Unmarshal(reply, &r); err != nil || r.Device == "" {
		return "", fmt.Errorf("enrolment: HTTP %d %s", status, reply)
	}
	return r.Device, nil
}

// Token returns a device's token for one request to a server, issued at now in
// Unix seconds. No two tokens may have the same jti, of 16 to 64 characters of
// base64url.
func Token(key ed25519.PrivateKey, device, server string, now int64, jti string) string {
	signing := part(map[string]string{"alg": "EdDSA", "kid": device, "typ": "sambang-device+jwt"}) + "." +
		part(map[string]any{"iss": device, "sub": device, "aud": server, "iat": now, "exp": now + tokenLife, "jti": jti})
	return signing + "." + b64.EncodeToString(ed25519.Sign(key, []byte(signing)))
}

func part(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // strings and numbers
	}
	return b64.EncodeToString(b)
}
