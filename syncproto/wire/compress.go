package wire

import (
	_ "embed"
	"errors"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/sambang-id/sambang/syncproto"
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

// NewBodyReader returns the decoded body that r holds in contentEncoding:
// "zstd", or "identity" or "" for none; others give
// [syncproto.CodeUnsupportedMedia]. A body beyond [syncproto.MaxBodyBytes] as
// sent gives [syncproto.CodeTooLarge], one beyond [syncproto.MaxDecodedBytes]
// decoded [syncproto.CodeDecompressedSize], one that does not decompress
// [syncproto.CodeMalformed]. Close gives its memory back; it does not close r.
func NewBodyReader(r io.Reader, contentEncoding string) (io.ReadCloser, error) {
	return newReader(r, contentEncoding, syncproto.MaxBodyBytes, syncproto.MaxDecodedBytes)
}

// NewResponseReader is [NewBodyReader] for a device: a response has no limit
// as a whole, because it is applied frame by frame; its window and its frames
// have.
func NewResponseReader(r io.Reader, contentEncoding string) (io.ReadCloser, error) {
	return newReader(r, contentEncoding, math.MaxInt64-1, math.MaxInt64-1)
}

func newReader(r io.Reader, contentEncoding string, maxSent, maxDecoded int64) (io.ReadCloser, error) {
	sent := &capped{r: r, left: maxSent, code: syncproto.CodeTooLarge, limit: maxSent}
	switch strings.ToLower(strings.TrimSpace(contentEncoding)) {
	case "", "identity":
		return io.NopCloser(sent), nil
	case EncodingZstd:
	default:
		return nil, syncproto.Errorf(syncproto.CodeUnsupportedMedia, "content encoding is neither zstd nor identity")
	}
	d, _ := decoders.Get().(*zstd.Decoder)
	if err := d.Reset(sent); err != nil {
		return nil, zstdError(err)
	}
	b := &bodyReader{d: d, sent: sent}
	b.capped = capped{r: d, left: maxDecoded, code: syncproto.CodeDecompressedSize, limit: maxDecoded}
	return b, nil
}

type bodyReader struct {
	capped
	d    *zstd.Decoder
	sent *capped
}

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.d == nil {
		return 0, io.ErrClosedPipe
	}
	n, err := b.capped.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		// What is wrong below the decompressor is the better answer.
		if b.sent.err != nil && !errors.Is(b.sent.err, io.EOF) {
			err = b.sent.err
		} else {
			err = zstdError(err)
		}
	}
	return n, err
}

func (b *bodyReader) Close() error {
	if b.d != nil {
		if b.d.Reset(nil) == nil {
			decoders.Put(b.d)
		}
		b.d, b.r = nil, nil
	}
	return nil
}

func zstdError(err error) error {
	var coded *syncproto.Error
	if errors.As(err, &coded) {
		return err
	}
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		return syncproto.Errorf(syncproto.CodeDecompressedSize, "body decodes to more than %d bytes", syncproto.MaxDecodedBytes)
	}
	return syncproto.Errorf(syncproto.CodeMalformed, "body is not zstd, is cut, or needs a window above %d bytes", MaxWindow)
}

// capped reads at most left bytes, and then fails with a code if there are
// more.
type capped struct {
	r     io.Reader
	left  int64
	limit int64
	code  syncproto.Code
	err   error
}

func (c *capped) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if int64(len(p)) > c.left+1 {
		p = p[:c.left+1]
	}
	n, err := c.r.Read(p)
	if int64(n) > c.left {
		n = int(c.left)
		err = syncproto.Errorf(c.code, "body of more than %d bytes", c.limit)
	}
	c.left -= int64(n)
	c.err = err
	return n, err
}

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(MaxWindow),
		zstd.WithDecoderMaxMemory(syncproto.MaxDecodedBytes),
		zstd.WithDecoderDicts(dictionary))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}}

// SmallBody is the size up to which a body is held back and compressed with
// more effort, and with the dictionary: there a byte costs the sender of a
// village link more than the computing does.
const SmallBody = 128 << 10

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
	e, _ := smallEncoders.Get().(*zstd.Encoder)
	defer smallEncoders.Put(e)
	return e.EncodeAll(body, nil)
}

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
