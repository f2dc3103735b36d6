package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/sambang-id/sambang/syncproto"
)

// EncodeState returns the stored form of a record. stamps are parallel to
// rec.Fields(), or nil where the store keeps none; entered is the sequence at
// which the record entered its scope. Equal arguments give equal bytes.
func EncodeState(rec syncproto.Record, stamps []uint64, entered uint64) ([]byte, error) {
	if stamps != nil && len(stamps) != rec.Len() {
		return nil, syncproto.Errorf(syncproto.CodeInternal, "%d stamps for %d fields", len(stamps), rec.Len())
	}
	full := rec.Full()
	if b, ok := encodeStored(full, 8*len(stamps)+16); ok {
		return appendStamps(b, stamps, entered), nil
	}
	e := NewEncoder(firstHLC(full))
	return marshal(&State{Delta: e.Delta(full), Tables: e.Tables(), Stamps: stamps, Entered: entered})
}

func appendStamps(b []byte, stamps []uint64, entered uint64) []byte {
	if len(stamps) > 0 {
		n := 0
		for _, s := range stamps {
			n += protowire.SizeVarint(s)
		}
		b = append(b, tagStamps)
		b = protowire.AppendVarint(b, uint64(n))
		for _, s := range stamps {
			b = protowire.AppendVarint(b, s)
		}
	}
	if entered != 0 {
		b = append(b, tagEntered)
		b = protowire.AppendVarint(b, entered)
	}
	return b
}

// DecodeState is the inverse of [EncodeState]. It does not hold a record to
// [syncproto.MaxRecordBytes], which joins may outgrow.
func DecodeState(b []byte) (rec syncproto.Record, stamps []uint64, entered uint64, err error) {
	s, ok := decodeStored(b)
	if !ok {
		if s, err = decodeStateMessage(b); err != nil {
			return syncproto.Record{}, nil, 0, err
		}
	}
	if !s.delta.IsFull() {
		return syncproto.Record{}, nil, 0, syncproto.Errorf(syncproto.CodeBadRecord, "stored state is not full")
	}
	for f := range s.delta.Fields() {
		for _, sibling := range f.Siblings {
			if sibling.Elided() {
				return syncproto.Record{}, nil, 0, syncproto.Errorf(syncproto.CodeBadRecord, "stored state lacks a value")
			}
		}
	}
	if s.stamps != nil && len(s.stamps) != s.delta.Len() {
		return syncproto.Record{}, nil, 0, syncproto.Errorf(syncproto.CodeBadRecord, "%d stamps for %d fields", len(s.stamps), s.delta.Len())
	}
	change, err := syncproto.Apply(syncproto.NewRecord(s.delta.ID()), s.delta)
	if err != nil {
		return syncproto.Record{}, nil, 0, err
	}
	if change.Record.Len() != s.delta.Len() {
		return syncproto.Record{}, nil, 0, syncproto.Errorf(syncproto.CodeBadRecord, "stored state holds what its floor erases")
	}
	return change.Record, s.stamps, s.entered, nil
}

// decodeStateMessage is the general way to read a state.
func decodeStateMessage(b []byte) (stored, error) {
	var m State
	if err := unmarshal(b, &m); err != nil {
		return stored{}, err
	}
	d, err := NewDecoder(m.Tables)
	if err != nil {
		return stored{}, err
	}
	delta, err := d.unbounded(m.Delta)
	return stored{delta, m.Stamps, m.Entered}, err
}

// EncodeContext returns the stored form of a version vector, that of a record
// which left its scope: see [AppendVV].
func EncodeContext(v syncproto.VV) []byte { return AppendVV(nil, v) }

// DecodeContext is the inverse of [EncodeContext].
func DecodeContext(b []byte) (syncproto.VV, error) {
	v, rest, err := ConsumeVV(b)
	if err == nil && len(rest) > 0 {
		return syncproto.VV{}, syncproto.Errorf(syncproto.CodeMalformed, "%d bytes after a version vector", len(rest))
	}
	return v, err
}

// EncodeChange returns the journal's form of one accepted change: the delta
// as it was accepted, and the overwritten writes that came with it.
func EncodeChange(delta syncproto.Delta, history ...PastWrite) ([]byte, error) {
	e := NewEncoder(firstHLC(delta))
	m := &ChangeRow{Delta: e.Delta(delta)}
	for _, w := range history {
		m.History = append(m.History, e.History(w))
	}
	m.Tables = e.Tables()
	return marshal(m)
}

// DecodeChange is the inverse of [EncodeChange].
func DecodeChange(b []byte) (syncproto.Delta, []PastWrite, error) {
	var m ChangeRow
	if err := unmarshal(b, &m); err != nil {
		return syncproto.Delta{}, nil, err
	}
	d, err := NewDecoder(m.Tables)
	if err != nil {
		return syncproto.Delta{}, nil, err
	}
	delta, err := d.unbounded(m.Delta)
	if err != nil {
		return syncproto.Delta{}, nil, err
	}
	var history []PastWrite
	for _, h := range m.History {
		w, err := d.History(h)
		if err != nil {
			return syncproto.Delta{}, nil, err
		}
		history = append(history, w)
	}
	return delta, history, nil
}

// firstHLC returns the time that makes the first difference 0.
func firstHLC(d syncproto.Delta) syncproto.HLC {
	for f := range d.Fields() {
		return f.Siblings[0].HLC
	}
	return 0
}

// marshal encodes in order of the field numbers, unknown fields last; nothing
// here has a map.
func marshal(m proto.Message) ([]byte, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, syncproto.Errorf(syncproto.CodeInternal, "encode %s: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	return b, nil
}

// unmarshal checks the number of elements before it allocates any.
func unmarshal(b []byte, m proto.Message) error {
	if _, err := checkElements(b, m.ProtoReflect().Descriptor()); err != nil {
		return err
	}
	if err := proto.Unmarshal(b, m); err != nil {
		return syncproto.Errorf(syncproto.CodeMalformed, "not a %s: %v", m.ProtoReflect().Descriptor().Name(), err)
	}
	return nil
}
