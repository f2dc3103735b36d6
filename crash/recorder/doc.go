// Package recorder is a file system in memory that writes down what is done to
// it, for package disk, and that can let one operation fail. It is FUSE, so it
// needs Linux, /dev/fuse and root.
//
// What is always true:
//
//   - Every write, truncation, change of a name and sync is in the log before
//     the program learns that it was done: the kernel keeps nothing back, for
//     it runs without write-back cache.
//   - What is written to the file [Notes] in the root is a note in the log, at
//     its place among the operations.
//   - Content of files whose names end in "-shm" is not recorded: SQLite keeps
//     there what it makes anew after a crash.
//   - A program must not use it in the process that serves it: a page fault on
//     a mapped file would stop the runtime that has to answer it.
package recorder
