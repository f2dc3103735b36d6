// Package postgres keeps the store in PostgreSQL, for several servers that
// share one database; the same text runs on Citus, distributed by scope.
//
// What is always true of it:
//
//   - fsync, full_page_writes and a synchronous_commit that is not off are
//     asserted on every connection: what Update confirmed survives a power cut.
//   - A step is one transaction. Its first statements lock the counters of its
//     scopes, in sorted order, and the new heads are written at its end, so the
//     order of a scope's sequences is the order of its commits.
//   - How often the network is crossed does not grow with the rows of a step.
//   - An answer is never a guess: when that of a COMMIT is lost, the server is
//     asked what became of it.
//   - Every write names one scope, and every key of a table that Citus
//     distributes holds the scope. What reads across scopes is in a list.
//   - No error holds a password or a row's content.
//   - A database of another program or of a newer version is refused unchanged.
//
// Life of a write. Update takes the places of a step's scopes in this process,
// so that calls of one scope do not hold connections in a lock queue; then it
// sends BEGIN and the locks in one go. Reads cross the network once each, and
// take along the writes before them; what is left goes with COMMIT. After a
// failure that may pass (a deadlock, a lost connection, a restart), the step
// runs again.
package postgres
