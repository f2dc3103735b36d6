// Package ablate switches off the rules that the proof of
// Sambang rests on, so that tests can show that the checker or the harness
// concerned notices. A rule whose removal nothing notices protects nothing, or
// nobody would see it go.
//
// What is always true:
//
//   - Without the build tag "ablate" every rule is in force: [Off] is the
//     constant false, and the compiler leaves the other branch out. No release
//     is built with the tag, and a test of this package looks for traces of it
//     in the release's binaries.
//   - With the tag those rules are off that the environment variable
//     SAMBANG_ABLATE names when the process starts, with commas between them, or
//     that a test set. It is one rule, unless the design takes out another with
//     it, above all [A00Net], which would cover up for some.
//   - The rules are those of the design: A… of the sync core's table of
//     ablations, R… of the seeded bugs.
//
// A seam reads like the rule that it removes:
//
//	if !ablate.Off(ablate.A12OwnHigh) && own < ownHigh {
package ablate
