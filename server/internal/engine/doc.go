// Package engine is the server's side of the sync rules: it accepts what
// devices push, merges it by causality, keeps the journal, signs receipts, and
// feeds each device what it may see.
//
// What is always true of it:
//
//   - Nothing is acknowledged before the store has made it durable, and what a
//     response vouches for is covered by the response's witness.
//   - A record is accepted or kept aside whole (I6), each with its own outcome;
//     nothing that was received is dropped.
//   - A device gets a record only if the home scope of the state sent is in its
//     grants (I18).
//   - A join that changes nothing takes no sequence and touches no stamp (I14).
//   - It reads no clock: every call carries its time.
//
// The life of a push: [Engine.Sync] checks who claims what (claims.go), each
// batch is merged scope by scope (push.go, merge.go, move.go), the device's
// chain advances (chain.go), a receipt is signed (receipt.go), and the pull
// part streams the feed (pull.go).
package engine
