package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/sambang-id/sambang/internal/pgtest"
)

var child = flag.Bool("pgtest.child", false, "for this program itself: start a cluster, say where it is, and wait to be killed")

func connect(t *testing.T, at string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, statement string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func ask[T any](t *testing.T, conn *pgx.Conn, question string, args ...any) T {
	t.Helper()
	var answer T
	if err := conn.QueryRow(t.Context(), question, args...).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", question, err)
	}
	return answer
}

// wantCode reports an error that has not the wanted SQLSTATE.
func wantCode(t *testing.T, what string, err error, code string) {
	t.Helper()
	var answer *pgconn.PgError
	if !errors.As(err, &answer) || answer.Code != code {
		t.Errorf("%s: error is %v, want SQLSTATE %s", what, err, code)
	}
}

func TestAClusterIsSetAsInProduction(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	if pgtest.Start(t) != c {
		t.Error("the second Start gave another cluster")
	}
	conn := connect(t, c.Database(t))
	for setting, want := range map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "data_checksums": "on",
		"server_encoding": "UTF8", "timezone": "UTC", "max_connections": "100",
	} {
		if got := ask[string](t, conn, "SELECT current_setting($1)", setting); got != want {
			t.Errorf("%s is %s, want %s", setting, got, want)
		}
	}
	if got := ask[string](t, conn, "SELECT datcollate FROM pg_database WHERE datname = current_database()"); got != "C" {
		t.Errorf("the order of text is %s, want C", got)
	}
	if ask[int](t, conn, "SELECT current_setting('server_version_num')::int") < 150000 {
		t.Error("the server is too old")
	}
}

func TestADatabaseIsItsOwners(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	one, two := c.Database(t), c.Database(t)
	conn := connect(t, one)
	exec1(t, conn, "CREATE TABLE things (id int PRIMARY KEY)")
	exec1(t, conn, "CREATE SCHEMA more")
	for statement, code := range map[string]string{
		"CREATE ROLE r": "42501", "CREATE DATABASE d": "42501", "ALTER SYSTEM SET fsync = off": "42501",
		"COPY things TO '/tmp/x'": "42501", "SELECT * FROM pg_authid": "42501",
	} {
		_, err := conn.Exec(t.Context(), statement)
		wantCode(t, statement, err, code)
	}
	// The owner of one does not come into two.
	_, err := pgx.Connect(t.Context(), strings.Replace(one, one[strings.LastIndex(one, "/"):], two[strings.LastIndex(two, "/"):], 1))
	wantCode(t, "connect to another's database", err, "42501")
	// The superuser does.
	c.Exec(t, one, "INSERT INTO things VALUES (7)", "CREATE EXTENSION pg_trgm SCHEMA more")
	if got := ask[int](t, connect(t, c.Admin(one)), "SELECT id FROM things"); got != 7 {
		t.Errorf("got %d", got)
	}
	// Whoever knows the place but not the password stays outside.
	_, err = pgx.Connect(t.Context(), strings.Replace(one, ":"+conn.Config().Password+"@", ":wrong@", 1))
	wantCode(t, "connect with a wrong password", err, "28P01")
}

func TestADatabaseOfAnotherCollation(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	const question = "SELECT string_agg(w, '' ORDER BY w) FROM unnest('{b,A,a,B}'::text[]) w"
	if got := ask[string](t, connect(t, c.Database(t)), question); got != "ABab" {
		t.Errorf("order of bytes: %s", got)
	}
	if got := ask[string](t, connect(t, c.Database(t, "LOCALE_PROVIDER icu ICU_LOCALE 'id'")), question); got != "aAbB" {
		t.Errorf("order of Indonesian: %s", got)
	}
}

