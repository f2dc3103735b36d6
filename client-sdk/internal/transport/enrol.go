package transport

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// EnrolCode is what an enrolment code says.
type EnrolCode struct {
	URL       string
	Pin       []byte // nil: the system's authorities
	Enrolment string
	Secret    string
}

const codePrefix = "sambang:1?"

// ParseCode reads "sambang:1?u=<url>&p=<pin>&e=<enrolment>&s=<secret>". The
// error has code [syncproto.CodeEnrolmentInvalid].
func ParseCode(s string) (EnrolCode, error) {
	bad := func(what string) (EnrolCode, error) {
		return EnrolCode{}, syncproto.Errorf(syncproto.CodeEnrolmentInvalid, "the code has no valid %s", what)
	}
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), codePrefix)
	if !ok {
		return bad("beginning: it starts with sambang:1?")
	}
	q, err := url.ParseQuery(rest)
	if err != nil {
		return bad("form")
	}
	code := EnrolCode{URL: q.Get("u"), Enrolment: q.Get("e"), Secret: q.Get("s")}
	u, err := url.Parse(code.URL)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || code.URL != strings.ToLower(code.URL):
		return bad("address")
	case u.Scheme == "http" && !isLoopback(u.Hostname()), u.Scheme != "http" && u.Scheme != "https":
		return bad("address: only https, or http on this machine")
	}
	pin := ""
	if q.Has("p") {
		if p := q.Get("p"); p != "" {
			if code.Pin, err = b64.DecodeString(p); err != nil || len(code.Pin) != sha256.Size {
				return bad("pin")
			}
		}
		pin = "&p=" + b64.EncodeToString(code.Pin)
	}
	if code.Enrolment == "" || len(code.Enrolment) > 64 {
		return bad("enrolment")
	}
	secret, err := b64.DecodeString(code.Secret)
	if err != nil || len(secret) != 16 {
		return bad("secret")
	}
	// One code has one text: a damaged one must not pass for its original.
	if rest != "u="+url.QueryEscape(code.URL)+pin+"&e="+url.QueryEscape(code.Enrolment)+"&s="+b64.EncodeToString(secret) {
		return bad("form")
	}
	return code, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

//nolint:gochecknoglobals // an encoding, never assigned again
var b64 = base64.RawURLEncoding.Strict()

// Enrolment is the server's answer.
type Enrolment struct {
	Device      string `json:"device"`
	ServerID    string `json:"server_id"`
	ReceiptKeys []struct {
		ID        string `json:"id"`
		Algorithm string `json:"algorithm"`
		PublicKey string `json:"public_key"`
	} `json:"receipt_keys"`
	Officer       string `json:"officer"`
	OfficerName   string `json:"officer_name"`
	Agency        string `json:"agency"`
	Role          string `json:"role"`
	GrantsVersion uint64 `json:"grants_version"`
	Grants        []struct {
		Region  string   `json:"region"`
		Classes []string `json:"classes"`
		Until   int64    `json:"until"`
		Key     string   `json:"key"`
	} `json:"grants"`
	ServerTime int64 `json:"server_time"`
}

const maxEnrolment = 1 << 20

// Enrol redeems a code for the key. It may be called again with the same code
// and key when an answer was lost.
func (c *Client) Enrol(ctx context.Context, code EnrolCode, publicKey []byte, name string) (*Enrolment, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	public := b64.EncodeToString(publicKey)
	proof, err := c.sign(transcript(code.Enrolment, code.Secret, c.c.Signer.Algorithm, public, "", name))
	if err != nil {
		return nil, fmt.Errorf("sign the enrolment: %w", err)
	}
	body, err := json.Marshal(map[string]string{
		"enrolment": code.Enrolment, "secret": code.Secret, "algorithm": c.c.Signer.Algorithm,
		"public_key": public, "device_name": name, "proof": b64.EncodeToString(proof),
	})
	if err != nil {
		return nil, fmt.Errorf("encode the enrolment: %w", err)
	}
	resp, err := c.do(ctx, "/v1/enrol", http.Header{"Content-Type": {"application/json"}}, body, func(int64) {})
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxEnrolment))
	if err != nil {
		return nil, offline(ctx, "read the enrolment", err)
	}
	c.down.Add(int64(len(text)))
	var e Enrolment
	if err := json.Unmarshal(text, &e); err != nil || e.Device == "" || e.ServerID == "" || len(e.ReceiptKeys) == 0 {
		return nil, syncproto.Errorf(syncproto.CodeBadResponse, "the server's answer to the enrolment can't be read")
	}
	if e.ServerTime > 0 {
		c.c.Corrected(time.UnixMilli(e.ServerTime), c.c.Clock())
	}
	return &e, nil
}

// transcript is what the proof of an enrolment signs.
func transcript(parts ...string) []byte {
	b := []byte("sambang-enrol-1")
	for _, p := range parts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(p))) //nolint:gosec // short texts
		b = append(b, p...)
	}
	return b
}

// sign signs outside of tokens: Ed25519 over the message, ECDSA over its
// SHA-256 in ASN.1.
func (c *Client) sign(message []byte) ([]byte, error) {
	key := c.c.Signer.Key
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return key.Sign(c.c.Rand, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return key.Sign(c.c.Rand, sum[:], crypto.SHA256)
}

// DecodeBase64 reads base64url without padding, strictly.
func DecodeBase64(s string) ([]byte, error) { return b64.DecodeString(s) }
