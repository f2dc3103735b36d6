package syncproto

// The limits are part of the protocol: both sides refuse what is beyond them
// with a code that names the limit, and a sender never produces it.
const (
	// MaxCounter caps a replica's counter, so that it is exact in JSON.
	MaxCounter = 1 << 53
	// MaxCounterJump is how far one push may advance a replica's counter. A
	// jump only hurts the jumper's own replica, but would make arithmetic on
	// gaps meaningless.
	MaxCounterJump = 1_000_000
	// MaxVectorEntries bounds a context. Inspection records see fewer than
	// ten replicas; beyond a hundred the record should be split.
	MaxVectorEntries = 1024
	// MaxFields bounds the registers of one record.
	MaxFields = 2048
	// MaxSiblings bounds the concurrent values of one register.
	MaxSiblings = 256
	// MaxPathBytes and MaxPathSegments bound a register's path.
	MaxPathBytes    = 256
	MaxPathSegments = 8
	// MaxValueBytes bounds one value; photos are attachments, not values.
	MaxValueBytes = 64 << 10
	// MaxValueDepth bounds the nesting of one value.
	MaxValueDepth = 16
	// MaxNumberDigits bounds a number: more digits than any measurement has.
	MaxNumberDigits = 40
	// MaxRecordBytes bounds the encoded state of one record.
	MaxRecordBytes = 512 << 10
	// MaxKindBytes bounds the name of a kind.
	MaxKindBytes = 64

	// MaxBatchItems and MaxBatchBytes bound one batch of a push, before
	// compression; MaxBatches bounds one request.
	MaxBatchItems = 500
	MaxBatchBytes = 1 << 20
	MaxBatches    = 16
	// MaxFrameBytes bounds one frame: a batch with one item at the limit.
	MaxFrameBytes = MaxBatchBytes + MaxRecordBytes
	// MaxBodyBytes bounds a request as sent, MaxDecodedBytes after
	// decompression.
	MaxBodyBytes    = 16 << 20
	MaxDecodedBytes = MaxBatches*MaxFrameBytes + 4<<20
	// MaxHistory bounds the overwritten writes of one batch.
	MaxHistory = 20_000
	// MaxClaims bounds the replica ids that a device claims in one request:
	// the present one and the retired ones not yet confirmed.
	MaxClaims = 256
	// MaxRefetch bounds the records that a device asks for by id in one
	// request.
	MaxRefetch = 1000
	// MaxCursors bounds the scopes that a device names in one request.
	MaxCursors = 4096
	// MaxSkew is how far ahead of the server's clock, in milliseconds, the
	// time of a write may be before its sibling is flagged suspect.
	MaxSkew = ServerClockTolerance
)