func TestADatabaseEndsWithItsTest(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	var name string
	var left *pgx.Conn
	t.Run("a test that leaves a connection open", func(t *testing.T) {
		at := c.Database(t)
		var err error
		if left, err = pgx.Connect(context.Background(), at); err != nil { //nolint:contextcheck // it outlives this test
			t.Fatal(err)
		}
		name = left.Config().Database
		c.Snapshot(t, at).Copy(t)
		if left, err = pgx.Connect(context.Background(), at); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := left.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("a connection outlived its database")
	}
	conn := connect(t, c.URL())
	if n := ask[int](t, conn, "SELECT (SELECT count(*) FROM pg_database WHERE datname LIKE $1 || '%') + (SELECT count(*) FROM pg_roles WHERE rolname = $1)", name); n != 0 {
		t.Errorf("%d databases and roles are left", n)
	}
}

func TestASnapshotRestoresAndCopies(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	at := c.Database(t)
	conn := connect(t, at)
	exec1(t, conn, "CREATE TABLE things (id int PRIMARY KEY)")
	exec1(t, conn, "INSERT INTO things VALUES (1)")
	s := c.Snapshot(t, at)
	if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
		t.Error("the connection outlived the snapshot")
	}
	count := func(at string) int { return ask[int](t, connect(t, at), "SELECT count(*) FROM things") }
	for round := range 2 {
		conn = connect(t, at)
		exec1(t, conn, "INSERT INTO things VALUES (2), (3)")
		s.Restore(t)
		if _, err := conn.Exec(t.Context(), "SELECT 1"); err == nil {
			t.Error("a connection outlived the restore")
		}
		if n := count(at); n != 1 {
			t.Errorf("round %d: %d rows after the restore, want 1", round, n)
		}
	}
	fork := s.Copy(t)
	exec1(t, connect(t, fork), "INSERT INTO things VALUES (4), (5)")
	if n, m := count(at), count(fork); n != 1 || m != 3 {
		t.Errorf("%d rows in the database and %d in its copy, want 1 and 3", n, m)
	}
	conn = connect(t, at)
	if n := c.Disconnect(t, at); n < 1 {
		t.Errorf("ended %d connections", n)
	}
	_, err := conn.Exec(t.Context(), "SELECT 1")
	wantCode(t, "use a connection that was ended", err, "57P01")
}

