// Package sim is the checker of the sync core: it runs fleets of real devices
// against a real server, through a network and a world that do their worst, and
// compares what came out with an oracle that saw every write.
//
// Real are: the server (server.New and its HTTP handler, on a SQLite file, or one
// to three of them on a PostgreSQL database), the devices (package sambang on
// bbolt files), the frames between them. The only second implementation of
// anything is the oracle, which knows what people wrote and what each write
// replaced, and nothing of how it is merged.
//
// What is always true of it:
//
//   - One seed is one run, bit for bit: one goroutine, all randomness from the
//     seed, all clocks from the run, no map iteration in a decision. Interleaving
//     happens inside a request: while one travels, the rest of the world goes on.
//   - All faults of the design that the product can meet happen: requests and
//     responses lost, cut, doubled, replayed late; HTTP errors of something in
//     between; processes of devices and of the server that end before or after
//     any step that makes something durable, or at rest; full disks on either
//     side; files of devices restored and copied, with and without the mark;
//     the server rolled back, with and without being told, and responses that
//     die with it; devices that die, are revoked, are enrolled anew; grants that
//     change or end by time; moves, deletes, purges, releases from the inbox;
//     clocks that jump by years on devices and by days on the server; a hostile
//     device. Not among them, because the product has neither: phones that sync
//     with each other, and files.
//   - Around one server, a seed is the same run on both engines, to the last line
//     of its trace. Each step of an update is a commit on SQLite then too
//     ([Config.Apart]), so that the faults come between the same two.
//   - Several servers share one database behind one address: a request, and what
//     headquarters do, comes to any of them. Each crashes and restarts by itself,
//     its clock is off by up to half a second, and while it is between two commits
//     of one update, the world goes on by way of the others. A database that is
//     rolled back may be so under servers that go on running, as when a standby
//     that is behind takes over. No token is taken by two of them.
//   - Each step draws from a source of its own, so that steps can be left out:
//     that is how a failing schedule is shrunk.
//   - A run ends in quiescence: faults off, everybody syncs until nothing
//     changes. Then the server must have every write that was not physically
//     lost, and every device exactly what it may see of that.
//   - What is given up is listed in one place, [world.lose]: the last copy
//     of a write died with a phone, a restored file or a rolled-back server, or
//     headquarters purged the record.
//
// Two things that happen after a rollback alone are counted, and no failure:
//
//   - The chain of a device may be held further than its contents. What it had
//     been acknowledged and has let go of since, it can close the gap in the
//     chain for with hashes alone; the contents are with whoever else has them,
//     and come when he syncs, or are gone as [world.lose] says. So a receipt's
//     count covers steps without contents then ([world.vouches]). What a device
//     says of a record that it shows, "held", has no exception: such steps are
//     of nothing that it shows. Making the count itself strict would leave the
//     chain of that device open for ever; keeping what was evicted until the next
//     backup of the server would close it, and is not built.
//   - A purge may come back over new contents ("purged records with contents").
//     Headquarters purged, the store was rolled back to before, people wrote to
//     the record again, and then a device that knew of the purge pushed it. The
//     floor takes what was purged, as ever; what was written since is above it,
//     was never purged by anybody, and stays. Purging that too would need the
//     server to take a device's word for an erasure that its own history does
//     not have, of contents that headquarters has never seen.
//
// The invariants are numbered as in the design: V1 nothing lost or
// resurrected in any state that is read back, V2 the server ends with every
// required write, V3 devices equal the server where they may see and hold
// nothing elsewhere, V4 quiescence within a bound, V5 nobody receives what he
// may not see, V6 the server's own check, V7 replays change nothing, V8 a
// rollback is noticed (V2 would fail), V9 no alarm in honest runs, but for a
// record that a proven fork touched, and custody that tells the truth, V10 no
// forged value at the server, V11 no panic.
package sim
