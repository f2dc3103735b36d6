package auth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"

	"github.com/sambang-id/sambang/syncproto"
)

// The algorithms of device keys: Ed25519, or P-256 where the phone's hardware
// keeps the key.
const (
	EdDSA = "EdDSA"
	ES256 = "ES256"
)

// DeviceID returns the id of the device that has a public key.
func DeviceID(publicKey []byte) string {
	return label("dev-", "sambang-device", publicKey, 15)
}

// isDeviceID checks the form of an id, before anything is looked up with it.
func isDeviceID(s string) bool {
	return len(s) == len("dev-")+24 && s[:4] == "dev-" && isBase32(s[4:])
}

func isBase32(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '2' || c > '7') {
			return false
		}
	}
	return s != ""
}

// parseDeviceKey checks a public key in the form that the registry keeps:
// raw Ed25519, or PKIX of P-256, in the one encoding that this key has.
func parseDeviceKey(algorithm string, key []byte) (crypto.PublicKey, error) {
	bad := func(why string) (crypto.PublicKey, error) {
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "public_key %s", why)
	}
	switch algorithm {
	case EdDSA:
		if len(key) != ed25519.PublicKeySize {
			return bad("is not 32 bytes of Ed25519")
		}
		if smallOrder(key) {
			return bad("is a point of small order: anybody could sign for it")
		}
		return ed25519.PublicKey(key), nil
	case ES256:
		parsed, err := x509.ParsePKIXPublicKey(key)
		if err != nil {
			return bad("is not a PKIX public key")
		}
		p, ok := parsed.(*ecdsa.PublicKey)
		if !ok || p.Curve != elliptic.P256() {
			return bad("is not on P-256")
		}
		if again, err := x509.MarshalPKIXPublicKey(p); err != nil || !bytes.Equal(again, key) {
			return bad("is not in its one PKIX encoding")
		}
		return p, nil
	}
	return nil, syncproto.Errorf(syncproto.CodeMalformed, "algorithm is not EdDSA or ES256")
}

// verifySignature checks a signature outside a JWT: of ES256 it is ASN.1 DER
// over the SHA-256.
func verifySignature(key crypto.PublicKey, message, signature []byte) bool {
	switch k := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(k, sum[:], signature)
	}
	return false
}

// smallOrder reports whether an Ed25519 key is one of the points of order 1,
// 2, 4 or 8, in any encoding (the sign bit left out): a signature by such a key
// fits any message, so its owner could deny all that he signed. The list is
// libsodium's.
func smallOrder(key []byte) bool {
	y := bytes.Clone(key)
	y[31] &= 0x7f
	switch hex.EncodeToString(y) {
	case "0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f":
		return true
	}
	return false
}
