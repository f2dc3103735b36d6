package wire

import "github.com/sambang-id/sambang/syncproto"

// What the parts of a record count towards [syncproto.MaxRecordBytes], beside
// the bytes of paths, values and unknown fields. No encoding takes more.
const (
	RecordBytes  = 64 // the record
	EntryBytes   = 24 // an entry of its context, floor or base
	FieldBytes   = 16 // a field
	SiblingBytes = 40 // a sibling
)

// DeltaSize returns what d counts towards [syncproto.MaxRecordBytes].
func DeltaSize(d syncproto.Delta) int {
	n := RecordBytes + EntryBytes*(d.Base().Len()+d.Context().Len()+d.Floor().Len())
	for f := range d.Fields() {
		n += FieldBytes + len(f.Path) + SiblingBytes*len(f.Siblings)
		for _, s := range f.Siblings {
			n += len(s.Value.JSON()) + len(s.Extra)
		}
	}
	return n
}

// RecordSize returns what r counts towards [syncproto.MaxRecordBytes].
func RecordSize(r syncproto.Record) int { return DeltaSize(r.Full()) }

// CheckRecord refuses a record that a receiver would refuse: one that merging
// or repair made larger than the limits allow. Whoever sends records checks
// what he is about to store.
func CheckRecord(r syncproto.Record) error {
	if n := r.Len(); n > syncproto.MaxFields {
		return syncproto.Errorf(syncproto.CodeTooMany, "record of %d fields, at most %d", n, syncproto.MaxFields)
	}
	if n := r.Context().Len(); n > syncproto.MaxVectorEntries {
		return syncproto.Errorf(syncproto.CodeTooMany, "context of %d entries, at most %d", n, syncproto.MaxVectorEntries)
	}
	for f := range r.Fields() {
		if n := len(f.Siblings); n > syncproto.MaxSiblings {
			return syncproto.Errorf(syncproto.CodeTooMany, "field of %d siblings, at most %d", n, syncproto.MaxSiblings)
		}
	}
	if n := RecordSize(r); n > syncproto.MaxRecordBytes {
		return syncproto.Errorf(syncproto.CodeTooLarge, "record of %d bytes, at most %d", n, syncproto.MaxRecordBytes)
	}
	return nil
}
