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
//   - then it is weighed, what is small before what is large, and waits until
//     there is as much memory as its decoded frames will take. From here on
//     nothing waits for the device.
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

	plain   []byte // if decoded: all of it
	decoded bool
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
		if err != nil {
			if !errors.Is(err, io.EOF) {
				a.err = err
			}
			return a, nil //nolint:nilerr // what came before the error is worked on, and the error after it
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

// reader returns a reader of the whole body as sent, each time from its
// beginning.
func (a *arrived) reader() io.Reader {
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
	a.pieces, a.plain = nil, nil
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

// smallBody is up to what size a decoded body is small: hundreds of records. It
// is weighed before all large ones, and kept as it was decoded for that, so that
// it is decompressed once and holds no decompressor while it runs.
const smallBody = 256 << 10

// errLarge says that a body is not small.
var errLarge = errors.New("the body is large")

// weigh returns about how much memory the exchange takes at most. Its errors are
// of bodies beyond a limit, which no honest device sends: they are refused
// before anything of them is decoded. What else is wrong with a body is found
// again, and told, when its turn comes. With small it stops at errLarge.
func (a *arrived) weigh(encoding string, format wire.Format, small bool) (int64, error) {
	decoded, err := wire.NewBodyReader(a.reader(), encoding)
	if err != nil {
		return leastWeight, nil //nolint:nilerr // as above
	}
	defer decoded.Close()
	plain := &keeper{r: decoded, stop: small}
	frames := wire.NewFrameReader(plain, format)
	var sum, most int64
	for count := 0; err == nil; count++ {
		if count > syncproto.MaxBatches+1 { // an Open, and then the batches
			err = syncproto.Errorf(syncproto.CodeTooMany, "more than %d batches", syncproto.MaxBatches)
			break
		}
		n := 0
		n, err = frames.Weigh()
		sum, most = sum+int64(n), max(most, int64(n))
	}
	w := leastWeight + merging*min(sum, framesAtOnce*most)
	switch {
	case errors.Is(err, errLarge):
		return 0, errLarge
	case beyondLimit(err):
		return 0, err
	case errors.Is(err, io.EOF) && !plain.over && a.gate.try(int64(plain.kept.Len())):
		a.paid += int64(plain.kept.Len())
		a.plain, a.decoded = plain.kept.Bytes(), true
		return w, nil
	}
	return w + wire.MaxWindow, nil
}

// beyondLimit reports whether a body is refused for its size.
func beyondLimit(err error) bool {
	switch syncproto.CodeOf(err) {
	case syncproto.CodeTooMany, syncproto.CodeTooLarge, syncproto.CodeDecompressedSize:
		return true
	}
	return false
}

// keeper keeps what is read through it, unless it is much.
type keeper struct {
	r    io.Reader
	kept bytes.Buffer
	over bool
	stop bool // when it is much
}

// Read reads and keeps.
func (k *keeper) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.over = k.over || k.kept.Len()+n > smallBody
	switch {
	case k.over && k.stop:
		return 0, errLarge
	case k.over:
		k.kept = bytes.Buffer{}
	default:
		k.kept.Write(p[:n])
	}
	return n, err
}

// open returns the body for the exchange, decoded.
func (a *arrived) open(encoding string) (io.ReadCloser, error) {
	if a.decoded {
		return io.NopCloser(bytes.NewReader(a.plain)), nil
	}
	return wire.NewBodyReader(a.reader(), encoding)
}

// admitted is an exchange that may run. What it holds is given back with leave.
type admitted struct {
	body  *arrived
	gates *gates
	undo  []func()
	light []func() // what a reply that streams does not need
}

// enter brings an exchange of a device in: it takes the body, and a place among
// those that run at once, with the memory for it.
func (a *API) enter(r *http.Request, device string, format wire.Format) (_ *admitted, err error) {
	g := &a.gates
	x := &admitted{gates: g}
	defer func() {
		if err != nil {
			x.leave()
		}
	}()
	if !g.perDevice.join(device) {
		return nil, syncproto.Errorf(syncproto.CodeRateLimited, "the server is busy with other exchanges of this device")
	}
	x.undo = append(x.undo, func() { g.perDevice.leave(device) })
	if !g.arriving.try(1) {
		return nil, errBusy()
	}
	x.body, err = g.arrive(r.Body)
	g.arriving.give(1)
	if err != nil {
		return nil, err
	}
	x.undo = append(x.undo, x.body.free)
	weight, err := g.weigh(r.Context(), x.body, r.Header.Get("Content-Encoding"), format)
	if beyondLimit(err) {
		g.device.charge(device, a.now(), overLimitCost)
	}
	if err != nil {
		return nil, err
	}
	if err := x.take(r.Context(), g.exchanges, 1); err != nil {
		return nil, err
	}
	return x, x.take(r.Context(), g.memory, weight)
}

func errBusy() error {
	return syncproto.Errorf(syncproto.CodeRateLimited, "the server is busy with other devices")
}

// take waits at a gate.
func (x *admitted) take(ctx context.Context, at *gate, n int64) error {
	n, ok := at.take(ctx, n, x.gates.wait)
	if !ok {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		return errBusy()
	}
	x.light = append(x.light, func() { at.give(n) })
	return nil
}

// stream says that the reply is sent piece by piece: from here on the device's
// link sets the pace, and only a place among those that wait for theirs is held.
func (x *admitted) stream(ctx context.Context) error {
	giveBack(&x.light)
	n, ok := x.gates.replies.take(ctx, 1, x.gates.wait)
	if !ok {
		return errBusy()
	}
	x.undo = append(x.undo, func() { x.gates.replies.give(n) })
	return nil
}

func (x *admitted) leave() {
	giveBack(&x.light)
	giveBack(&x.undo)
}

func giveBack(all *[]func()) {
	for i := range *all {
		(*all)[len(*all)-1-i]()
	}
	*all = nil
}

// weigh weighs a body when it is its turn. The large ones, of which one keeps a
// processor busy for long, wait for each other and not the small ones for them.
func (g *gates) weigh(ctx context.Context, body *arrived, encoding string, format wire.Format) (int64, error) {
	turn := func(scale *gate, small bool) (int64, error) {
		n, ok := scale.take(ctx, 1, g.wait)
		if !ok {
			return 0, errBusy()
		}
		defer scale.give(n)
		return body.weigh(encoding, format, small)
	}
	w, err := turn(g.smallScales, true)
	if errors.Is(err, errLarge) {
		return turn(g.largeScales, false)
	}
	return w, err
}
