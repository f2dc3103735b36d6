package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/sambang-id/sambang/syncproto/wire"
)

//nolint:gochecknoglobals // an encoding, never written to
var b64 = base64.RawURLEncoding

// raw is an enrolled device that is spoken for by hand: it sends whatever it is told to.
type raw struct {
	server, id string
	key        ed25519.PrivateKey
}

// enrolRaw makes a device with a key of its own.
func enrolRaw(ctx context.Context, s *site, name, region string, client *http.Client) (*raw, error) {
	code, err := s.order("enrol", name, region)
	if err != nil {
		return nil, err
	}
	_, query, _ := strings.Cut(code, "?")
	q, err := url.ParseQuery(query)
	if err != nil {
		return nil, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	transcript := []byte("sambang-enrol-1")
	for _, p := range []string{q.Get("e"), q.Get("s"), "EdDSA", b64.EncodeToString(public), "", name} {
		transcript = append(binary.BigEndian.AppendUint32(transcript, uint32(len(p))), p...) //nolint:gosec // a short text
	}
	body, err := json.Marshal(map[string]string{
		"enrolment": q.Get("e"), "secret": q.Get("s"), "algorithm": "EdDSA", "public_key": b64.EncodeToString(public),
		"device_name": name, "proof": b64.EncodeToString(ed25519.Sign(key, transcript)),
	})
	if err != nil {
		return nil, err
	}
	status, reply, err := post(ctx, client, s.url()+"/v1/enrol", http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return nil, err
	}
	var device struct {
		Device string `json:"device"`
	}
	if err := json.Unmarshal(reply, &device); err != nil || device.Device == "" {
		return nil, fmt.Errorf("enrol %s: HTTP %d %s", name, status, reply)
	}
	return &raw{server: s.id, id: device.Device, key: key}, nil
}

// token makes a fresh token of the device.
func (x *raw) token() string {
	now := time.Now().Unix()
	text := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // strings and numbers
		}
		return b64.EncodeToString(b)
	}
	signing := text(map[string]string{"alg": "EdDSA", "kid": x.id, "typ": "sambang-device+jwt"}) + "." + text(map[string]any{
		"iss": x.id, "sub": x.id, "aud": x.server, "iat": now, "exp": now + 90, "jti": rand.Text(),
	})
	return signing + "." + b64.EncodeToString(ed25519.Sign(x.key, []byte(signing)))
}

// opening returns the Open of an exchange that claims nothing.
func opening() *wire.RequestFrame {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // documented never to fail
	return &wire.RequestFrame{Frame: &wire.RequestFrame_Open{Open: &wire.Open{Version: wire.Version, Nonce: nonce, App: "load"}}}
}

// frames encodes a body.
func frames(all ...*wire.RequestFrame) []byte {
	var b bytes.Buffer
	w := wire.NewFrameWriter(&b, wire.Protobuf)
	for _, f := range all {
		if err := w.Request(f); err != nil {
			panic(err) // what is sent here is within the limits, as messages go
		}
	}
	return b.Bytes()
}

// post sends a request and returns the whole reply.
func post(ctx context.Context, client *http.Client, address string, header http.Header, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, 8<<20))
	return resp.StatusCode, reply, err
}
