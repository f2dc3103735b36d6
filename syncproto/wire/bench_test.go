package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// The load of the main benches: 10,000 records of ten fields and 1.8 KB, in
// batches of 500.
const benchRecords = 10_000

func BenchmarkEncode(b *testing.B) {
	records := workload(benchRecords)
	b.ReportAllocs()
	for b.Loop() {
		w := wire.NewFrameWriter(io.Discard, wire.Protobuf)
		for i := 0; i < len(records); i += syncproto.MaxBatchItems {
			if err := w.Request(batch(records[i : i+syncproto.MaxBatchItems])); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	body := frames(b, workload(benchRecords))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := wire.NewFrameReader(bytes.NewReader(body), wire.Protobuf)
		n := 0
		for {
			f, err := r.Request()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				b.Fatal(err)
			}
			d, err := wire.NewDecoder(f.GetBatch().GetTables())
			if err != nil {
				b.Fatal(err)
			}
			for _, item := range f.GetBatch().GetItems() {
				if _, err := d.Delta(item.GetDelta()); err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
		if n != benchRecords {
			b.Fatalf("%d records", n)
		}
	}
}

func frames(tb testing.TB, records []syncproto.Record) []byte {
	var out bytes.Buffer
	w := wire.NewFrameWriter(&out, wire.Protobuf)
	for i := 0; i < len(records); i += syncproto.MaxBatchItems {
		if err := w.Request(batch(records[i:min(len(records), i+syncproto.MaxBatchItems)])); err != nil {
			tb.Fatal(err)
		}
	}
	return out.Bytes()
}

func BenchmarkEncodeState(b *testing.B) {
	records := workload(benchRecords)
	stamps := make([]uint64, 10)
	b.ReportAllocs()
	for b.Loop() {
		for _, r := range records {
			if _, err := wire.EncodeState(r, stamps, 1); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkDecodeState(b *testing.B) {
	var states [][]byte
	for _, r := range workload(benchRecords) {
		s, err := wire.EncodeState(r, make([]uint64, 10), 1)
		if err != nil {
			b.Fatal(err)
		}
		states = append(states, s)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, s := range states {
			if _, _, _, err := wire.DecodeState(s); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	body := frames(b, workload(benchRecords))
	var size int
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var out bytes.Buffer
		z := wire.NewBodyWriter(&out)
		if _, err := z.Write(body); err != nil {
			b.Fatal(err)
		}
		if err := z.Close(); err != nil {
			b.Fatal(err)
		}
		size = out.Len()
	}
	b.ReportMetric(float64(size), "wire-bytes")
}

func BenchmarkDecompress(b *testing.B) {
	body := frames(b, workload(benchRecords))
	var out bytes.Buffer
	z := wire.NewBodyWriter(&out)
	if _, err := z.Write(body); err != nil {
		b.Fatal(err)
	}
	if err := z.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		in, err := wire.NewBodyReader(bytes.NewReader(out.Bytes()), wire.EncodingZstd)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, in); err != nil {
			b.Fatal(err)
		}
		if err := in.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
