// Package cache keeps a replica's rows in one bbolt file on a phone, and makes that file safe: sealed at rest, honest after a
// power cut or a failed disk write, and unable to take the app down when it is damaged. It knows nothing of records: a row is
// (bucket, key, value), and what rows mean is the business of package sambang.
//
// What is always true:
//
//   - An Update that returned nil is on the disk, whole. One that returned an error changed nothing, except with ErrUnknown:
//     then the store is closed and the next Open finds out. A View sees only what is on the disk already.
//   - A value that is returned is the value that was put under that bucket and key in this store. Damage is ErrDamaged, never
//     another value, and costs only the damaged row. What stays possible: a row whose damaged *key* is still in order looks
//     absent (DB.Check finds it), and a damaged meta page undoes the last Update, whole (the mark is ahead then).
//   - No handle is used after a commit failed on it. bbolt reuses pages that the last durable state still needs if a program
//     goes on after a failed fdatasync, so the store is closed, fenced and reopened (RELIABILITY, decision 2).
//   - A truncated, foreign or damaged file is an error from Open, not the death of the process: the file's structure is read with
//     plain reads before bbolt maps it, and a fault that still happens inside bbolt becomes an ErrDamaged. bbolt never writes
//     to a file whose structure is damaged; Options.ReadOnly reads what is left.
//   - Open refuses without changing a byte of what it refuses.
//   - Values in sealed buckets leave memory only as XChaCha20-Poly1305 ciphertext. Keys are readable in the file, so they hold
//     random ids, counters, and IndexKey digests, never personal data. Sizes, counts and times of writes stay visible.
//
// # Files
//
// In the folder given to Open: cache.db (bbolt), cache.new (a creation that has not finished; removed by the next Open) and lock
// (held while the store is open). In the mark folder, which a backup must not carry: mark, see [DB.WriteMark].
//
// # Life of an Update
//
// The closure's Puts are sealed into memory. Commit writes the changed pages, syncs, writes the meta page, syncs. On an error of
// any of these: close; read the meta pages that are visible now, write the same bytes again, sync (after this the visible state
// is the durable state); reopen; compare bbolt's transaction id, which grows by one with each commit and never otherwise, with
// the id that the failed transaction had. Equal: it took effect, Update returns nil. One less: ErrNotCommitted.
// Open fences too, because a process can be killed between a meta page's write and its sync.
package cache
