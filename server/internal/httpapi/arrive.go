package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// An exchange comes in two parts, so that those who send slowly, or never end,
// hold nothing that others need:
//
//   - its body arrives whole, as it was sent. Meanwhile it holds the bytes that
//     came, and one of a device's few places.
//   - then it is weighed, and waits until there is as much memory as its
//     decoded frames will take. From here on nothing waits for the device.
//
// What arrived before the device was cut off is worked on as well: the end of
// such a body is the error that ended it.

// arrived is a body, as sent.
type arrived struct {
	pieces [][]byte
	size   int64
	err    error // what ended it; nil for its end
	paid   int64 // of the gate
	gate   *gate
}

// piece is how much of a body is paid for at once. The first one is free:
// there are at most [Limits.Arriving] of them, and a small push gets in when
// others fill the rest.
const piece = 32 << 10

// arrive takes a body in. An error means that there is no room for more of it.
func (g *gates) arrive(body io.Reader) (*arrived, error) {
	a := &arrived{gate: g.bytes}
	for {
		if len(a.pieces) > 0 {
			if !g.bytes.try(piece) {
				a.free()
				return nil, syncproto.Errorf(syncproto.CodeRateLimited, "the server takes in too much from others")
			}
			a.paid += piece
		}
		p, err := readPiece(body)
		a.pieces = append(a.pieces, p)
		if a.size += int64(len(p)); a.size > syncproto.MaxBodyBytes {
			a.free()
			return nil, syncproto.Errorf(syncproto.CodeTooLarge, "body of more than %d bytes", syncproto.MaxBodyBytes)
		}
		switch {
		case errors.Is(err, io.EOF):
			return a, nil
		case err != nil:
			a.err = err
			return a, nil
		}
	}
}

// readPiece fills a piece, which grows with what arrives.
func readPiece(body io.Reader) ([]byte, error) {
	p := make([]byte, 0, 512)
	for len(p) < piece {
		if len(p) == cap(p) {
			p = append(p, 0)[:len(p)]
		}
		n, err := body.Read(p[len(p):min(cap(p), piece)])
		p = p[:len(p)+n]
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// open returns a reader of the whole body, each time from its beginning.
func (a *arrived) open() io.Reader {
	readers := make([]io.Reader, 0, len(a.pieces)+1)
	for _, p := range a.pieces {
		readers = append(readers, bytes.NewReader(p))
	}
	if a.err != nil {
		readers = append(readers, failing{a.err})
	}
	return io.MultiReader(readers...)
}

func (a *arrived) free() {
	a.pieces = nil
	a.gate.give(a.paid)
	a.paid = 0
}

// failing is a body's end that is none.
type failing struct{ err error }

// Read returns the error.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// What an exchange takes beside its frames.
const (
	// merging is how much a decoded frame grows while it is merged: states,
	// documents, the journal's form of it.
	merging = 4
	// framesAtOnce: one is merged, one is decoded ahead, one is being read.
	framesAtOnce = 3
	// leastWeight is what the smallest exchange takes, with its reply.
	leastWeight = 256 << 10
)

// weigh returns about how much memory the exchange takes at most. What is wrong
// with the body is found again, and told, when it is decoded.
func (a *arrived) weigh(encoding string, format wire.Format) int64 {
	decoded, err := wire.NewBodyReader(a.open(), encoding)
	if err != nil {
		return leastWeight
	}
	defer decoded.Close()
	frames := wire.NewFrameReader(decoded, format)
	var sum, most int64
	for range syncproto.MaxBatches + 2 {
		n, err := frames.Weigh()
		sum, most = sum+int64(n), max(most, int64(n))
		if err != nil {
			break
		}
	}
	w := leastWeight + merging*min(sum, framesAtOnce*most)
	if encoding != "" {
		w += wire.MaxWindow
	}
	return w
}

// enter brings an exchange of a device in: it takes the body, and a place among
// those that run at once, with the memory for it. leave gives all of it back.
func (a *API) enter(r *http.Request, device string, format wire.Format) (body *arrived, leave func(), err error) {
	g := &a.gates
	busy := func(who string) error {
		return syncproto.Errorf(syncproto.CodeRateLimited, "the server is busy with other %s", who)
	}
	var undo []func()
	leave = func() {
		for i := range undo {
			undo[len(undo)-1-i]()
		}
	}
	defer func() {
		if err != nil {
			leave()
		}
	}()
	if !g.perDevice.join(device) {
		return nil, nil, busy("exchanges of this device")
	}
	undo = append(undo, func() { g.perDevice.leave(device) })
	if !g.arriving.try(1) {
		return nil, nil, busy("devices")
	}
	body, err = g.arrive(r.Body)
	g.arriving.give(1)
	if err != nil {
		return nil, nil, err
	}
	undo = append(undo, body.free)
	for _, place := range []struct {
		gate *gate
		n    func() int64
	}{
		{g.exchanges, func() int64 { return 1 }},
		{g.memory, func() int64 { return g.weigh(r.Context(), body, r.Header.Get("Content-Encoding"), format) }},
	} {
		n, ok := place.gate.take(r.Context(), place.n(), g.wait)
		if !ok {
			if err := context.Cause(r.Context()); err != nil {
				return nil, nil, err
			}
			return nil, nil, busy("devices")
		}
		undo = append(undo, func() { place.gate.give(n) })
	}
	return body, leave, nil
}

// weigh weighs a body when it is its turn: a few at once, because each takes a
// decompressor's window.
func (g *gates) weigh(ctx context.Context, body *arrived, encoding string, format wire.Format) int64 {
	n, ok := g.scales.take(ctx, 1, g.wait)
	if !ok {
		return g.memory.size // whoever waits so long may as well wait for all of it
	}
	defer g.scales.give(n)
	return body.weigh(encoding, format)
}
