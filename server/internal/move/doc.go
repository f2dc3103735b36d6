// Package move moves a store from one engine to another: its rows as they are,
// with their sums, so that devices and headquarters notice nothing.
//
// What is always true of it:
//
//   - At every moment at most one of the two stores can be written. The source
//     is fenced while its rows are compared and copied, is marked as moved
//     before the fence falls, and the target can be opened by nobody until the
//     mark is durable.
//   - A store that holds anything but an unfinished move of the same source is
//     left as it is.
//   - A move that was cut at any moment goes on when it is run again: it copies
//     what differs and deletes what is not in the source.
//   - Nothing is marked before both stores were found the same: number of rows,
//     all keys and sums, heads, a random sample byte for byte, and no problem
//     that the source did not have.
//   - Memory does not grow with the store.
//
// Life of a move. The target's own state says whether it may begin. The source
// is fenced and checked. Then each table is walked through on both sides at
// once, in the order of its key, twice: first what the target has too much is
// deleted, then what it lacks is copied. (In one walk a stale row could hold the
// sequence that a new one needs.) A third walk must find no difference. Then the
// source is marked, and the target finished. ADR 18 says why a crash between any
// two of these steps loses nothing.
package move
