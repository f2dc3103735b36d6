// Package kill shows what is left when a process dies and when a file is
// damaged below it. It holds tests alone.
//
// Two suites kill real processes with SIGKILL at random moments under load:
//
//   - The server is the command sambangd, built once, because what starts,
//     opens and recovers is then what runs at a headquarters. Every receipt
//     that a phone got is honoured by the next start, and no phone is told of a
//     new epoch.
//     Of two servers on one PostgreSQL behind one address, each is killed in its
//     turn, and the other goes on.
//   - The device is this test program, run again, because an app is a process
//     with the SDK in it, and no command of ours stays open as an app does.
//     What it was told to be saved is there, and at most one thing beside it.
//
// A third suite damages the server's files, bit, sector, page and end, and
// reads all that the API shows: each value is what went in, or an error, and
// check names the damage.
//
// A killed process loses nothing that the kernel has, so the first two say
// little about power cuts: that is what package crash is for.
//
//	go test ./kill                                        20 cycles, 60 files
//	go test ./kill -kill.cycles=200 -damage.files=400     what CI runs
package kill
