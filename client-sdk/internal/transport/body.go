package transport

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// newDecoder reads a response body. A response has no limit as a whole,
// because it is applied frame by frame; the window and the frames have.
func newDecoder(r io.Reader, encoding string) (io.ReadCloser, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return io.NopCloser(r), nil
	case wire.EncodingZstd:
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(wire.MaxWindow))
		if err != nil {
			return nil, syncproto.Errorf(syncproto.CodeBadResponse, "response is not zstd")
		}
		return d.IOReadCloser(), nil
	}
	return nil, syncproto.Errorf(syncproto.CodeBadResponse, "response in an encoding that was not asked for")
}

// idleTimeout cuts a link on which nothing moves; a slow one may take its time.
const idleTimeout = 90 * time.Second

var errIdle = errors.New("nothing moved for 90 seconds")

// idleWatch cancels a request when nothing moves.
type idleWatch struct{ timer *time.Timer }

func newIdleWatch(cancel context.CancelFunc) *idleWatch {
	return &idleWatch{time.AfterFunc(idleTimeout, cancel)}
}

func (w *idleWatch) touch() { w.timer.Reset(idleTimeout) }

func (w *idleWatch) stop() { w.timer.Stop() }
