// Package store is the contract between the sync engine and a database: what
// is kept, in which units it changes, and what a reader may rely on. The
// engines are in its subpackages; storetest is the suite that each must pass.
//
// What is always true of it:
//
//   - Every transaction names its scopes and holds their counters before it
//     reads a row, so the order of a scope's sequences is the order of its
//     commits and a reader that follows them never misses a row.
//   - A record has one live row, in its home scope. A scope that it left keeps
//     a row as a marker.
//   - What belongs to a device and not to a district is in a scope of its own,
//     [DeviceScope].
//   - Nothing here reads a clock, merges, or knows what a record means: rows
//     carry encoded states that only the engine understands.
//   - When Update returns nil, everything it wrote is durable.
//   - What is read is what was written. A row that was damaged since is data
//     where rows come in lists, with its keys and no content, and [ErrDamaged]
//     where one row is asked for; it keeps no other row from being read.
package store
