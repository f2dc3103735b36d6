// Package hq answers headquarters' questions about the merged log: what
// happened, what became of one record, which devices hold work that is not
// here, what was set aside and needs a decision.
//
// What is always true of it:
//
//   - Nothing is shown whose home scope is outside the reader's grants at that
//     moment: region and class. What he may not see is answered like what does
//     not exist.
//   - It merges nothing and chooses nothing: what it shows is the pack's
//     projection of the stored states, and every value behind it can be asked
//     for. The only writes are decisions, and the engine makes those.
//   - There is no filter or order by a person's nationality, or by any content:
//     filters name places, kinds, agencies and times, and an unknown one is
//     refused, never ignored.
//   - Memory is bounded: rows come in chunks, pages and streams are cut by count
//     and by bytes, and no snapshot of the store is held while a reply is
//     written.
//   - Every read of records leaves one line in the audit log, with counts and
//     never with contents.
//
// # The record as a whole
//
// A record is stored as one main record and at most one companion per stricter
// class (see pack). Here they are one thing: an entry has the id of the main
// record and a document joined from those parts that the reader may read. A
// companion whose main record he may not read stands alone under its own id.
//
// # Pages
//
// [Service.Log] returns whole records, newest first, by the key (time of
// reception, scope, sequence) of the newest part that the filter selects.
// Over the pages of one reading no key comes twice, and a record that did not
// change since the first page comes exactly once. One that changed has a newer
// key and is at the front when the log is read anew. A page may be shorter than
// its limit, and even empty, and still have a cursor: the search is bounded.
//
// # The stream
//
// [Service.Stream] is for programs that keep a copy. Each accepted change of a
// part gives it a new sequence in its scope. The stream yields, per scope in
// order of sequence, one line for each part at its latest sequence:
//
//   - {"entry": …}: the whole record as it is now. scope, class and seq name the
//     part that changed.
//   - {"left": …}: the part is no longer to be shown: it moved out of what the
//     reader may read under this filter, or it was deleted and the filter leaves
//     deleted records out. Who never had it ignores the line.
//   - {"cursor": "…"}: all lines before are covered by this token. One comes every
//     [Config.CursorEvery] lines and at the end, with "end" saying why it ended.
//   - {"heartbeat": "…"}: nothing new; only while following.
//
// What a consumer may rely on, if it keeps a cursor together with the lines
// before it, and starts again with the last one it kept:
//
//   - Nothing is missed: every change committed before the stream began is
//     covered by the end's cursor, as a line or by a later line of the same part.
//   - Nothing is repeated: the same (scope, seq) never comes twice after the
//     cursor that covers it. Lines after the last kept cursor come again.
//   - A consumer that was behind sees only the latest of a part's changes.
//   - Per record the last line wins: its document is never older than that of a
//     line before.
//   - Between scopes there is no order.
//
// A cursor names the store's epoch. After the store was rolled back to a backup
// it is refused with cursor_invalid, because sequences were used twice: the
// consumer starts again without a cursor and replaces its copy. It also names
// the filter, whose words may not change between calls. It is not bound to a
// token: with wider grants the new scopes come from their beginning.
//
// A stream that does not follow ends at what was committed when it began. One
// that follows ends after [Config.FollowFor], when the reader's token expires,
// or when the server stops; each time with a cursor.
package hq
