package wire_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// TestWhatLaterVersionsSayOfASiblingTravels: from a frame into a record,
// through its stored form, and out again in a delta and a change.
func TestWhatLaterVersionsSayOfASiblingTravels(t *testing.T) {
	unknown := protowire.AppendTag(nil, 77, protowire.VarintType)
	unknown = protowire.AppendVarint(unknown, 5)
	unknown = protowire.AppendTag(unknown, 3, protowire.BytesType)
	unknown = protowire.AppendString(unknown, "later")
	signature := bytes.Repeat([]byte{9}, 64)
	for name, extra := range map[string]*wire.Extra{
		"unknown fields":                 withUnknown(&wire.Extra{Sibling: 4}, unknown),
		"the reserved signature":         {Sibling: 4, Signature: signature},
		"both":                           withUnknown(&wire.Extra{Sibling: 4, Signature: signature}, unknown),
		"of the first sibling (index 0)": withUnknown(&wire.Extra{}, unknown),
	} {
		t.Run(name, func(t *testing.T) {
			frame := batch(workload(1))
			frame.GetBatch().Items[0].Delta.Extra = []*wire.Extra{extra}
			var body bytes.Buffer
			if err := wire.NewFrameWriter(&body, wire.Protobuf).Request(frame); err != nil {
				t.Fatal(err)
			}
			got, err := wire.NewFrameReader(&body, wire.Protobuf).Request()
			if err != nil {
				t.Fatal(err)
			}
			d, err := wire.NewDecoder(got.GetBatch().GetTables())
			if err != nil {
				t.Fatal(err)
			}
			delta, err := d.Delta(got.GetBatch().Items[0].Delta)
			if err != nil {
				t.Fatal(err)
			}
			change, err := syncproto.Apply(syncproto.NewRecord(delta.ID()), delta)
			if err != nil {
				t.Fatal(err)
			}
			state, err := wire.EncodeState(change.Record, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			rec, _, _, err := wire.DecodeState(state)
			if err != nil || !rec.Equal(change.Record) {
				t.Fatalf("stored state: %v", err)
			}
			row, err := wire.EncodeChange(rec.Full())
			if err != nil {
				t.Fatal(err)
			}
			accepted, _, err := wire.DecodeChange(row)
			if err != nil {
				t.Fatal(err)
			}
			out := wire.NewEncoder(1).Delta(accepted)
			if len(out.Extra) != 1 || !proto.Equal(out.Extra[0], extra) {
				t.Errorf("came in as %v, goes out as %v", extra, out.Extra)
			}
		})
	}
}

func withUnknown(x *wire.Extra, b []byte) *wire.Extra {
	x.ProtoReflect().SetUnknown(b)
	return x
}

// TestUnknownFieldsElsewhereSurviveTheFrame: whoever forwards messages whole,
// or keeps them, keeps what he does not know.
func TestUnknownFieldsElsewhereSurviveTheFrame(t *testing.T) {
	unknown := protowire.AppendTag(nil, 500, protowire.Fixed32Type)
	unknown = protowire.AppendFixed32(unknown, 1)
	frame := batch(workload(1))
	b := frame.GetBatch()
	for _, m := range []proto.Message{frame, b, b.Tables, b.Items[0], b.Items[0].Delta, b.Items[0].Delta.Ctx} {
		m.ProtoReflect().SetUnknown(unknown)
	}
	var body bytes.Buffer
	if err := wire.NewFrameWriter(&body, wire.Protobuf).Request(frame); err != nil {
		t.Fatal(err)
	}
	got, err := wire.NewFrameReader(&body, wire.Protobuf).Request()
	if err != nil || !proto.Equal(got, frame) {
		t.Errorf("frame differs: %v", err)
	}
	d, err := wire.NewDecoder(got.GetBatch().GetTables())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Delta(got.GetBatch().Items[0].Delta); err != nil {
		t.Errorf("unknown fields are refused: %v", err)
	}
}

// TestAStateOfALaterVersionIsRead: the decoder by hand gives way to the
// general one.
func TestAStateOfALaterVersionIsRead(t *testing.T) {
	rec := workload(1)[0]
	b, err := wire.EncodeState(rec, make([]uint64, 10), 3)
	if err != nil {
		t.Fatal(err)
	}
	later := protowire.AppendTag(bytes.Clone(b), 15, protowire.BytesType)
	later = protowire.AppendString(later, "later")
	got, stamps, entered, err := wire.DecodeState(later)
	if err != nil || !got.Equal(rec) || len(stamps) != 10 || entered != 3 {
		t.Errorf("%v", err)
	}
}
