package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// shot is one hostile request: to an address with headers and a body.
type shot struct {
	path     string
	header   map[string]string // beside the token of a device
	declared int64             // Content-Length, if not that of the body
	body     []byte
}

// sync is a body to the route that takes the most.
func syncShot(encoding string, body []byte) shot {
	h := map[string]string{"Content-Type": wire.ContentTypeProtobuf}
	if encoding != "" {
		h["Content-Encoding"] = encoding
	}
	return shot{path: "/v1/sync", header: h, body: body}
}

// zeros are 2 GiB of zeros in about 65 KB: each block of the compressed body is one byte and a count.
func zeros() ([]byte, error) { return bomb(nil, make([]byte, 1<<20), 2<<10) }

// inflating is the same size of frames that are frames, as long as the protocol lets them come: an unknown field
// of zeros in a batch.
func inflating() ([]byte, error) {
	const most = syncproto.MaxFrameBytes - 32
	field := protowire.AppendTag(nil, 99, protowire.BytesType)
	field = protowire.AppendBytes(field, make([]byte, most))
	frame := protowire.AppendTag(nil, 2, protowire.BytesType) // RequestFrame.batch
	frame = protowire.AppendBytes(frame, field)
	return bomb(frames(opening()), append(binary.AppendUvarint(nil, uint64(len(frame))), frame...), 1400)
}

// bomb compresses a head and many times the same part, with the largest window that a server takes.
func bomb(head, part []byte, times int) ([]byte, error) {
	var b bytes.Buffer
	e, err := zstd.NewWriter(&b, zstd.WithWindowSize(wire.MaxWindow), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	if _, err := e.Write(head); err != nil {
		return nil, err
	}
	for range times {
		if _, err := e.Write(part); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), e.Close()
}

// huge is a frame that says to have 2^63 bytes.
func huge() []byte { return binary.AppendUvarint(frames(opening()), 1<<63) }

// crowded is a frame of as many empty elements as the limits allow: a few bytes each on the wire, a hundred in
// memory.
func crowded() []byte {
	item := []byte{0x12, 2, 0x12, 0} // a Batch's item with an empty delta
	items := bytes.Repeat(item, wire.MaxFrameElements/2-8)
	frame := protowire.AppendTag(nil, 2, protowire.BytesType)
	frame = protowire.AppendBytes(frame, items)
	return append(binary.AppendUvarint(frames(opening()), uint64(len(frame))), frame...)
}

// tiny are n frames with nothing in them.
func tiny(n int) []byte {
	empty := frames(&wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: &wire.Batch{}}})
	return append(frames(opening()), bytes.Repeat(empty, n)...)
}

// longVector is a record whose context names n replicas.
func longVector(n int) []byte {
	t := &wire.Tables{Scopes: []string{attackRegion}, Paths: []string{"a"}}
	ctx := &wire.Vector{}
	for i := range n {
		t.Replicas = append(t.Replicas, uint64(i)+1)
		ctx.Replica = append(ctx.Replica, uint32(i)) //nolint:gosec // below a million
		ctx.N = append(ctx.N, uint64(i)+1)
	}
	delta := &wire.Delta{Id: bytes.Repeat([]byte{7}, 16), Ctx: ctx}
	return frames(opening(), &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: &wire.Batch{Tables: t, Items: []*wire.Item{{Delta: delta}}}}})
}

// deep are 200 brackets wherever JSON is read: as a frame, as a value of a record, as an enrolment.
func deep() []shot {
	nested := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	objects := strings.Repeat(`{"batch":`, 200) + "{}" + strings.Repeat("}", 200)
	value := fmt.Sprintf(`{"open":{"version":1,"nonce":"AAAAAAAAAAAAAAAAAAAAAA=="}}`+"\n"+
		`{"batch":{"tables":{"replicas":["7"],"paths":["a"],"scopes":[%q]},"items":[{"delta":{"id":"AAAAAAAAcACAAAAAAAAAAQ==","ctx":{"replica":[0],"n":["1"]},"path":[0],"values":%q}}]}}`,
		attackRegion, nested)
	json := func(path, kind, body string) shot {
		return shot{path: path, header: map[string]string{"Content-Type": kind}, body: []byte(body)}
	}
	return []shot{
		json("/v1/sync", wire.ContentTypeJSON, objects),
		json("/v1/sync", wire.ContentTypeJSON, nested),
		json("/v1/sync", wire.ContentTypeJSON, value),
		json("/v1/enrol", "application/json", nested),
		json("/v1/enrol", "application/json", objects),
	}
}