func TestADumpIsLoadedBack(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	at := c.Database(t)
	conn := connect(t, at)
	exec1(t, conn, `CREATE TABLE "all things" (id int PRIMARY KEY, what text, b bytea)`)
	exec1(t, conn, `INSERT INTO "all things" VALUES (1, 'Ä', '\x00ff'), (2, NULL, NULL)`)
	exec1(t, conn, "CREATE TABLE others (id bigint GENERATED ALWAYS AS IDENTITY)")
	d, err := pgtest.OpenDumper(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	dump, err := d.Dump(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const rows = `SELECT string_agg(r::text, ' ' ORDER BY id) || ' ' || (SELECT count(*) FROM others) FROM "all things" AS r`
	before := ask[string](t, conn, rows)
	for range 2 {
		exec1(t, conn, `UPDATE "all things" SET what = 'x'`)
		exec1(t, conn, `INSERT INTO "all things" VALUES (3, '', '')`)
		exec1(t, conn, "INSERT INTO others DEFAULT VALUES")
		if err := d.Load(t.Context(), dump); err != nil {
			t.Fatal(err)
		}
		if after := ask[string](t, conn, rows); after != before {
			t.Errorf("%s is loaded as %s", before, after)
		}
	}
	exec1(t, conn, "CREATE TABLE more (id int)")
	if err := d.Load(t.Context(), dump); err == nil {
		t.Error("a dump of other tables was loaded")
	}
	if err := d.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := ask[int](t, conn, "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace"); n != 0 {
		t.Errorf("%d tables and indexes are left", n)
	}
	exec1(t, conn, "CREATE TABLE more (id int)")
}

// Under load, in each way: what was acknowledged is there when the server is
// back, and none of its processes is left when it is stopped.
func TestARestartUnderLoadLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	c := pgtest.StartOwn(t, pgtest.Options{})
	at := c.Database(t)
	exec1(t, connect(t, at), "CREATE TABLE things (id bigint PRIMARY KEY)")
	const writers = 4
	var acknowledged [writers][]int64
	var number atomic.Int64 // of acknowledged ones
	done := make(chan struct{})
	ended := make(chan struct{}, writers)
	for w := range writers {
		go func() {
			defer func() { ended <- struct{}{} }()
			ctx := context.Background()
			for n := int64(0); ; {
				conn, err := pgx.Connect(ctx, at)
				for err == nil {
					n++
					if _, err = conn.Exec(ctx, "INSERT INTO things VALUES ($1)", n*writers+int64(w)); err == nil {
						acknowledged[w] = append(acknowledged[w], n*writers+int64(w))
						number.Add(1)
					}
					select {
					case <-done:
						conn.Close(ctx)
						return
					default:
					}
				}
				select {
				case <-done:
					return
				case <-time.After(time.Millisecond):
				}
			}
		}()
	}
	pid := c.PID()
	for _, mode := range []pgtest.Mode{pgtest.Fast, pgtest.Immediate, pgtest.Crash} {
		var before int64
		for before < 100 { // some load
			time.Sleep(time.Millisecond)
			before = number.Load()
		}
		if err := c.Restart(mode); err != nil {
			t.Fatalf("mode %d: %v", mode, err)
		}
		if c.PID() == pid {
			t.Errorf("mode %d: the same postmaster", mode)
		}
		pid = c.PID()
		for number.Load() < before+100 { // and it goes on
			time.Sleep(time.Millisecond)
		}
	}
	close(done)
	for range writers {
		<-ended
	}
	conn := connect(t, at)
	for w := range writers {
		const lost = "SELECT count(*) FROM unnest($1::bigint[]) AS n WHERE NOT EXISTS (SELECT FROM things WHERE id = n)"
		if n := ask[int](t, conn, lost, acknowledged[w]); n != 0 {
			t.Errorf("writer %d: %d of %d that were acknowledged are lost", w, n, len(acknowledged[w]))
		}
	}
	log, err := os.ReadFile(c.Folder() + "/log")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), "automatic recovery in progress"); n != 2 {
		t.Errorf("the server recovered %d times, want 2: after Immediate and after Crash", n)
	}
}

func TestAStoppedServerIsDownUntilItResumes(t *testing.T) {
	t.Parallel()
	c := pgtest.StartOwn(t, pgtest.Options{Config: map[string]string{"deadlock_timeout": "77ms"}})
	at := c.Database(t)
	conn := connect(t, at)
	if got := ask[string](t, conn, "SHOW deadlock_timeout"); got != "77ms" {
		t.Errorf("a setting of the options is %s", got)
	}
	backend := ask[int](t, conn, "SELECT pg_backend_pid()")
	if err := c.Stop(pgtest.Crash); err != nil {
		t.Fatal(err)
	}
	if c.PID() != 0 {
		t.Error("a stopped server has a process")
	}
	if runs(backend) {
		t.Error("a backend outlived the crash")
	}
	if _, err := pgx.Connect(t.Context(), at); err == nil {
		t.Error("connected to a stopped server")
	}
	if err := c.Stop(pgtest.Fast); err == nil {
		t.Error("stopped twice")
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	if err := c.Resume(); err == nil {
		t.Error("started twice")
	}
	connect(t, at)
	out, err := c.Command(t.Context(), "pg_dump", "--dbname="+c.Admin(at), "--schema-only").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "PostgreSQL database dump complete") {
		t.Errorf("pg_dump: %v\n%s", err, out)
	}
}

// runs tells whether a process is there and has not ended.
func runs(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(text), ") Z ")
}

