// Package disk says what may be on a disk after the power went: from the
// operations that a program did, in order, it makes every state of the files
// that the program must be able to live with.
//
// What is always true:
//
//   - The model is the strictest reading of POSIX. A file's content is durable
//     as of its last sync; a name is durable as of the last sync of its folder,
//     whatever was synced of the file behind it.
//   - Operations that were not synced may be there or not, each for itself, in
//     any combination: so they are lost, kept and reordered. The last write may
//     be there in part.
//   - A name is changed whole: a rename leaves the old name or the new one.
//   - What a failed sync dropped is gone from the disk for good, though the
//     program still reads it (Linux marks such pages clean).
//   - Two images are the same iff their files have the same names, sizes,
//     modes and bytes.
//
// A [Log] is written by package recorder, or by a test; [Log.Images] makes the
// images.
package disk
