// Package sambang is one replica on a phone, a desktop or in a kiosk: it
// records offline, keeps everything in one sealed file, and exchanges it with
// headquarters when there is a network.
//
// What is always true of it:
//
//   - A write that returned nil is on the disk, and it will reach the server or
//     stay here: nothing that a person entered is dropped, overwritten unseen,
//     or hidden. Two people's different values for one field are a conflict,
//     shown with both values until somebody decides.
//   - Reading and writing need no network and no server; a lost network is a
//     state ([Status.Offline]), not a failure.
//   - A record is called held by headquarters only on the server's signed
//     receipt ([Custody]).
//   - One file is one replica. A file that was restored from a backup or copied
//     to another phone is noticed and goes on under a new replica id.
//   - Nothing runs by itself: [Open] starts no goroutine; [Replica.Run] does,
//     until its context ends, and so does the reader of a [Watch].
//
// Records are maps of fields ([Fields]), or the caller's own structs through
// [Typed]. What the kinds of records and their fields mean, which fields belong
// together and who may hold them on a phone is said by a pack
// ([Options.Pack]); without one, each top-level field stands for itself.
//
// Errors carry a [syncproto.Code]: branch with errors.Is(err,
// syncproto.CodeOffline), and show people [syncproto.Code.Text].
package sambang
