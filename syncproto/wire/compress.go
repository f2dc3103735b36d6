package wire

import (
	_ "embed"
	"io"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// dictionary is that of protocol version 1, see dict/README.md.
//
//go:embed dict/v1.zdict
var dictionary []byte

// EncodingZstd is the Content-Encoding of a compressed body.
const EncodingZstd = "zstd"

// MaxWindow is the zstd window that a receiver accepts and a sender may use
// (RFC 9659 asks for the same of HTTP).
const MaxWindow = 8 << 20

// SmallBody is the size up to which a body is held back and compressed with
// more effort, and with the dictionary: there a byte costs the sender of a
// village link more than the computing does.
const SmallBody = 128 << 10

// tinyBody is the size up to which level "fastest" with the dictionary comes
// within 2 % of "better" in a third of the time: most exchanges of a quiet day
// are no larger.
const tinyBody = 1 << 10

// streamWindow is the zstd window of larger bodies. Eight times as much saves
// 1 % and costs a phone 15 MB.
const streamWindow = 1 << 20

// BodyWriter compresses a body as it is written. It is used by one goroutine.
type BodyWriter struct {
	w      io.Writer
	small  []byte // what was written, until it is too much
	e      *zstd.Encoder
	closed bool
}

// NewBodyWriter writes the compressed body to w. Close ends it; it does not
// close w.
func NewBodyWriter(w io.Writer) *BodyWriter { return &BodyWriter{w: w} }

// Write compresses p. Up to [SmallBody] bytes are held back until Close or
// Flush.
func (b *BodyWriter) Write(p []byte) (int, error) {
	switch {
	case b.closed:
		return 0, io.ErrClosedPipe
	case b.e == nil && len(b.small)+len(p) <= SmallBody:
		b.small = append(b.small, p...)
		return len(p), nil
	}
	if err := b.stream(); err != nil {
		return 0, err
	}
	return b.e.Write(p)
}

// Flush sends what was written so far. It costs compression: call it where
// somebody waits.
func (b *BodyWriter) Flush() error {
	if b.closed {
		return io.ErrClosedPipe
	}
	if err := b.stream(); err != nil {
		return err
	}
	return b.e.Flush()
}

// stream goes over to compressing at once.
func (b *BodyWriter) stream() error {
	if b.e != nil {
		return nil
	}
	b.e, _ = encoders.Get().(*zstd.Encoder)
	b.e.Reset(b.w)
	_, err := b.e.Write(b.small)
	b.small = nil
	return err
}

// Close ends the body and gives the writer's memory back.
func (b *BodyWriter) Close() error {
	if b.closed {
		return nil
	}
	b.closed = true
	if b.e == nil {
		_, err := b.w.Write(CompressSmall(b.small))
		b.small = nil
		return err
	}
	err := b.e.Close()
	b.e.Reset(nil)
	encoders.Put(b.e)
	b.e = nil
	return err
}

var encoders = sync.Pool{New: func() any {
	return newEncoder(zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(streamWindow))
}}

// CompressSmall returns a whole body compressed as [BodyWriter] compresses one
// of up to [SmallBody] bytes.
func CompressSmall(body []byte) []byte {
	pool := &smallEncoders
	if len(body) <= tinyBody {
		pool = &tinyEncoders
	}
	e, _ := pool.Get().(*zstd.Encoder)
	defer pool.Put(e)
	return e.EncodeAll(body, nil)
}

var tinyEncoders = sync.Pool{New: func() any {
	return newEncoder(zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(SmallBody), zstd.WithEncoderDict(dictionary))
}}

// Level "better" is 7 % smaller than the default on such bodies. "Best" would
// be another 3 %, for seven times the time and 34 MB.
var smallEncoders = sync.Pool{New: func() any {
	return newEncoder(zstd.WithEncoderLevel(zstd.SpeedBetterCompression), zstd.WithWindowSize(SmallBody), zstd.WithEncoderDict(dictionary))
}}

func newEncoder(options ...zstd.EOption) *zstd.Encoder {
	e, err := zstd.NewWriter(nil, append(options, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))...)
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}
