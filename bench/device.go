package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/internal/byhand"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// device speaks the protocol from memory and keeps nothing, so that a million records cost the server and
// not the bench. It is for one goroutine.
type device struct {
	address, server, id string
	key                 ed25519.PrivateKey
	epoch               []byte
	minter              syncproto.Minter
	confirmed           uint64
	confirmedHead       syncproto.Digest
}

// keyNonce is that of a device's only replica.
func keyNonce() []byte { return make([]byte, 16) }

// newDevice enrols a device of an agency.
func newDevice(ctx context.Context, s *site, name, agency string) (*device, error) {
	code, err := s.order("enrol", name, agency, "35")
	if err != nil {
		return nil, err
	}
	public, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	body, err := byhand.EnrolBody(code, key, name)
	if err != nil {
		return nil, err
	}
	reply, err := ask(ctx, http.MethodPost, s.address()+"/v1/enrol", http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil {
		return nil, fmt.Errorf("enrol %s: %w", name, err)
	}
	id, err := byhand.Enrolled(http.StatusOK, reply)
	if err != nil {
		return nil, err
	}
	d := &device{address: s.address(), id: id, key: key}
	replica := syncproto.NewReplicaID(public, [16]byte(keyNonce()))
	d.minter, d.confirmedHead = syncproto.NewMinter(replica, 0), syncproto.ChainStart(replica)
	d.server, err = s.order("id")
	return d, err
}

// write mints writes on a record.
func (d *device) write(r syncproto.Record, writes ...syncproto.Write) (syncproto.Record, error) {
	next, m, _, _, err := d.minter.Write(r, 0, time.Now().UnixMilli(), writes...)
	d.minter = m
	return next, err
}

// request is the body of a push of one batch.
func (d *device) request(scope syncproto.Scope, deltas []syncproto.Delta) ([]byte, error) {
	enc := wire.NewEncoder(syncproto.HLCFromMillis(time.Now().UnixMilli()))
	batch := &wire.Batch{}
	for _, x := range deltas {
		batch.Items = append(batch.Items, &wire.Item{Scope: enc.Scope(scope), Delta: enc.Delta(x)})
	}
	batch.Tables = enc.Tables()
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // documented never to fail
	head := d.minter.Head()
	open := &wire.Open{Version: wire.Version, Nonce: nonce, App: "bench", Epoch: d.epoch, Claims: []*wire.Claim{{
		Replica: uint64(d.minter.Replica()), KeyNonce: keyNonce(), N: d.minter.N(), Head: head[:],
		ConfirmedN: d.confirmed, ConfirmedHead: d.confirmedHead[:],
	}}}
	open.ClaimSignature = ed25519.Sign(d.key, wire.ClaimBytes(d.id, nonce, d.epoch, open.GetClaims()))
	var b bytes.Buffer
	w := wire.NewFrameWriter(&b, wire.Protobuf)
	for _, f := range []*wire.RequestFrame{
		{Frame: &wire.RequestFrame_Open{Open: open}}, {Frame: &wire.RequestFrame_Batch{Batch: batch}},
	} {
		if err := w.Request(f); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// push sends a batch, all of which the server must apply, and returns how long that took.
func (d *device) push(ctx context.Context, scope syncproto.Scope, deltas []syncproto.Delta) (time.Duration, error) {
	body, err := d.request(scope, deltas)
	if err != nil {
		return 0, err
	}
	token := byhand.Token(d.key, d.id, d.server, time.Now().Unix(), rand.Text())
	start := time.Now()
	reply, err := ask(ctx, http.MethodPost, d.address+"/v1/sync", http.Header{
		"Authorization": {"Bearer " + token}, "Content-Type": {wire.ContentTypeProtobuf}, "Accept": {wire.ContentTypeProtobuf},
	}, body)
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("push: %w", err)
	}
	f, err := wire.NewFrameReader(bytes.NewReader(reply), wire.Protobuf).Response()
	if err != nil {
		return 0, fmt.Errorf("read the reply to a push: %w", err)
	}
	begin, receipt := f.GetBegin(), &wire.ReceiptBody{}
	if err := proto.Unmarshal(begin.GetReceipt().GetBody(), receipt); err != nil {
		return 0, err
	}
	if begin.GetStatus() != wire.Status_STATUS_OK || begin.GetReceipt() == nil || len(receipt.GetExceptions()) > 0 {
		return 0, fmt.Errorf("push: status %v, exceptions %v", begin.GetStatus(), receipt.GetExceptions())
	}
	d.epoch, d.confirmed, d.confirmedHead = begin.GetEpoch(), d.minter.N(), d.minter.Head()
	return took, nil
}

// ask sends a request and returns the whole reply.
func ask(ctx context.Context, method, address string, header http.Header, body []byte) (_ []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	reply, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("HTTP %d %s", resp.StatusCode, reply)
	}
	return reply, err
}
