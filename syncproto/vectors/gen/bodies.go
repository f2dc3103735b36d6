package gen

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// bodies are request bodies that are wrong as a whole, or in one item.
func bodies() []vectors.Body {
	good := frame(func(*wire.Batch) {})
	out := []vectors.Body{
		{Name: "empty", Says: "No frame at all: the end, at once.", Bytes: ""},
		{Name: "truncated-length", Says: "Cut within the length of a frame.", Bytes: "85"},
		{Name: "truncated-frame", Says: "Cut within a frame.", Bytes: hex.EncodeToString(good[:len(good)/2])},
		{Name: "oversized", Says: "The announced length is beyond the limit.", Bytes: hex.EncodeToString(protowire.AppendVarint(nil, syncproto.MaxFrameBytes+1))},
		{Name: "endless-length", Says: "A length that does not end.", Bytes: strings.Repeat("80", 12)},
		{Name: "empty-frame", Says: "A frame that holds no message of this version.", Bytes: "00"},
		{Name: "not-protobuf", Says: "A frame that is not protobuf.", Bytes: "02ffff"},
		{Name: "bomb", Says: "A body of 900 bytes that decompresses to one byte above the limit, all zeros.", Encoding: "zstd", Bytes: hex.EncodeToString(bomb())},
		{Name: "not-zstd", Says: "Said to be zstd, and is not.", Encoding: "zstd", Bytes: hex.EncodeToString(good)},
		{Name: "wide-window", Says: "zstd with a window of 16 MiB, twice what is allowed.", Encoding: "zstd", Bytes: hex.EncodeToString(zstdFrame([]byte{0x00, 14 << 3}, []byte{0}))},
		{Name: "wrong-encoding", Says: "An encoding that the protocol does not have.", Encoding: "br", Bytes: hex.EncodeToString(good)},
		{Name: "dictionary", Says: "Compressed with the dictionary of version 1.", Encoding: "zstd", Bytes: withDictionary},
		{Name: "json-unknown-name", Says: "The JSON form can't keep what it does not know, so it refuses it.", Format: "json", Bytes: hex.EncodeToString([]byte(`{"open":{"version":1,"later":true}}`))},
		{Name: "json-not-utf8", Says: "JSON that is not UTF-8.", Format: "json", Bytes: hex.EncodeToString([]byte("{\"open\":{\"app\":\"\xff\"}}"))},
		{Name: "json-cut", Says: "JSON that is cut.", Format: "json", Bytes: hex.EncodeToString([]byte(`{"open":{"version":1`))},
		{Name: "json", Says: "Two frames in the JSON form, with an empty line between them.", Format: "json", Bytes: hex.EncodeToString([]byte(`{"open":{"version":1}}` + "\n\n" + `{"batch":{}}` + "\n"))},
	}
	out = append(out, items()...)
	for i := range out {
		b := &out[i]
		if b.Format == "" {
			b.Format = "protobuf"
		}
		outcome(b)
	}
	return out
}

// items are bodies with one item that is wrong.
func items() []vectors.Body {
	delta := func(b *wire.Batch) *wire.Delta { return b.Items[0].Delta }
	first := func(b *wire.Batch, v string) {
		_, rest, _ := strings.Cut(delta(b).Values, "\n")
		delta(b).Values = v + "\n" + rest
	}
	body := func(name, says string, spoil func(*wire.Batch)) vectors.Body {
		return vectors.Body{Name: "item-" + name, Says: says, Bytes: hex.EncodeToString(frame(spoil))}
	}
	return []vectors.Body{
		body("good", "An item with nothing wrong, for comparison.", func(*wire.Batch) {}),
		body("short-id", "A record id of 15 bytes.", func(b *wire.Batch) { delta(b).Id = delta(b).Id[:15] }),
		body("zero-id", "The zero record id.", func(b *wire.Batch) { delta(b).Id = make([]byte, 16) }),
		body("no-context", "A delta without a context.", func(b *wire.Batch) { delta(b).Ctx = nil }),
		body("replica-twice", "A context with two entries of one replica.", func(b *wire.Batch) {
			v := delta(b).Ctx
			v.Replica, v.N = append(v.Replica, v.Replica[0]), append(v.N, 9)
		}),
		body("counter-too-high", "A counter above 2^53.", func(b *wire.Batch) { delta(b).Ctx.N[0] = syncproto.MaxCounter + 1 }),
		body("replica-index", "A replica beyond the table.", func(b *wire.Batch) { delta(b).Ctx.Replica[0] = 7 }),
		body("dot-above-context", "A dot whose back leads below 1. (A dot above its context can't be written down.)", func(b *wire.Batch) { delta(b).Back[0] = 3 }),
		body("base-above-context", "A base that the context does not cover.", func(b *wire.Batch) { delta(b).Base = &wire.Vector{Replica: []uint32{0}, N: []uint64{4}} }),
		body("floor-above-context", "A floor that the context does not cover.", func(b *wire.Batch) { delta(b).Floor = &wire.Vector{Replica: []uint32{0}, N: []uint64{4}} }),
		body("elided-not-in-base", "A value is left out whose dot is not in the base.", func(b *wire.Batch) { first(b, "") }),
		body("unsorted-paths", "Fields not in order of their paths.", func(b *wire.Batch) { p := delta(b).Path; p[0], p[1] = p[1], p[0] }),
		body("path-twice", "A path twice.", func(b *wire.Batch) { delta(b).Path[1] = delta(b).Path[0] }),
		body("unsorted-dots", "Siblings not in order of their dots.", func(b *wire.Batch) {
			d := delta(b)
			d.Path, d.Siblings, d.Back[0], d.Back[1] = d.Path[:2], []uint32{2, 1}, d.Back[1], d.Back[0]
		}),
		body("field-without-sibling", "A field without a sibling.", func(b *wire.Batch) { delta(b).Siblings = []uint32{0, 2, 1} }),
		body("missing-value", "Fewer values than siblings.", func(b *wire.Batch) { delta(b).Values, _, _ = strings.Cut(delta(b).Values, "\n") }),
		body("bad-path", "A path with an empty segment.", func(b *wire.Batch) { b.Tables.Paths[2] = "findings//1" }),
		body("path-not-utf8", "A path that is not UTF-8. The frame is read all the same.", func(b *wire.Batch) { b.Tables.Paths[2] = "\xff" }),
		body("bad-scope", "A scope that is not a district.", func(b *wire.Batch) { b.Tables.Scopes[0] = "35.24" }),
		body("not-json", "A value that is not JSON.", func(b *wire.Batch) { first(b, "inspection") }),
		body("not-canonical", "A value with its keys out of order.", func(b *wire.Batch) { first(b, `{"b":1,"a":2}`) }),
		body("value-not-utf8", "A value that is not UTF-8.", func(b *wire.Batch) { first(b, "\"\xff\"") }),
		body("deep-value", "A value nested deeper than 16.", func(b *wire.Batch) {
			first(b, strings.Repeat("[", syncproto.MaxValueDepth+1)+"1"+strings.Repeat("]", syncproto.MaxValueDepth+1))
		}),
		body("suspect-index", "A suspect sibling that is not there.", func(b *wire.Batch) { delta(b).Suspect = []uint32{3} }),
		body("extra-too-large", "More for later versions than a sibling may carry.", func(b *wire.Batch) { delta(b).Extra = []*wire.Extra{{Signature: make([]byte, wire.MaxExtraBytes)}} }),
	}
}

