package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
)

// Format is how the frames of a body are written.
type Format int

// The formats.
const (
	Protobuf Format = iota // each frame: its length as a varint, then its bytes
	JSON                   // each frame: one JSON object (protobuf's JSON mapping) on one line
)

// FormatOf returns the format of a content type, parameters aside; false if
// it is none of the protocol's.
func FormatOf(contentType string) (Format, bool) {
	name, _, _ := bytes.Cut([]byte(contentType), []byte(";"))
	switch string(bytes.ToLower(bytes.TrimSpace(name))) {
	case ContentTypeProtobuf:
		return Protobuf, true
	case ContentTypeJSON:
		return JSON, true
	}
	return 0, false
}

// ContentType returns the content type of the format.
func (f Format) ContentType() string {
	if f == JSON {
		return ContentTypeJSON
	}
	return ContentTypeProtobuf
}

// FrameReader reads the frames of one body. It holds one frame at a time.
type FrameReader struct {
	r      *bufio.Reader
	format Format
	buf    bytes.Buffer
	frames int
}

// readAhead is for the lengths of frames: what is longer goes past the buffer
// into the frame.
const readAhead = 4 << 10

// NewFrameReader reads frames from r, which should be a [NewBodyReader].
func NewFrameReader(r io.Reader, format Format) *FrameReader {
	return &FrameReader{r: bufio.NewReaderSize(r, readAhead), format: format}
}

// Request reads the next frame of a request; io.EOF after the last. Other
// errors end the body: [syncproto.CodeMalformed] when it is cut or not the
// protocol's, [syncproto.CodeTooLarge] and [syncproto.CodeTooMany] when a
// frame is beyond the limits, and what the reader below gives.
func (r *FrameReader) Request() (*RequestFrame, error) {
	var m RequestFrame
	if err := r.next(&m); err != nil {
		return nil, err
	}
	if m.Frame == nil {
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "frame %d holds no message of this version", r.frames)
	}
	return &m, nil
}

// Response reads the next frame of a response, as [FrameReader.Request] does.
func (r *FrameReader) Response() (*ResponseFrame, error) {
	var m ResponseFrame
	if err := r.next(&m); err != nil {
		return nil, err
	}
	if m.Frame == nil {
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "frame %d holds no message of this version", r.frames)
	}
	return &m, nil
}

// Weigh reads the next frame of a request, as [FrameReader.Request] does,
// without decoding it, and returns about how many bytes of memory it would take
// decoded. Frames beyond the limits give the same errors; a frame that passes
// may still be malformed.
func (r *FrameReader) Weigh() (int, error) {
	r.frames++
	if r.format == JSON {
		text, err := r.text()
		if err != nil {
			return 0, err
		}
		n, err := checkJSON(text, r.frames)
		return len(text) + n*elementMemory, err
	}
	b, err := r.bytes()
	if err != nil {
		return 0, err
	}
	n, err := checkElements(b, (&RequestFrame{}).ProtoReflect().Descriptor())
	return len(b) + n*elementMemory, err
}

func (r *FrameReader) next(m proto.Message) error {
	r.frames++
	if r.format == JSON {
		text, err := r.text()
		if err != nil {
			return err
		}
		return unmarshalJSON(text, m, r.frames)
	}
	b, err := r.bytes()
	if err != nil {
		return err
	}
	return unmarshal(b, m)
}

// bytes reads the next frame; they are valid until the next call.
func (r *FrameReader) bytes() ([]byte, error) {
	n, err := r.length()
	if err != nil {
		return nil, err
	}
	r.buf.Reset()
	// Grows with what arrives, not with what was announced.
	got, err := io.CopyN(&r.buf, r.r, int64(n))
	switch {
	case errors.Is(err, io.EOF):
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "frame %d is cut: %d bytes of %d", r.frames, got, n)
	case err != nil:
		return nil, err
	}
	return r.buf.Bytes(), nil
}

// length reads the length of the next frame.
func (r *FrameReader) length() (int, error) {
	n := 0
	for shift := 0; ; shift += 7 {
		c, err := r.r.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && shift == 0:
			return 0, io.EOF
		case errors.Is(err, io.EOF):
			return 0, syncproto.Errorf(syncproto.CodeMalformed, "frame %d is cut in its length", r.frames)
		case err != nil:
			return 0, err
		}
		n |= int(c&0x7f) << shift
		switch {
		case n > syncproto.MaxFrameBytes:
			return 0, syncproto.Errorf(syncproto.CodeTooLarge, "frame %d of more than %d bytes", r.frames, syncproto.MaxFrameBytes)
		case c < 0x80:
			return n, nil
		case shift >= 28:
			return 0, syncproto.Errorf(syncproto.CodeMalformed, "length of frame %d is no varint", r.frames)
		}
	}
}

// FrameWriter writes the frames of one body.
type FrameWriter struct {
	w      io.Writer
	format Format
	buf    []byte
}

// NewFrameWriter writes frames to w, each with one Write.
func NewFrameWriter(w io.Writer, format Format) *FrameWriter {
	return &FrameWriter{w: w, format: format}
}

// Request writes a frame of a request. One beyond [syncproto.MaxFrameBytes] is
// refused with [syncproto.CodeTooLarge] and not written.
func (w *FrameWriter) Request(m *RequestFrame) error { return w.write(m) }

// Response writes a frame of a response, as [FrameWriter.Request] does.
func (w *FrameWriter) Response(m *ResponseFrame) error { return w.write(m) }

// lengthBytes is room for the varint before a frame.
const lengthBytes = binary.MaxVarintLen32

func (w *FrameWriter) write(m proto.Message) error {
	if w.format == JSON {
		return w.writeLine(m)
	}
	var room [lengthBytes]byte
	b, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(append(w.buf[:0], room[:]...), m)
	if err != nil {
		return syncproto.Errorf(syncproto.CodeInternal, "encode frame: %v", err)
	}
	w.buf = b
	n := len(b) - lengthBytes
	if n > syncproto.MaxFrameBytes {
		return syncproto.Errorf(syncproto.CodeTooLarge, "frame of %d bytes, at most %d", n, syncproto.MaxFrameBytes)
	}
	used := binary.PutUvarint(room[:], uint64(n))
	start := lengthBytes - used
	copy(b[start:], room[:used])
	_, err = w.w.Write(b[start:])
	return err
}
