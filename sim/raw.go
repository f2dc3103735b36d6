package sim

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/sambang-id/sambang/internal/byhand"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

var b64 = base64.RawURLEncoding

// raw speaks the protocol by hand, with a device key. It keeps nothing.
type raw struct {
	w   *world
	key ed25519.PrivateKey
	id  string
	n   int
}

// rawEnrol redeems a code for a key.
func (w *world) rawEnrol(name string, key ed25519.PrivateKey, grants syncproto.Grants) (*raw, error) {
	code, err := w.srv.Enrol(w.ctx, enrolRequest(grants))
	if err != nil {
		return nil, err
	}
	body, err := byhand.EnrolBody(code, key, name)
	if err != nil {
		return nil, err
	}
	res := w.handle("/v1/enrol", http.Header{"Content-Type": {"application/json"}}, body, nil)
	id, err := byhand.Enrolled(res.status, res.body)
	return &raw{w: w, key: key, id: id}, err
}

// token makes a fresh token of the device.
func (x *raw) token() string {
	x.n++
	jti := fmt.Sprintf("sim-%s-%d-%d-00000000", x.id[len(x.id)-6:], x.w.serverStarts, x.n)
	return byhand.Token(x.key, x.id, x.w.srv.ID(), x.w.serverNow()/1000, jti)
}

func (x *raw) header() http.Header {
	h := http.Header{"Authorization": {"Bearer " + x.token()}}
	h.Set("Content-Type", wire.ContentTypeProtobuf)
	h.Set("Accept", wire.ContentTypeProtobuf)
	return h // uncompressed: that is a third of the cost
}

// exchange sends frames as the device.
func (x *raw) exchange(open *wire.Open, batches ...*wire.Batch) (*exchange, error) {
	frames := []*wire.RequestFrame{{Frame: &wire.RequestFrame_Open{Open: open}}}
	for _, b := range batches {
		frames = append(frames, &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}})
	}
	var buf bytes.Buffer
	fw := wire.NewFrameWriter(&buf, wire.Protobuf)
	for _, f := range frames {
		if err := fw.Request(f); err != nil {
			return nil, err
		}
	}
	res := response{died: true}
	x.w.disk.withRoom(func() {
		x.w.undisturbed(func() {
			for res.died && !x.w.failed() {
				res = x.w.handle("/v1/sync", x.header(), buf.Bytes(), nil)
			}
		})
	})
	ex := &exchange{open: open, batches: batches}
	if res.status != http.StatusOK {
		var problem struct{ Code syncproto.Code }
		_ = json.Unmarshal(res.body, &problem) // a refusal without a code is told by its status
		return ex, fmt.Errorf("HTTP %d %s", res.status, string(problem.Code))
	}
	return ex, ex.readResponse(res.body, res.header)
}

// open returns a plain Open.
func (x *raw) open() *wire.Open {
	x.n++
	nonce := make([]byte, 16)
	copy(nonce, fmt.Sprintf("n%d%s", x.n, x.id[len(x.id)-6:]))
	return &wire.Open{Version: wire.Version, Nonce: nonce, MaxEntries: 100_000, App: "sim"}
}

// exchange is one decoded request with its response.
type exchange struct {
	open    *wire.Open
	batches []*wire.Batch
	begin   *wire.Begin
	receipt *wire.ReceiptBody
	feeds   []*wire.Feed
	end     *wire.End
}

func (e *exchange) readRequest(body []byte, header http.Header) error {
	r, err := wire.NewBodyReader(bytes.NewReader(body), header.Get("Content-Encoding"))
	if err != nil {
		return err
	}
	defer r.Close()
	frames := wire.NewFrameReader(r, wire.Protobuf)
	for {
		f, err := frames.Request()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case f.GetOpen() != nil:
			e.open = f.GetOpen()
		case f.GetBatch() != nil:
			e.batches = append(e.batches, f.GetBatch())
		}
	}
}

func (e *exchange) readResponse(body []byte, header http.Header) error {
	r, err := wire.NewBodyReader(bytes.NewReader(body), header.Get("Content-Encoding"))
	if err != nil {
		return err
	}
	defer r.Close()
	frames := wire.NewFrameReader(r, wire.Protobuf)
	for {
		f, err := frames.Response()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case f.GetBegin() != nil:
			e.begin = f.GetBegin()
			if e.begin.GetReceipt() != nil {
				e.receipt = &wire.ReceiptBody{}
				if err := unmarshal(e.begin.GetReceipt().GetBody(), e.receipt); err != nil {
					return err
				}
			}
		case f.GetFeed() != nil:
			e.feeds = append(e.feeds, f.GetFeed())
		case f.GetEnd() != nil:
			e.end = f.GetEnd()
		}
	}
}

// deltas yields the decoded states of the feed with the scope that they were
// sent under.
func (e *exchange) deltas(yield func(scope syncproto.Scope, d syncproto.Delta) error) error {
	for _, feed := range e.feeds {
		dec, err := wire.NewDecoder(feed.GetTables())
		if err != nil {
			return err
		}
		for _, entry := range feed.GetEntries() {
			if entry.GetDelta() == nil {
				continue
			}
			scope, err := dec.Scope(entry.GetScope())
			if err != nil {
				return err
			}
			d, err := dec.Delta(entry.GetDelta())
			if err != nil {
				return err
			}
			if err := yield(scope, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// pull returns the full state of everything that the device may see, by a
// first pull.
func (x *raw) pull() (map[syncproto.RecordID]syncproto.Record, error) {
	ex, err := x.exchange(x.open())
	if err != nil {
		return nil, err
	}
	if ex.end == nil || ex.end.GetMore() {
		return nil, errors.New("the pull of everything is not whole")
	}
	out := map[syncproto.RecordID]syncproto.Record{}
	err = ex.deltas(func(scope syncproto.Scope, d syncproto.Delta) error {
		c, err := syncproto.Apply(syncproto.NewRecord(d.ID()), d)
		if err != nil {
			return fmt.Errorf("a full state does not apply to nothing: %w", err)
		}
		if c.Record.Home() != scope {
			return fmt.Errorf("record %s was sent under %s, its home is %s: %s", d.ID(), scope, c.Record.Home(), describe(c.Record))
		}
		out[d.ID()] = c.Record
		return nil
	})
	return out, err
}
