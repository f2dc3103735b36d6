// Package syncproto is the contract that Sambang's devices and server share:
// causality, merge, limits and error codes. The messages that carry it are in
// syncproto/wire; what the kinds of records mean is in syncproto/pack.
//
// What is always true of it:
//
//   - It is pure: no I/O, no clock, no randomness, no goroutine. Time and
//     random bytes come in as arguments.
//   - Its values are immutable: no function changes its receiver or its
//     arguments, and results may share memory with them.
//   - A context can't be built by hand. A [Record] comes from [NewRecord],
//     [Minter.Write], [Apply], [Purge] or a validated full state, and its
//     context names exactly what its state has seen.
//
// The rules and their proofs are those of the project's sync algorithm; the
// section numbers in comments (I4, C3, 3.2, …) are those of SPEC.md.
package syncproto
