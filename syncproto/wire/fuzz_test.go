package wire_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// coded fails unless err is a refusal with a code of its own.
func coded(t *testing.T, err error) {
	t.Helper()
	if code := syncproto.CodeOf(err); code == "" || code == syncproto.CodeInternal {
		t.Fatalf("error without a code: %v", err)
	}
}

// FuzzRequestFrame: frames that parse are written again and read as equal;
// the items in them decode or are refused with a code.
func FuzzRequestFrame(f *testing.F) {
	f.Add(frames(f, workload(2)))
	f.Add([]byte{0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x7f})
	for _, b := range seeds(f, "request") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) { fuzzRequests(t, body, wire.Protobuf) })
}

// FuzzJSONFrame does the same with the JSON form.
func FuzzJSONFrame(f *testing.F) {
	var line bytes.Buffer
	if err := wire.NewFrameWriter(&line, wire.JSON).Request(batch(workload(1))); err != nil {
		f.Fatal(err)
	}
	f.Add(line.Bytes())
	f.Add([]byte("{}\n\n{\"open\":{}}"))
	for _, b := range seeds(f, "json") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) { fuzzRequests(t, body, wire.JSON) })
}

func fuzzRequests(t *testing.T, body []byte, format wire.Format) {
	r := wire.NewFrameReader(bytes.NewReader(body), format)
	for {
		frame, err := r.Request()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			coded(t, err)
			return
		}
		var out bytes.Buffer
		if err := wire.NewFrameWriter(&out, format).Request(frame); err != nil {
			// Damaged text of one record has no JSON form; a spelling may be
			// shorter than ours.
			if code := syncproto.CodeOf(err); code != syncproto.CodeInternal && code != syncproto.CodeTooLarge {
				t.Fatalf("frame that was read is not written: %v", err)
			}
		} else {
			again, err := wire.NewFrameReader(&out, format).Request()
			if err != nil || !proto.Equal(frame, again) {
				t.Fatalf("frame reads as another one: %v", err)
			}
		}
		fuzzBatch(t, frame.GetBatch())
	}
}

func fuzzBatch(t *testing.T, b *wire.Batch) {
	d, err := wire.NewDecoder(b.GetTables())
	if err != nil {
		coded(t, err)
		return
	}
	for _, item := range b.GetItems() {
		delta := fuzzDelta(t, d, item.GetDelta())
		if s, err := d.Scope(item.GetScope()); err != nil {
			coded(t, err)
		} else if _, err := syncproto.ParseScope(string(s)); err != nil {
			t.Fatalf("scope %q", s)
		}
		d.Name(item.GetDelta())
		steps := d.Steps(item.GetDelta())
		if delta != nil {
			checkSteps(t, *delta, steps)
		}
		raw, err := wire.EncodeQuarantined(b.GetTables(), item)
		if err != nil {
			t.Fatalf("item can't be kept: %v", err)
		}
		tables, kept, err := wire.DecodeQuarantined(raw)
		if err != nil {
			t.Fatalf("kept item can't be read: %v", err)
		}
		again, err := wire.EncodeQuarantined(tables, kept)
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("kept item is kept as another one: %v", err)
		}
		keptDecoder, err := wire.NewDecoder(tables)
		if err != nil {
			t.Fatal(err)
		}
		keptDelta := fuzzDelta(t, keptDecoder, kept.GetDelta())
		if (delta == nil) != (keptDelta == nil) {
			t.Fatal("a kept item decodes otherwise than it was sent")
		}
		if delta != nil && !equalDeltas(*delta, *keptDelta) {
			t.Fatal("a kept item decodes to another delta")
		}
	}
	for _, h := range b.GetHistory() {
		w, err := d.History(h)
		if err != nil {
			coded(t, err)
			continue
		}
		e := wire.NewEncoder(12345)
		m := e.History(w)
		d2, err := wire.NewDecoder(e.Tables())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := d2.History(m); err != nil || again != w {
			t.Fatalf("past write %+v reads as %+v, %v", w, again, err)
		}
	}
}

