// Package pgtest gives tests a real PostgreSQL: a cluster of its own, fresh
// databases in it, restarts and crashes of it, and a proxy in front of it that
// cuts a connection at a chosen message. It is for tests and the bench alone.
//
// What is always true of it:
//
//   - A cluster ends with the process that started it, however that ends. A
//     watchdog (a shell in a session of its own) reads a pipe whose other end
//     only this process holds; when the kernel closes that end, after a return,
//     a panic, an interrupt or a SIGKILL alike, it stops the postmaster and
//     removes the folder. So no test needs a TestMain for it. (Linux's
//     Pdeathsig would not do: it follows the thread that forked, not the
//     process, and leaves the folder.)
//   - fsync and synchronous_commit are on, as in production; only where the
//     files are decides how fast that is: by default in memory, if there is room.
//   - Who connects with the URL of [Cluster.Database] owns that database and is
//     nothing else in the cluster: no superuser, and of no other database.
//   - Nothing passes unseen: without PostgreSQL a test is skipped with a message,
//     and fails if SAMBANG_REQUIRE_POSTGRES=1.
//
// The environment:
//
//	SAMBANG_REQUIRE_POSTGRES=1  fail where there is no PostgreSQL; .ci/run sets it
//	SAMBANG_TEST_POSTGRES_URL   use this server, as a superuser, instead of starting one
//	SAMBANG_TEST_CITUS_URL      the coordinator of a Citus cluster, as a superuser, by way of a database that knows its
//	                            workers; without it, one is started where the extension is installed
package pgtest
