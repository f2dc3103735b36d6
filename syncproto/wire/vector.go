package wire

import (
	"encoding/binary"

	"github.com/sambang-id/sambang/syncproto"
)

// AppendVV appends the canonical encoding of v, the one that is stored and
// hashed: the number of entries as a varint, then for each, in order of
// replica, 8 bytes of replica, big endian, and the counter as a varint.
func AppendVV(b []byte, v syncproto.VV) []byte {
	b = binary.AppendUvarint(b, uint64(v.Len()))
	for d := range v.All() {
		b = binary.BigEndian.AppendUint64(b, uint64(d.Replica))
		b = binary.AppendUvarint(b, d.N)
	}
	return b
}

// ConsumeVV reads what [AppendVV] wrote and returns the bytes behind it.
// Another spelling of the same vector is refused.
func ConsumeVV(b []byte) (v syncproto.VV, rest []byte, err error) {
	bad := func(what string) (syncproto.VV, []byte, error) {
		return syncproto.VV{}, nil, syncproto.Errorf(syncproto.CodeBadVector, "%s in a version vector", what)
	}
	count, n := uvarint(b)
	if n <= 0 || count > syncproto.MaxVectorEntries {
		return bad("bad number of entries")
	}
	b = b[n:]
	dots := make([]syncproto.Dot, 0, min(count, uint64(len(b)/9)))
	for range count {
		if len(b) < 9 {
			return bad("missing entry")
		}
		d := syncproto.Dot{Replica: syncproto.ReplicaID(binary.BigEndian.Uint64(b))}
		if d.N, n = uvarint(b[8:]); n <= 0 {
			return bad("bad counter")
		}
		if len(dots) > 0 && dots[len(dots)-1].Replica >= d.Replica {
			return bad("unsorted entry")
		}
		dots = append(dots, d)
		b = b[8+n:]
	}
	v, err = syncproto.NewVV(dots...)
	return v, b, err
}

// uvarint is binary.Uvarint for the shortest spelling of a number alone.
func uvarint(b []byte) (uint64, int) {
	x, n := binary.Uvarint(b)
	if n > 1 && b[n-1] == 0 {
		return 0, 0
	}
	return x, n
}
