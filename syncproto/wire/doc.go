// Package wire is the codec of the sync protocol: the messages of sync.proto,
// their frames and compression, and the stored forms of records and changes.
// SPEC.md is normative for what they mean.
//
// What is always true of it:
//
//   - No input makes it panic, and memory stays within a small multiple of
//     [syncproto.MaxFrameBytes].
//   - Every refusal carries a [syncproto.Code]. What is wrong with one item of
//     a batch, down to a damaged path or scope in the batch's tables, costs
//     that item alone.
//   - Whatever decodes encodes again to something that decodes equal, fields
//     of later protocol versions included.
//   - Stored forms are deterministic: equal values are equal bytes.
package wire
