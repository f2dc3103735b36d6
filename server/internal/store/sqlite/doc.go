// Package sqlite keeps the store in one SQLite file, embedded: the engine for
// a server of one machine.
//
// What is always true of it:
//
//   - WAL and synchronous=FULL, asserted on every connection: what Update
//     confirmed survives a power cut.
//   - One connection writes, and begins every transaction with the file's
//     write lock, so each step sees the last commit and nothing runs beside
//     it.
//   - A view reads a snapshot on a connection of its own and never waits for a
//     writer.
//   - A write names one scope, and every key of a table that a cluster would
//     distribute holds the scope.
//   - A file of another program or of a newer version is refused unchanged.
//
// Life of a write. Update waits for its turn in [queue]; the first of a group
// begins the transaction, each caller runs its steps on it, and who finds
// nobody waiting commits for all of them, with one fsync. A step reads its
// scopes' heads, rows and replicas, writes rows and journal with prepared
// statements, and stores the heads at its end. A failed statement ends its
// call, whatever the caller makes of the error; only the call is undone.
package sqlite
