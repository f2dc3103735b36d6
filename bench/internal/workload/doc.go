// Package workload makes the records, edits and conflicts that sambang and its peers are measured with.
//
// It is a port of shared/bench/workload.js. What is always true of it:
//   - the same seed and count give the same bytes as the original, file by file, on every machine:
//     the figures of different languages can be laid side by side. The tests hold the sha256 of the
//     original's files;
//   - nothing in it is real: every name, passport number and company is put together from invented
//     syllables;
//   - it reads no clock and no randomness but its seed.
package workload
