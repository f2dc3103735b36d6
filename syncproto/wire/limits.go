package wire

import "github.com/sambang-id/sambang/syncproto"

// Version is the protocol version that this package speaks.
const Version = 1

// Content types of a request and response body. The body holds the same
// frames in both.
const (
	ContentTypeProtobuf = "application/vnd.sambang.sync+protobuf"
	ContentTypeJSON     = "application/vnd.sambang.sync+json"
)

// The limits of the encoding, beside those of [syncproto].
const (
	// ElementBytes is what each message, string or byte string in a frame
	// counts at least, whatever its length: an empty message takes two bytes
	// on the wire and a hundred in memory.
	ElementBytes = 8
	// MaxFrameElements bounds them in one frame.
	MaxFrameElements = syncproto.MaxFrameBytes / ElementBytes
	// MaxTableEntries bounds each table of a frame.
	MaxTableEntries = 1 << 17
	// MaxJSONFrameBytes bounds one line of the JSON form, which is wordier.
	MaxJSONFrameBytes = 4 * syncproto.MaxFrameBytes
	// MaxExtraBytes bounds what one sibling carries for later versions.
	MaxExtraBytes = 1 << 10
	// FeedFrameBytes is about where a sender of a feed ends a frame: small
	// enough that a phone shows progress and stores what it has.
	FeedFrameBytes = 256 << 10
)
