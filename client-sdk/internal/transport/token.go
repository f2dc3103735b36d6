package transport

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sambang-id/sambang/syncproto"
)

// The algorithms of device keys, fixed at enrolment.
const (
	EdDSA = "EdDSA"
	ES256 = "ES256"
)

// Signer is the device's key and its algorithm.
type Signer struct {
	Algorithm string
	Key       crypto.Signer
}

// tokenLife is how long a token opens a request. The server takes at most 120
// seconds.
const tokenLife = 90 * time.Second

// token signs a token for one request.
func (c *Client) token() (string, error) {
	if c.c.Device == "" {
		return "", syncproto.CodeNotEnrolled
	}
	var jti [16]byte
	if _, err := io.ReadFull(c.c.Rand, jti[:]); err != nil {
		return "", fmt.Errorf("draw a token id: %w", err)
	}
	now := c.c.Clock().Add(c.c.Offset())
	t := jwt.NewWithClaims(method{c.c.Signer, c.c.Rand}, jwt.MapClaims{
		"iss": c.c.Device, "sub": c.c.Device, "aud": c.c.Server, // one string, as the server wants it
		"iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "jti": base64.RawURLEncoding.EncodeToString(jti[:]),
	})
	t.Header["typ"] = "sambang-device+jwt"
	t.Header["kid"] = c.c.Device
	s, err := t.SignedString(c.c.Signer.Key)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return s, nil
}

// method signs with any crypto.Signer, where golang-jwt wants the key itself
// for ES256: keys that live in hardware have only the interface.
type method struct {
	signer Signer
	random io.Reader
}

func (m method) Alg() string { return m.signer.Algorithm }

// Verify is the server's.
func (m method) Verify(string, []byte, any) error { return jwt.ErrTokenUnverifiable }

func (m method) Sign(signing string, _ any) ([]byte, error) {
	if _, ok := m.signer.Key.Public().(ed25519.PublicKey); ok {
		return m.signer.Key.Sign(m.random, []byte(signing), crypto.Hash(0))
	}
	sum := sha256.Sum256([]byte(signing))
	der, err := m.signer.Key.Sign(m.random, sum[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, fmt.Errorf("signature of the device key: %w", err)
	}
	if _, ok := m.signer.Key.Public().(*ecdsa.PublicKey); !ok || rs.R.BitLen() > 256 || rs.S.BitLen() > 256 {
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "the device key is not on P-256")
	}
	out := make([]byte, 64)
	rs.R.FillBytes(out[:32])
	rs.S.FillBytes(out[32:])
	return out, nil
}