// frame is a body of one batch: an item that spoil may spoil, and a good one.
func frame(spoil func(*wire.Batch)) []byte {
	m := syncproto.NewMinter(0xa1, 0)
	e := wire.NewEncoder(0)
	b := &wire.Batch{}
	for _, name := range []string{"one", "two"} {
		var r syncproto.Record
		var err error
		r, m, _, _, err = m.Write(syncproto.NewRecord(recordID(name)), 0, start,
			set(syncproto.PathKind, "inspection"), set(syncproto.PathScope, "35.24.14"), set("findings", name))
		check(err)
		b.Items = append(b.Items, &wire.Item{Scope: e.Scope(r.Home()), Delta: e.Delta(r.Full())})
	}
	b.Tables = e.Tables()
	// The good item has table entries of its own.
	b.Tables.Paths = append(b.Tables.Paths, b.Tables.Paths...)
	b.Tables.Scopes = append(b.Tables.Scopes, b.Tables.Scopes...)
	two := b.Items[1]
	two.Scope = 1
	for i := range two.Delta.Path {
		two.Delta.Path[i] += uint32(len(b.Tables.Paths) / 2)
	}
	spoil(b)
	var out bytes.Buffer
	check(wire.NewFrameWriter(&out, wire.Protobuf).Request(&wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: b}}))
	return out.Bytes()
}

// outcome reads a body and writes down what comes of it.
func outcome(b *vectors.Body) {
	raw, err := hex.DecodeString(b.Bytes)
	check(err)
	format := wire.Protobuf
	if b.Format == "json" {
		format = wire.JSON
	}
	names := vectors.Names{0xa1: "X"}
	in, err := wire.NewBodyReader(bytes.NewReader(raw), b.Encoding)
	for r := wire.NewFrameReader(in, format); err == nil; {
		var f *wire.RequestFrame
		if f, err = r.Request(); err == nil {
			b.Frames++
			var more []vectors.Item
			more, err = names.Items(f.GetBatch())
			b.Items = append(b.Items, more...)
		}
	}
	if !errors.Is(err, io.EOF) {
		b.Refused = string(syncproto.CodeOf(err))
	}
}

// zstdFrame is a zstd frame by hand: a header and one raw block.
func zstdFrame(header, raw []byte) []byte {
	out := append([]byte{0x28, 0xb5, 0x2f, 0xfd}, header...)
	return block(out, raw, true)
}

func block(b, raw []byte, last bool) []byte {
	h := uint32(len(raw)) << 3
	if last {
		h |= 1
	}
	b = append(b, byte(h), byte(h>>8), byte(h>>16))
	return append(b, raw...)
}

// bomb is a zstd frame of blocks that each say 128 KiB of zeros in a byte.
func bomb() []byte {
	const most = 128 << 10
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3} // a window of 128 KiB
	for left := syncproto.MaxDecodedBytes + 1; left > 0; {
		n := min(left, most)
		left -= n
		h := uint32(n)<<3 | 1<<1 // repeated byte
		if left == 0 {
			h |= 1
		}
		out = append(out, byte(h), byte(h>>8), byte(h>>16), 0)
	}
	return out
}
