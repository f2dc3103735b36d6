// Package sim is the checker of the sync core: it runs fleets of real devices
// against a real server, through a network and a world that do their worst, and
// compares what came out with an oracle that saw every write.
//
// Real are: the server (server.New and its HTTP handler, on a SQLite file), the
// devices (package sambang on bbolt files), the frames between them. The only
// second implementation of anything is the oracle, which knows what people
// wrote and what each write replaced, and nothing of how it is merged.
//
// What is always true of it:
//
//   - One seed is one run, bit for bit: one goroutine, all randomness from the
//     seed, all clocks from the run, no map iteration in a decision. Interleaving
//     happens inside a request: while one travels, the rest of the world goes on.
//   - Each step draws from a source of its own, so that steps can be left out:
//     that is how a failing schedule is shrunk.
//   - A run ends in quiescence: faults off, everybody syncs until nothing
//     changes. Then the server must have every write that was not physically
//     lost, and every device exactly what it may see of that.
//   - What is given up is listed in one place, [world.lose]: the last copy
//     of a write died with a phone, a restored file or a rolled-back server, or
//     headquarters purged the record.
//
// The invariants are numbered as in the design: V1 nothing lost or
// resurrected in any state that is read back, V2 the server ends with every
// required write, V3 devices equal the server where they may see and hold
// nothing elsewhere, V4 quiescence within a bound, V5 nobody receives what he
// may not see, V6 the server's own check, V7 replays change nothing, V8 a
// rollback is noticed (V2 would fail), V9 no alarm in honest runs and custody
// that tells the truth, V10 no forged value at the server, V11 no panic.
package sim
