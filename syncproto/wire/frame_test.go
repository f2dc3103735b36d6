package wire_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

func TestFramesAreReadFromSlowAndCutStreams(t *testing.T) {
	body := frames(t, workload(2))
	r := wire.NewFrameReader(iotest.OneByteReader(bytes.NewReader(body)), wire.Protobuf)
	if _, err := r.Request(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Request(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for n := 1; n < len(body); n += 7 {
		if _, err := wire.NewFrameReader(bytes.NewReader(body[:n]), wire.Protobuf).Request(); !errors.Is(err, syncproto.CodeMalformed) {
			t.Fatalf("cut at %d of %d: %v", n, len(body), err)
		}
	}
	// What the connection says is passed on as it is.
	broken := errors.New("connection reset")
	for _, format := range []wire.Format{wire.Protobuf, wire.JSON} {
		for _, sent := range [][]byte{nil, {0x85}, []byte(`{"open":{`)} {
			r := io.MultiReader(bytes.NewReader(sent), iotest.ErrReader(broken))
			if _, err := wire.NewFrameReader(r, format).Request(); !errors.Is(err, broken) {
				t.Errorf("format %d after %d bytes: %v", format, len(sent), err)
			}
		}
	}
}

func TestFramesBeyondTheLimitsAreRefused(t *testing.T) {
	element := []byte{0x12, 0} // an empty item
	small := bytes.Repeat(element, wire.MaxFrameElements+1)
	inBatch := func(b []byte) []byte {
		frame := protowire.AppendTag(nil, 2, protowire.BytesType)
		frame = protowire.AppendBytes(frame, b)
		return append(protowire.AppendVarint(nil, uint64(len(frame))), frame...)
	}
	for name, c := range map[string]struct {
		body []byte
		code syncproto.Code
	}{
		"length beyond the limit":   {protowire.AppendVarint(nil, syncproto.MaxFrameBytes+1), syncproto.CodeTooLarge},
		"length of 2^63":            {protowire.AppendVarint(nil, 1<<63), syncproto.CodeMalformed},
		"length that does not end":  {bytes.Repeat([]byte{0x80}, 20), syncproto.CodeMalformed},
		"empty frame":               {[]byte{0}, syncproto.CodeMalformed},
		"frame of no message":       {[]byte{3, 0x7a, 1, 1}, syncproto.CodeMalformed},
		"not protobuf":              {[]byte{2, 0xff, 0xff}, syncproto.CodeMalformed},
		"a group that does not end": {[]byte{1, 0x13}, syncproto.CodeMalformed},
		"too many elements":         {inBatch(small), syncproto.CodeTooMany},
		"string that is not UTF-8":  {[]byte{6, 0x0a, 4, 0x6a, 2, 0xff, 0xfe}, syncproto.CodeMalformed},
	} {
		if _, err := wire.NewFrameReader(bytes.NewReader(c.body), wire.Protobuf).Request(); !errors.Is(err, c.code) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	for name, c := range map[string]struct {
		body string
		code syncproto.Code
	}{
		"line beyond the limit":   {strings.Repeat(" ", wire.MaxJSONFrameBytes+10), syncproto.CodeTooLarge},
		"not JSON":                {"open", syncproto.CodeMalformed},
		"unknown name":            {`{"open":{"later":1}}`, syncproto.CodeMalformed},
		"cut":                     {`{"open":{"version":1`, syncproto.CodeMalformed},
		"frame of no message":     {`{}`, syncproto.CodeMalformed},
		"two frames on one line":  {`{"open":{}}{"open":{}}`, syncproto.CodeMalformed},
		"not UTF-8":               {"{\"open\":{\"app\":\"\xff\"}}", syncproto.CodeInvalidUTF8},
		"too many elements":       {`{"batch":{"items":[{}` + strings.Repeat(`,{}`, wire.MaxFrameElements) + `]}}`, syncproto.CodeTooMany},
		"lone surrogate":          {`{"open":{"app":"\ud800"}}`, syncproto.CodeMalformed},
		"number out of its range": {`{"open":{"version":4294967296}}`, syncproto.CodeMalformed},
	} {
		if _, err := wire.NewFrameReader(strings.NewReader(c.body), wire.JSON).Request(); !errors.Is(err, c.code) {
			t.Errorf("JSON, %s: %v, want %s", name, err, c.code)
		}
	}
	huge := batch(workload(1))
	huge.GetBatch().Items[0].Delta.Values = strings.Repeat("a", syncproto.MaxFrameBytes)
	for _, format := range []wire.Format{wire.Protobuf, wire.JSON} {
		var out bytes.Buffer
		if format == wire.JSON {
			huge.GetBatch().Items[0].Delta.Values = strings.Repeat("a", wire.MaxJSONFrameBytes)
		}
		if err := wire.NewFrameWriter(&out, format).Request(huge); !errors.Is(err, syncproto.CodeTooLarge) || out.Len() > 0 {
			t.Errorf("format %d writes %d bytes, %v", format, out.Len(), err)
		}
	}
}

// TestAFrameCostsABoundedMultipleOfItsSize: a hostile frame of the greatest
// size, made of the smallest elements.
func TestAFrameCostsABoundedMultipleOfItsSize(t *testing.T) {
	items := bytes.Repeat([]byte{0x12, 2, 0x12, 0}, wire.MaxFrameElements/2) // items with an empty delta
	frame := protowire.AppendTag(nil, 2, protowire.BytesType)
	frame = protowire.AppendBytes(frame, items)
	body := append(protowire.AppendVarint(nil, uint64(len(frame))), frame...)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	m, err := wire.NewFrameReader(bytes.NewReader(body), wire.Protobuf).Request()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, syncproto.CodeTooMany) && err != nil {
		t.Fatal(err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 64<<20 {
		t.Errorf("%d bytes allocated for a frame of %d (%d items)", got, len(body), len(m.GetBatch().GetItems()))
	}
}

func TestFormatsHaveTheirContentTypes(t *testing.T) {
	for _, format := range []wire.Format{wire.Protobuf, wire.JSON} {
		got, ok := wire.FormatOf(strings.ToUpper(format.ContentType()) + " ; charset=utf-8")
		if !ok || got != format {
			t.Errorf("%s is format %d", format.ContentType(), got)
		}
	}
	for _, s := range []string{"", "application/json", "application/vnd.sambang.sync+cbor", "application/vnd.sambang.sync"} {
		if _, ok := wire.FormatOf(s); ok {
			t.Errorf("%q is a format", s)
		}
	}
}

// TestTheSizeOfAFrameIsKnownWhileItIsMade: a sender can stop in time.
func TestTheSizeOfAFrameIsKnownWhileItIsMade(t *testing.T) {
	records := workload(300)
	e := wire.NewEncoder(0)
	b := &wire.Batch{}
	for i, r := range records {
		b.Items = append(b.Items, &wire.Item{Scope: e.Scope(r.Home()), Delta: e.Delta(r.Full()), Repair: true})
		b.History = append(b.History, e.History(wire.PastWrite{Scope: "35.24.14/H", Record: r.ID(), Path: "a/b", Dot: syncproto.Dot{Replica: 1 << 60, N: 1 << 50}, HLC: 1, Value: syncproto.MustValue("x")}),
			e.History(wire.PastWrite{Dot: syncproto.Dot{Replica: 1 << 60, N: 1 << 50}, Step: syncproto.Digest{1}}))
		b.Tables = e.Tables()
		if i%50 > 0 {
			continue
		}
		var out bytes.Buffer
		if err := wire.NewFrameWriter(&out, wire.Protobuf).Request(&wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}}); err != nil {
			t.Fatal(err)
		}
		// Frame, item and tables have headers that no part of the encoder sees.
		if got := out.Len(); got > e.Size()+40+12*len(b.Items) || got < e.Size()*9/10-1000 {
			t.Errorf("%d records take %d bytes, Size says %d", i+1, got, e.Size())
		}
	}
}