// fuzzDelta returns nil if m is refused; otherwise it has checked that the
// delta encodes to one that decodes equal.
func fuzzDelta(t *testing.T, d *wire.Decoder, m *wire.Delta) *syncproto.Delta {
	delta, err := d.Delta(m)
	if err != nil {
		coded(t, err)
		return nil
	}
	e := wire.NewEncoder(98765)
	again := e.Delta(delta)
	d2, err := wire.NewDecoder(e.Tables())
	if err != nil {
		t.Fatal(err)
	}
	back, err := d2.Delta(again)
	if err != nil || !equalDeltas(delta, back) {
		t.Fatalf("delta reads as another one: %v", err)
	}
	if n := proto.Size(again) + proto.Size(e.Tables()); n > e.Size() || n > wire.DeltaSize(delta) {
		t.Fatalf("encoded in %d bytes; Size says %d, DeltaSize %d", n, e.Size(), wire.DeltaSize(delta))
	}
	return &delta
}

func checkSteps(t *testing.T, delta syncproto.Delta, steps []wire.Step) {
	var want []wire.Step
	for f := range delta.Fields() {
		for _, s := range f.Siblings {
			if !s.Elided() {
				want = append(want, wire.Step{Dot: s.Dot, Digest: syncproto.Step(delta.ID(), f.Path, s.Dot, s.HLC, s.Value)})
			}
		}
	}
	if len(want) != len(steps) {
		t.Fatalf("%d steps, want %d", len(steps), len(want))
	}
	for i := range want {
		if want[i] != steps[i] {
			t.Fatalf("step %d of %s differs", i, want[i].Dot)
		}
	}
}

func equalDeltas(a, b syncproto.Delta) bool {
	if a.ID() != b.ID() || !a.Base().Equal(b.Base()) || !a.Context().Equal(b.Context()) || !a.Floor().Equal(b.Floor()) || a.Len() != b.Len() {
		return false
	}
	var fields []syncproto.Field
	for f := range a.Fields() {
		fields = append(fields, f)
	}
	i := 0
	for f := range b.Fields() {
		g := fields[i]
		i++
		if f.Path != g.Path || len(f.Siblings) != len(g.Siblings) {
			return false
		}
		for j := range f.Siblings {
			if f.Siblings[j] != g.Siblings[j] {
				return false
			}
		}
	}
	return true
}

func FuzzResponseFrame(f *testing.F) {
	for _, b := range seeds(f, "response") {
		f.Add(b)
	}
	f.Add([]byte{2, 0x1a, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := wire.NewFrameReader(bytes.NewReader(body), wire.Protobuf)
		for {
			frame, err := r.Response()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				coded(t, err)
				return
			}
			var out bytes.Buffer
			if err := wire.NewFrameWriter(&out, wire.Protobuf).Response(frame); err != nil {
				t.Fatalf("frame that was read is not written: %v", err)
			}
			again, err := wire.NewFrameReader(&out, wire.Protobuf).Response()
			if err != nil || !proto.Equal(frame, again) {
				t.Fatalf("frame reads as another one: %v", err)
			}
			tables := frame.GetFeed().GetTables()
			if frame.GetBegin() != nil {
				tables = frame.GetBegin().GetTables()
			}
			d, err := wire.NewDecoder(tables)
			if err != nil {
				coded(t, err)
				continue
			}
			for _, e := range frame.GetFeed().GetEntries() {
				fuzzDelta(t, d, e.GetDelta())
				for _, v := range []*wire.Vector{e.GetLeft().GetCtx(), e.GetVerdict().GetCtx()} {
					if _, err := d.Vector(v); err != nil {
						coded(t, err)
					}
				}
			}
			for _, o := range frame.GetBegin().GetOutcomes() {
				if o.GetReply() != nil {
					fuzzDelta(t, d, o.GetReply())
				}
			}
			if _, err := wire.VerifyReceipt(make([]byte, 32), frame.GetBegin().GetReceipt()); !errors.Is(err, syncproto.CodeBadReceipt) {
				t.Fatalf("forged receipt: %v", err)
			}
		}
	})
}

