package wire

import (
	"errors"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/sambang-id/sambang/syncproto"
)

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
