package wire_test

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// batchOf returns a body of one batch with n times the same field.
func batchOf(field []byte, n int) []byte {
	frame := protowire.AppendTag(nil, 2, protowire.BytesType)
	frame = protowire.AppendBytes(frame, bytes.Repeat(field, n))
	return append(protowire.AppendVarint(nil, uint64(len(frame))), frame...)
}

// allocated returns the bytes that do takes.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestABatchWithTooManyItemsIsRefusedBeforeTheyAreDecoded(t *testing.T) {
	for name, c := range map[string]struct {
		field []byte
		most  int
	}{
		"items":       {[]byte{0x12, 2, 0x12, 0}, syncproto.MaxBatchItems},
		"past writes": {[]byte{0x1a, 0}, syncproto.MaxHistory},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := wire.NewFrameReader(bytes.NewReader(batchOf(c.field, c.most)), wire.Protobuf).Request(); err != nil {
				t.Errorf("at the limit: %v", err)
			}
			body := batchOf(c.field, wire.MaxFrameElements/2)
			took := allocated(func() {
				if _, err := wire.NewFrameReader(bytes.NewReader(body), wire.Protobuf).Request(); !errors.Is(err, syncproto.CodeTooMany) {
					t.Errorf("beyond it: %v", err)
				}
			})
			if took > 4<<20 {
				t.Errorf("%d bytes allocated for a frame of %d that is refused", took, len(body))
			}
		})
	}
}

func TestAFrameWeighsAtLeastWhatItTakesDecoded(t *testing.T) {
	tables := func(n int) []byte { // empty names
		t := bytes.Repeat([]byte{0x12, 0}, n)
		return protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), t)
	}
	extras := func(n int) []byte { // in one item's delta
		e := bytes.Repeat([]byte{0x62, 0}, n)
		delta := protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), e)
		return protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), delta)
	}
	for name, body := range map[string][]byte{
		"items":       batchOf([]byte{0x12, 2, 0x12, 0}, syncproto.MaxBatchItems),
		"past writes": batchOf([]byte{0x1a, 0}, syncproto.MaxHistory),
		"names":       batchOf(tables(150_000), 1),
		"extras":      batchOf(extras(150_000), 1),
		"one value":   batchOf(protowire.AppendBytes(protowire.AppendTag(nil, 9, protowire.BytesType), make([]byte, 1<<20)), 1),
	} {
		t.Run(name, func(t *testing.T) {
			r := wire.NewFrameReader(bytes.NewReader(body), wire.Protobuf)
			weight, err := r.Weigh()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Weigh(); !errors.Is(err, io.EOF) {
				t.Errorf("after the last frame: %v", err)
			}
			var m *wire.RequestFrame
			took := allocated(func() { m, err = wire.NewFrameReader(bytes.NewReader(body), wire.Protobuf).Request() })
			if err != nil {
				t.Fatal(err)
			}
			// What stays: the frame's own buffer and what slices outgrew are garbage at once.
			runtime.GC()
			var with, without runtime.MemStats
			runtime.ReadMemStats(&with)
			runtime.KeepAlive(m)
			m = nil
			runtime.GC()
			runtime.ReadMemStats(&without)
			if stays := int(with.HeapAlloc) - int(without.HeapAlloc); stays > weight+weight/8 { // size classes
				t.Errorf("%d bytes stay (%d allocated) of a frame that weighs %d", stays, took, weight)
			}
		})
	}
}

func TestWhatIsRefusedIsRefusedWhenWeighed(t *testing.T) {
	for name, c := range map[string]struct {
		body   []byte
		format wire.Format
		want   error
	}{
		"nothing":        {nil, wire.Protobuf, io.EOF},
		"cut":            {[]byte{9, 1}, wire.Protobuf, syncproto.CodeMalformed},
		"too large":      {protowire.AppendVarint(nil, syncproto.MaxFrameBytes+1), wire.Protobuf, syncproto.CodeTooLarge},
		"too many":       {batchOf([]byte{0x12, 0}, wire.MaxFrameElements), wire.Protobuf, syncproto.CodeTooMany},
		"too many, JSON": {append(bytes.Repeat([]byte("{"), wire.MaxFrameElements+1), '\n'), wire.JSON, syncproto.CodeTooMany},
		"no UTF-8":       {[]byte("{\"\xff\":1}\n"), wire.JSON, syncproto.CodeInvalidUTF8},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := wire.NewFrameReader(bytes.NewReader(c.body), c.format).Weigh(); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}
