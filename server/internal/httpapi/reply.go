package httpapi

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/sambang-id/sambang/syncproto/wire"
)

// smallReply is up to where a reply is held back, to be compressed with more
// effort and sent in one piece; a larger one streams.
const smallReply = 64 << 10

// reply writes the frames of a response. Until it has smallReply bytes of them
// nothing is sent.
type reply struct {
	w      http.ResponseWriter
	format wire.Format
	zstd   bool
	small  bytes.Buffer
	frame  *wire.FrameWriter
	stream *wire.BodyWriter // set once it streams compressed
	open   bool             // it streams
	frames int
	// streams is called before the reply begins to stream, if it is set. Its
	// error ends the reply before anything of it was sent.
	streams func() error
	refused bool // by streams
}

func newReply(w http.ResponseWriter, format wire.Format, zstd bool) *reply {
	r := &reply{w: w, format: format, zstd: zstd}
	r.frame = wire.NewFrameWriter(r, format)
	return r
}

// Write takes the bytes of a frame.
func (r *reply) Write(p []byte) (int, error) {
	switch {
	case r.stream != nil:
		return r.stream.Write(p)
	case r.open:
		return r.w.Write(p)
	}
	return r.small.Write(p)
}

func (r *reply) send(f *wire.ResponseFrame) error {
	r.frames++
	if err := r.frame.Response(f); err != nil {
		return err
	}
	if !r.open && r.small.Len() < smallReply {
		return nil
	}
	if !r.open {
		if err := r.startStream(); err != nil {
			return err
		}
	}
	if f.GetEnd() != nil {
		return nil // finish follows, and sends it with what ends the body
	}
	return r.flush()
}

func (r *reply) header() {
	h := r.w.Header()
	h.Set("Content-Type", r.format.ContentType())
	if r.zstd {
		h.Set("Content-Encoding", wire.EncodingZstd)
	}
	h.Add("Vary", "Accept, Accept-Encoding")
}

func (r *reply) startStream() error {
	if r.streams != nil {
		if err := r.streams(); err != nil {
			r.refused = true
			return err
		}
	}
	r.header()
	r.open = true
	if r.zstd {
		r.stream = wire.NewBodyWriter(r.w)
	}
	_, err := r.Write(r.small.Bytes())
	r.small = bytes.Buffer{}
	return err
}

func (r *reply) flush() error {
	if r.stream != nil {
		if err := r.stream.Flush(); err != nil {
			return err
		}
	}
	return http.NewResponseController(r.w).Flush()
}

// finish ends the body. A reply that was not finished is not ended at all, and
// its compressor is left to the garbage collector: its last bytes must not
// reach the device.
func (r *reply) finish() error {
	if r.open {
		if r.stream != nil {
			return r.stream.Close()
		}
		return nil
	}
	r.header()
	body := r.small.Bytes()
	if r.zstd {
		body = wire.CompressSmall(body)
	}
	_, err := r.w.Write(body)
	return err
}

// replyFormat is the request's, unless the other one is asked for.
func replyFormat(r *http.Request, asked wire.Format) wire.Format {
	for _, accept := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(accept, ",") {
			if f, ok := wire.FormatOf(one); ok {
				return f
			}
		}
	}
	return asked
}

// wantsZstd: a device that sends zstd reads it, and others may ask for it.
func wantsZstd(r *http.Request) bool {
	if strings.EqualFold(strings.TrimSpace(r.Header.Get("Content-Encoding")), wire.EncodingZstd) {
		return true
	}
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, params, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), wire.EncodingZstd) {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}
