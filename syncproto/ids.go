package syncproto

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// RecordID names a record for ever: a UUIDv7 made by the device that creates
// it, or a UUIDv8 derived from a natural key or from another record's id.
type RecordID [16]byte

// String returns the usual form of a UUID.
func (id RecordID) String() string { return uuid.UUID(id).String() }

// IsZero reports whether the id is the invalid zero id.
func (id RecordID) IsZero() bool { return id == RecordID{} }

// ParseRecordID reads the usual text form of a UUID. The error has code
// [CodeBadID].
func ParseRecordID(s string) (RecordID, error) {
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return RecordID{}, Errorf(CodeBadID, "text of %d bytes is not a record id", len(s))
	}
	return RecordID(u), nil
}

// CompanionID returns the id of the record that holds those fields of record
// id that only class may hold on a phone (SPEC 9: the record is the atom of
// access, so a stricter class is a record of its own). The id shows its class:
// see [RecordID.CompanionClass].
func CompanionID(id RecordID, class Class) RecordID {
	h := sha256.New()
	h.Write([]byte("sambang-companion"))
	h.Write(id[:])
	h.Write([]byte(class))
	return uuid8(h.Sum(nil), byte(strings.Index(companionClasses, string(class))+1))
}

// companionClasses are the classes by the mark that a companion's id carries,
// from 1 on.
const companionClasses = "DTH"

// CompanionClass returns the class that a companion's id shows. A companion
// lives in a scope of that class and in no other: whoever could make it first
// in a wider one would be sent what others write into it later.
func (id RecordID) CompanionClass() (Class, bool) {
	mark := int(id[8] & 0x3f)
	if id[6]>>4 != 8 || mark < 1 || mark > len(companionClasses) {
		return "", false
	}
	return Class(companionClasses[mark-1 : mark]), true
}

// uuid8 makes a UUID of version 8 (RFC 9562) of the first 16 bytes of sum. The
// six bits behind the variant hold the mark: 0 for natural keys.
func uuid8(sum []byte, mark byte) RecordID {
	var id RecordID
	copy(id[:], sum)
	id[6] = id[6]&0x0f | 0x80
	id[8] = mark&0x3f | 0x80
	return id
}

// ReplicaID names one linear history of writes ("incarnation"). It is made
// from the device's public key, so its ownership can be checked without a
// registry. 0 is invalid.
type ReplicaID uint64

// String returns the 16 hexadecimal digits of the id.
func (r ReplicaID) String() string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(r))
	return hex.EncodeToString(b[:])
}

// ParseReplicaID reads 16 hexadecimal digits. The error has code [CodeBadID].
func ParseReplicaID(s string) (ReplicaID, error) {
	n, err := strconv.ParseUint(s, 16, 64)
	if err != nil || len(s) != 16 || n == 0 {
		return 0, Errorf(CodeBadID, "text of %d bytes is not a replica id", len(s))
	}
	return ReplicaID(n), nil
}

// NewReplicaID derives the id that nonce gives to the owner of publicKey:
// the first 8 bytes of SHA-256("sambang-rep" | public key | nonce). It is 0,
// and nonce must be drawn again, once in 2^64.
func NewReplicaID(publicKey []byte, nonce [16]byte) ReplicaID {
	h := sha256.New()
	h.Write([]byte("sambang-rep"))
	h.Write(publicKey)
	h.Write(nonce[:])
	return ReplicaID(binary.BigEndian.Uint64(h.Sum(nil)))
}

// Dot is the name of one write: the replica that made it and the value of
// that replica's one counter. A dot names one (record, path, value, time)
// for ever (I1).
type Dot struct {
	Replica ReplicaID
	N       uint64
}

// String returns "replica:n".
func (d Dot) String() string { return fmt.Sprintf("%s:%d", d.Replica, d.N) }

// Less orders dots by replica, then counter.
func (d Dot) Less(o Dot) bool {
	if d.Replica != o.Replica {
		return d.Replica < o.Replica
	}
	return d.N < o.N
}

// HLC is a hybrid logical clock (Kulkarni et al., 2014): 48 bits of Unix
// milliseconds, 16 bits of counter. It orders concurrent siblings for people;
// causality never depends on it.
type HLC uint64

// HLCFromMillis returns the first HLC of a millisecond. Times before 1970
// give 0; times past the year 10889 saturate.
func HLCFromMillis(ms int64) HLC {
	if ms < 0 {
		return 0
	}
	return HLC(min(uint64(ms), 1<<48-1) << 16)
}

// Millis returns the Unix milliseconds of the clock.
func (h HLC) Millis() int64 { return int64(h >> 16) }

// Next returns the time of a write made after h when the corrected wall clock
// shows now: greater than h, and not before now. When the counter of a
// millisecond is used up it borrows from the next one.
func (h HLC) Next(nowMillis int64) HLC { return max(h+1, HLCFromMillis(nowMillis)) }

// Observe returns the clock after seeing a remote time: the later one, unless
// the remote time is more than tolerance milliseconds ahead of now, in which
// case the clock stays as it is (a phone that lives in next year must not
// take the others along).
func (h HLC) Observe(remote HLC, nowMillis, toleranceMillis int64) HLC {
	if remote.Millis()-nowMillis > toleranceMillis {
		return h
	}
	return max(h, remote)
}

// How far ahead of the local clock a remote time may be and still be adopted.
const (
	DeviceClockTolerance = 24 * 60 * 60 * 1000 // milliseconds; phones drift, and are set by hand
	ServerClockTolerance = 10 * 60 * 1000      // milliseconds; beyond it a sibling is flagged suspect
)
