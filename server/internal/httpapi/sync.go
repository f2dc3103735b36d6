package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// sync is POST /v1/sync: push and pull in one exchange.
func (a *API) sync(c echo.Context) error {
	r, call := c.Request(), callOf(c)
	format, ok := wire.FormatOf(r.Header.Get("Content-Type"))
	if !ok {
		return syncproto.Errorf(syncproto.CodeUnsupportedMedia, "content type is neither %s nor %s", wire.ContentTypeProtobuf, wire.ContentTypeJSON)
	}
	if r.ContentLength > syncproto.MaxBodyBytes {
		return syncproto.Errorf(syncproto.CodeTooLarge, "body of %d bytes, at most %d", r.ContentLength, syncproto.MaxBodyBytes)
	}
	encoding := r.Header.Get("Content-Encoding")
	if !knownEncoding(encoding) {
		return syncproto.Errorf(syncproto.CodeUnsupportedMedia, "content encoding is neither zstd nor identity")
	}
	x, err := a.enter(r, call.device.ID, format)
	if err != nil {
		return err
	}
	defer x.leave()
	a.metrics.exchanges.Inc()
	defer a.metrics.exchanges.Dec()

	decoded, err := x.body.open(encoding)
	if err != nil {
		return err
	}
	defer decoded.Close()
	frames := wire.NewFrameReader(decoded, format)
	first, err := frames.Request()
	if errors.Is(err, io.EOF) {
		return syncproto.Errorf(syncproto.CodeMalformed, "the body is empty")
	}
	if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return syncproto.Errorf(syncproto.CodeMalformed, "the first frame is not an Open")
	}
	batches := 0
	next := func() (*wire.Batch, error) {
		frame, err := frames.Request()
		if err != nil {
			return nil, err
		}
		batch := frame.GetBatch()
		if batch == nil {
			return nil, syncproto.Errorf(syncproto.CodeMalformed, "a second Open")
		}
		if batches++; batches > syncproto.MaxBatches {
			return nil, syncproto.Errorf(syncproto.CodeTooMany, "more than %d batches", syncproto.MaxBatches)
		}
		return batch, nil
	}

	out := newReply(c.Response(), replyFormat(r, format), wantsZstd(r))
	out.streams = func() error { return x.stream(r.Context()) }
	// What has arrived is kept even if the device goes away meanwhile: it has
	// less to send again. Reading and writing still fail with the connection.
	summary, err := a.config.Exchange(context.WithoutCancel(r.Context()), call.device, a.now().UnixMilli(), open, next, out.send)
	call.summary = summary
	a.metrics.exchanged(summary)
	if a.config.HQ != nil && summary.Pushed > 0 {
		a.config.HQ.Wake()
	}
	if err == nil {
		err = out.finish()
	}
	if err == nil || out.frames == 0 || out.refused {
		return err
	}
	call.code, _ = refusal(err)
	if call.code == syncproto.CodeInternal {
		call.cause = err
	}
	panic(http.ErrAbortHandler)
}

// knownEncoding tells whether the body is worth waiting for.
func knownEncoding(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "", "identity", wire.EncodingZstd:
		return true
	}
	return false
}
