// Package crash shows what is left when the power goes or the disk fails. It
// holds tests alone; they need Linux, /dev/fuse and root, and fail without.
//
// A process of its own runs a workload, the public SDK or the server, on the
// file system of package recorder, which writes down each operation that
// changes the disk and each step that the workload calls done. Package disk
// makes from that every state in which a crash may leave the disk. The product
// is opened on each:
//
//   - what was acknowledged is there, byte for byte;
//   - beside it there is at most what was under way;
//   - the store takes writes again;
//   - no dot that may have left the device is given out a second time.
//
// A second suite lets each operation fail once, with each error, and then
// takes the power away.
//
//	go test ./crash        some 1,500 images, and a part of the failures
//	go test ./crash -timeout=30m -crash.images=10000 -crash.phonefaults=1 -crash.serverfaults=16
//	go test ./crash -timeout=12h -crash.images=250000 -crash.phonefaults=1 -crash.serverfaults=1
//
// Each says which seeds it ran, and how many distinct images. -crash.seed
// begins with another.
//
// The controls, with the build tag "ablate", remove one rule of durability
// each; the same tests must then fail.
package crash
