package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
)

// The JSON form is for people and their tools. It can't carry fields of later
// versions, so a name that this version does not know is refused.

// text reads the line of the next frame; it is valid until the next call. Empty
// lines are passed over.
func (r *FrameReader) text() ([]byte, error) {
	for {
		r.buf.Reset()
		eof, err := r.readLine()
		if err != nil {
			return nil, err
		}
		switch text := bytes.TrimSpace(r.buf.Bytes()); {
		case len(text) > 0:
			return text, nil
		case eof:
			return nil, io.EOF
		}
	}
}

// readLine reads up to the next line feed, or the end.
func (r *FrameReader) readLine() (eof bool, err error) {
	for {
		part, err := r.r.ReadSlice('\n')
		r.buf.Write(part)
		switch {
		case r.buf.Len() > MaxJSONFrameBytes:
			return false, syncproto.Errorf(syncproto.CodeTooLarge, "frame %d of more than %d bytes", r.frames, MaxJSONFrameBytes)
		case err == nil:
			return false, nil
		case errors.Is(err, io.EOF):
			return true, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return false, err
		}
	}
}

// checkJSON refuses a frame before memory is spent on it, and returns how many
// elements it has.
func checkJSON(text []byte, frame int) (int, error) {
	if !utf8.Valid(text) {
		return 0, syncproto.Errorf(syncproto.CodeInvalidUTF8, "frame %d is not valid UTF-8", frame)
	}
	n := countJSON(text)
	if n > MaxFrameElements {
		return n, syncproto.Errorf(syncproto.CodeTooMany, "more than %d elements in frame %d", MaxFrameElements, frame)
	}
	return n, nil
}

func unmarshalJSON(text []byte, m proto.Message, frame int) error {
	if _, err := checkJSON(text, frame); err != nil {
		return err
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return syncproto.Errorf(syncproto.CodeMalformed, "frame %d is not a %s in JSON", frame, m.ProtoReflect().Descriptor().Name())
	}
	return nil
}

// countJSON counts the objects and strings of a JSON text.
func countJSON(text []byte) int {
	n, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
			if inString {
				n++
			}
		case c == '{' && !inString:
			n++
		}
	}
	return n
}

// writeLine writes one frame of the JSON form. protojson varies its white
// space from build to build on purpose, so it is taken out.
func (w *FrameWriter) writeLine(m proto.Message) error {
	text, err := protojson.Marshal(m)
	if err != nil {
		return syncproto.Errorf(syncproto.CodeInternal, "encode frame: %v", err)
	}
	var line bytes.Buffer
	if err := json.Compact(&line, text); err != nil {
		return syncproto.Errorf(syncproto.CodeInternal, "encode frame: %v", err)
	}
	if line.Len() > MaxJSONFrameBytes {
		return syncproto.Errorf(syncproto.CodeTooLarge, "frame of %d bytes, at most %d", line.Len(), MaxJSONFrameBytes)
	}
	line.WriteByte('\n')
	_, err = w.w.Write(line.Bytes())
	return err
}
