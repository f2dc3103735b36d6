package auth

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
)

// b64 is base64url without padding; decoding refuses unused bits that are not
// zero, so that one value has one text.
//
//nolint:gochecknoglobals // an encoding, never assigned again
var b64 = base64.RawURLEncoding.Strict()

//nolint:gochecknoglobals // an encoding, never assigned again
var b32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// label returns prefix and the base32 of the first n bytes of
// SHA-256(domain | data).
func label(prefix, domain string, data []byte, n int) string {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write(data)
	return prefix + b32.EncodeToString(h.Sum(nil)[:n])
}

// decode64 reads base64url of exactly n bytes. DecodeString skips line breaks,
// which would give one value several texts, so the length is checked too.
func decode64(s string, n int) ([]byte, bool) {
	if len(s) != b64.EncodedLen(n) {
		return nil, false
	}
	b, err := b64.DecodeString(s)
	return b, err == nil && len(b) == n
}

// decodeSome reads base64url of at most limit bytes.
func decodeSome(s string, limit int) ([]byte, bool) {
	if len(s) > b64.EncodedLen(limit) {
		return nil, false
	}
	b, err := b64.DecodeString(s)
	return b, err == nil && len(s) == b64.EncodedLen(len(b))
}
