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