// FuzzTables takes the tables and the delta apart from any frame.
func FuzzTables(f *testing.F) {
	for _, r := range workload(2) {
		e := wire.NewEncoder(7)
		m := e.Delta(r.Full())
		tables, err := proto.Marshal(e.Tables())
		if err != nil {
			f.Fatal(err)
		}
		delta, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(tables, delta)
	}
	f.Fuzz(func(t *testing.T, tables, delta []byte) {
		var tm wire.Tables
		var dm wire.Delta
		if proto.Unmarshal(tables, &tm) != nil || proto.Unmarshal(delta, &dm) != nil {
			return
		}
		d, err := wire.NewDecoder(&tm)
		if err != nil {
			coded(t, err)
			return
		}
		fuzzDelta(t, d, &dm)
	})
}

func FuzzState(f *testing.F) {
	for i, r := range workload(3) {
		stamps := make([]uint64, r.Len())
		for j := range stamps {
			stamps[j] = uint64(i * j)
		}
		b, err := wire.EncodeState(r, stamps, uint64(i))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	for _, b := range stateSeeds(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, stamps, entered, err := wire.DecodeState(b)
		if err != nil {
			coded(t, err)
			return
		}
		out, err := wire.EncodeState(rec, stamps, entered)
		if err != nil {
			t.Fatal(err)
		}
		again, stamps2, entered2, err := wire.DecodeState(out)
		if err != nil || !again.Equal(rec) || entered2 != entered || len(stamps2) != len(stamps) {
			t.Fatalf("state reads as another one: %v", err)
		}
		if out2, err := wire.EncodeState(again, stamps2, entered2); err != nil || !bytes.Equal(out, out2) {
			t.Fatalf("one state, two encodings: %v", err)
		}
		if general := generalState(t, rec, stamps, entered); !bytes.Equal(out, general) {
			t.Fatalf("by hand\n%x\nin general\n%x", out, general)
		}
	})
}

func FuzzChange(f *testing.F) {
	for _, r := range workload(2) {
		b, err := wire.EncodeChange(r.Full(), wire.PastWrite{Dot: syncproto.Dot{Replica: 5, N: 6}, Step: syncproto.Digest{1}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		delta, history, err := wire.DecodeChange(b)
		if err != nil {
			coded(t, err)
			return
		}
		out, err := wire.EncodeChange(delta, history...)
		if err != nil {
			t.Fatal(err)
		}
		delta2, history2, err := wire.DecodeChange(out)
		if err != nil || !equalDeltas(delta, delta2) || len(history) != len(history2) {
			t.Fatalf("change reads as another one: %v", err)
		}
		for i := range history {
			if history[i] != history2[i] {
				t.Fatalf("past write %d differs", i)
			}
		}
	})
}

func FuzzContext(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 5, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := wire.DecodeContext(b)
		if err != nil {
			coded(t, err)
			return
		}
		if out := wire.EncodeContext(v); !bytes.Equal(out, b) {
			t.Fatalf("%x is also %x", b, out)
		}
	})
}

// FuzzBody: no compressed body costs more than its limit, and every failure
// has a code.
func FuzzBody(f *testing.F) {
	f.Add(wire.CompressSmall(frames(f, workload(1))))
	f.Add(wire.CompressSmall(make([]byte, 1<<20)))
	f.Add([]byte{0x28, 0xb5, 0x2f, 0xfd})
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := wire.NewBodyReader(bytes.NewReader(b), wire.EncodingZstd)
		if err != nil {
			coded(t, err)
			return
		}
		n, err := io.Copy(io.Discard, in)
		if err != nil {
			coded(t, err)
		}
		if n > syncproto.MaxDecodedBytes {
			t.Fatalf("%d bytes", n)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// generalState encodes a state by the messages, not by hand.
func generalState(t *testing.T, rec syncproto.Record, stamps []uint64, entered uint64) []byte {
	var base syncproto.HLC
	for f := range rec.Fields() {
		base = f.Siblings[0].HLC
		break
	}
	e := wire.NewEncoder(base)
	m := &wire.State{Delta: e.Delta(rec.Full()), Tables: e.Tables(), Stamps: stamps, Entered: entered}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