func TestAClusterOfOnesOwnEndsWithItsTest(t *testing.T) {
	t.Parallel()
	var folder string
	var pid int
	t.Run("a test that leaves it stopped", func(t *testing.T) {
		c := pgtest.StartOwn(t, pgtest.Options{Disk: true})
		c.Database(t)
		folder, pid = c.Folder(), c.PID()
		if strings.HasPrefix(folder, "/dev/shm") {
			t.Errorf("asked for a disk, got %s", folder)
		}
		if err := c.Stop(pgtest.Fast); err != nil {
			t.Fatal(err)
		}
	})
	if _, err := os.Stat(folder); !os.IsNotExist(err) {
		t.Errorf("its folder is left: %v", err)
	}
	if runs(pid) {
		t.Error("its postmaster is left")
	}
}

// A test process that is killed can clean up nothing itself. This test plays
// both parts: run with -pgtest.child, it is the one that is killed.
func TestAClusterEndsWithItsProcess(t *testing.T) {
	if *child {
		c := pgtest.Start(t)
		fmt.Printf("\ncluster %d %s\n", c.PID(), c.Folder())
		select {}
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-pgtest.child")
	cmd.Env = append(os.Environ(), "SAMBANG_TEST_POSTGRES_URL=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var folder string
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		fmt.Sscanf(lines.Text(), "cluster %d %s", &pid, &folder) //nolint:errcheck // other lines are not for us
	}
	if pid == 0 || !runs(pid) {
		t.Fatalf("the child started no cluster (process %d)", pid)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() //nolint:errcheck // it was killed
	for range 1000 {
		if _, err := os.Stat(folder); os.IsNotExist(err) && !runs(pid) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("ten seconds after its process, the postmaster runs: %t, its folder: %s", runs(pid), folder)
}

// The tests of databases hold on a server that somebody else started.
func TestTheServerOfTheEnvironmentIsUsed(t *testing.T) {
	t.Parallel()
	c := pgtest.StartOwn(t, pgtest.Options{})
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run=^(TestADatabaseIsItsOwners|TestADatabaseEnds|TestAClusterIsSet)")
	cmd.Env = append(os.Environ(), "SAMBANG_TEST_POSTGRES_URL="+c.URL())
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "\n--- PASS") != 3 {
		t.Errorf("%v\n%s", err, out)
	}
	log, err := os.ReadFile(c.Folder() + "/log")
	if err != nil || !strings.Contains(string(log), "t_testadatabaseisitsowners_") {
		t.Errorf("the server was not used: %v\n%s", err, log)
	}
	conn := connect(t, c.URL())
	if n := ask[int](t, conn, "SELECT count(*) FROM pg_database WHERE NOT datistemplate") + ask[int](t, conn, "SELECT count(*) FROM pg_roles WHERE rolname LIKE 't\\_%'"); n != 1 {
		t.Errorf("%d databases and roles are left there, want 1", n)
	}
	// What is not a superuser's is refused, loudly.
	cmd = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAClusterIsSet")
	cmd.Env = append(os.Environ(), "SAMBANG_TEST_POSTGRES_URL="+c.Database(t))
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "superuser: false") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A bench has a cluster where it wants it, without a test, and leaves nothing.
func TestABenchRunsAClusterOfItsOwn(t *testing.T) {
	if pgtest.Start(t).Folder() == "" {
		return // the environment names a server; this machine may have none
	}
	folder, err := os.MkdirTemp("/tmp", "bench")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	if err := os.Chmod(folder, 0o777); err != nil { //nolint:gosec // another user makes its own in it
		t.Fatal(err)
	}
	c, err := pgtest.Run(pgtest.Options{Disk: true, Folder: folder, Config: map[string]string{"shared_buffers": "16MB"}})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(c.Folder(), folder+"/") {
		t.Errorf("its files are in %s", c.Folder())
	}
	if got := ask[string](t, connect(t, c.URL()), "SELECT current_setting('shared_buffers') || current_setting('fsync')"); got != "16MBon" {
		t.Errorf("shared_buffers and fsync are %s", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("%d entries are left, %v", len(left), err)
	}
}
