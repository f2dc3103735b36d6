package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"net/http"
	"time"

	"github.com/sambang-id/sambang/internal/byhand"
	"github.com/sambang-id/sambang/syncproto/wire"
)

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
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	body, err := byhand.EnrolBody(code, key, name)
	if err != nil {
		return nil, err
	}
	status, reply, err := post(ctx, client, s.url()+"/v1/enrol", http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return nil, err
	}
	id, err := byhand.Enrolled(status, reply)
	return &raw{server: s.id, id: id, key: key}, err
}

// token makes a fresh token of the device.
func (x *raw) token() string {
	return byhand.Token(x.key, x.id, x.server, time.Now().Unix(), rand.Text())
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
