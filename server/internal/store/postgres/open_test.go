package postgres_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
)

// The settings on which durability rests, on each connection, whatever those of
// the database are.
func TestOpenAssertsDurability(t *testing.T) {
	address := database(t)
	name := query(t, address, `SELECT current_database()::text`)[0]
	sqlOn(t, address, `ALTER DATABASE `+name+` SET synchronous_commit = off`)
	sqlOn(t, address, `ALTER DATABASE `+name+` SET default_transaction_isolation = 'serializable'`)
	s := open(t, address, postgres.Options{LockTimeout: 3 * time.Second})
	for setting, want := range map[string]string{
		"synchronous_commit": "on", "lock_timeout": "3s", "statement_timeout": "1min", "idle_in_transaction_session_timeout": "30s",
		"default_transaction_isolation": "read committed", "application_name": "sambangd", "fsync": "on", "full_page_writes": "on",
	} {
		for _, pool := range []string{"writers", "readers"} {
			if got := postgres.Setting(t.Context(), s, pool, setting); got != want {
				t.Errorf("%s: %s is %q, want %q", pool, setting, got, want)
			}
		}
	}
	if got := postgres.Setting(t.Context(), s, "readers", "plan_cache_mode"); got != "force_custom_plan" {
		t.Errorf("plan_cache_mode of the readers is %q", got)
	}
	// A level that waits for standbys is not lowered.
	sqlOn(t, address, `ALTER DATABASE `+name+` SET synchronous_commit = remote_apply`)
	if got := postgres.Setting(t.Context(), open(t, address, postgres.Options{}), "writers", "synchronous_commit"); got != "remote_apply" {
		t.Errorf("synchronous_commit is %q", got)
	}
	for want, change := range map[string]func(version *int, fsync, fullPages, commit, encoding, readOnly *string, standby *bool){
		"":                      func(*int, *string, *string, *string, *string, *string, *bool) {},
		"PostgreSQL 14":         func(v *int, _, _, _, _, _ *string, _ *bool) { *v = 140021 },
		"fsync is off":          func(_ *int, v, _, _, _, _ *string, _ *bool) { *v = "off" },
		"full_page_writes":      func(_ *int, _, v, _, _, _ *string, _ *bool) { *v = "off" },
		"synchronous_commit is": func(_ *int, _, _, v, _, _ *string, _ *bool) { *v = "off" },
		"encoding":              func(_ *int, _, _, _, v, _ *string, _ *bool) { *v = "SQL_ASCII" },
		"read-only":             func(_ *int, _, _, _, _, v *string, _ *bool) { *v = "on" },
		"standby":               func(_ *int, _, _, _, _, _ *string, v *bool) { *v = true },
	} {
		if err := postgres.RefuseSettings(change); (want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}

// What is not ours is not touched.
func TestOpenLeavesForeignDatabasesAlone(t *testing.T) {
	readOnly := func(t *testing.T, address string) {
		sqlOn(t, address, `ALTER DATABASE `+query(t, address, `SELECT current_database()::text`)[0]+` SET default_transaction_read_only = on`)
	}
	statement := func(text string) func(*testing.T, string) {
		return func(t *testing.T, address string) { sqlOn(t, address, text) }
	}
	for name, c := range map[string]struct {
		options string
		make    func(t *testing.T, address string)
		want    error  // either
		says    string // or
	}{
		"tables of another program": {make: statement(`CREATE TABLE records (x int)`), want: store.ErrForeign},
		"a view":                    {make: statement(`CREATE VIEW x AS SELECT 1`), want: store.ErrForeign},
		"a newer store": {
			make: statement(`CREATE TABLE sambang_version (version_id bigint, is_applied boolean); INSERT INTO sambang_version VALUES (0, true), (1000, true)`), want: store.ErrNewer,
		},
		"another encoding":     {options: `ENCODING SQL_ASCII LOCALE 'C'`, make: func(*testing.T, string) {}, says: "SQL_ASCII"},
		"a read-only database": {make: readOnly, says: "read-only"},
		"no schema":            {make: statement(`DROP SCHEMA public`), says: "no schema"},
	} {
		t.Run(name, func(t *testing.T) {
			address := database(t, c.options)
			c.make(t, address)
			const contents = `SELECT n.nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE n.nspname NOT LIKE 'pg%' ORDER BY 1`
			before := query(t, address, contents)
			s, err := postgres.Open(t.Context(), address, postgres.Options{})
			if s != nil || err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error is %v, want %v %q", err, c.want, c.says)
			}
			if after := query(t, address, contents); strings.Join(before, " ") != strings.Join(after, " ") {
				t.Errorf("before %v, after %v", before, after)
			}
		})
	}
}

// A schema of its own beside another program's, and extensions, are no
// strangers.
func TestOpenTakesASchemaOfItsOwn(t *testing.T) {
	address := database(t)
	sqlOn(t, address, `CREATE TABLE other (x int); CREATE SCHEMA sambang; CREATE EXTENSION pg_stat_statements SCHEMA sambang`)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = "search_path=sambang"
	for range 2 { // made, and found again
		s := open(t, u.String(), postgres.Options{})
		if err := s.Update(t.Context(), storetest.OneStep(storetest.Next)); err != nil {
			t.Error(err)
		}
		if err := s.Check(t.Context(), func(problem string) { t.Error(problem) }); err != nil {
			t.Error(err)
		}
	}
}

// Servers that start at once make the tables once.
func TestOpenByManyAtOnce(t *testing.T) {
	address := database(t)
	errs := make(chan error)
	const servers = 4
	for range servers {
		go func() {
			s, err := postgres.Open(t.Context(), address, postgres.Options{})
			if err == nil {
				err = s.Close()
			}
			errs <- err
		}()
	}
	for range servers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if got := query(t, address, `SELECT version_id::text FROM sambang_version ORDER BY 1`); strings.Join(got, " ") != "0 1 2" {
		t.Errorf("versions %v", got)
	}
}

// A server that dies while it makes the tables leaves none, and the next one
// makes them.
func TestAMigrationThatIsCutHasDoneNothing(t *testing.T) {
	address := database(t)
	other := connect(t, address)
	ctx := t.Context()
	exec := func(text string) error { _, err := other.Exec(ctx, text); return err }
	// The last table of the migration waits for this one, which is undone.
	if err := errors.Join(exec(`BEGIN`), exec(`CREATE TYPE enrolments AS ENUM ()`)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := postgres.Open(ctx, address, postgres.Options{})
		done <- err
	}()
	waitFor(t, address, `SELECT 'x' FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND datname = current_database()`)
	sqlOn(t, address, `SELECT pg_terminate_backend(pid) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT granted AND datname = current_database()`)
	if err := <-done; err == nil {
		t.Error("a server whose migration was cut has started")
	}
	if err := exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if got := query(t, address, `SELECT relname::text FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public' AND relkind = 'r'`); strings.Join(got, " ") != "sambang_version" {
		t.Errorf("tables %v are left", got)
	}
	s := open(t, address, postgres.Options{})
	if err := s.Update(ctx, storetest.OneStep(storetest.Next)); err != nil {
		t.Error(err)
	}
}

// A password is in no error, whatever is wrong with the address, the server or
// the database.
func TestNoErrorHoldsThePassword(t *testing.T) {
	const password = "S3cr3t-w0rd"
	direct, err := url.Parse(database(t))
	if err != nil {
		t.Fatal(err)
	}
	host, name := direct.Host, strings.TrimPrefix(direct.Path, "/")
	for _, address := range []string{
		"postgres://u:" + password + "@" + host + "/nothing",
		"postgres://u:" + password + "@" + host + "/" + name,
		"postgres://u:" + password + "@127.0.0.1:1/x",
		"postgres://u:" + password + "@nowhere.invalid/x",
		"postgres://u:" + password + "@" + host + ":port/x",
		"postgres://u:" + password + "@/x?sslmode=" + password,
		"postgres://u:" + password + "%zz@" + host + "/x",
		"postgres://u:p " + password + "@" + host + "/x",
		"host=127.0.0.1 port=1 user=u password=" + password,
		"host=127.0.0.1 port=x user=u password=" + password,
		"password='" + password,
		"postgres://" + host + "/x?password=" + password + "&connect_timeout=x",
		"postgres://u:" + password + "@" + host + "/" + name + "?options=" + url.QueryEscape("-c nothing="+password),
		password,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		s, err := postgres.Open(ctx, address, postgres.Options{})
		cancel()
		if err == nil {
			t.Errorf("%s was opened", address)
			_ = s.Close()
			continue
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), password) {
				t.Errorf("%s: %v", address, e)
			}
		}
	}
}

// What became of a commit whose answer is lost is found out, or it is said that
// nobody knows.
func TestAnOutcomeIsFoundOutOrSaidToBeUnknown(t *testing.T) {
	address := database(t)
	s := open(t, address, postgres.Options{Tries: 5})
	rows, changes := storetest.RowsOf(storetest.NewRand(), 1, scope, 0)
	if err := storetest.Push(t.Context(), s, rows, changes); err != nil {
		t.Fatal(err)
	}
	kept, lost := changes[0], changes[0]
	lost.Digest[0]++
	later := changes[0]
	later.Seq++
	committed := query(t, address, `SELECT pg_current_xact_id()::text`)[0]
	cause := errors.New("the cable")
	for name, c := range map[string]struct {
		lost  postgres.Lost
		want  bool
		known bool
	}{
		"committed": {postgres.Lost{Xid: committed}, true, true},
		"a number that may have been given again": {postgres.Lost{Xid: committed, Crashed: true}, false, false},
		"the same, and its change is there":       {postgres.Lost{Xid: committed, Crashed: true, Change: &kept}, true, true},
		"the same, and another change is there":   {postgres.Lost{Xid: committed, Crashed: true, Change: &lost}, false, true},
		"the same, and its change is not there":   {postgres.Lost{Xid: committed, Crashed: true, Change: &later}, false, true},
		"of the future":                           {postgres.Lost{Xid: "4000000000"}, false, false},
		"so old that the server has forgotten it": {postgres.Lost{Xid: "3"}, false, false},
		"none": {postgres.Lost{}, false, false},
		"none, as on Citus, and a change is there": {postgres.Lost{Change: &kept}, true, true},
	} {
		got, err := s.Outcome(t.Context(), c.lost, cause)
		if got != c.want || (err == nil) != c.known || err != nil && (!errors.Is(err, store.ErrBusy) || !errors.Is(err, cause)) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// A transaction whose connection the server has for alive is ended, if it is
	// the one that was lost.
	conn := connect(t, address)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var xid string
	if err := tx.QueryRow(t.Context(), `SELECT pg_current_xact_id()::text`).Scan(&xid); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Outcome(t.Context(), postgres.Lost{Xid: xid}, cause); got || !errors.Is(err, store.ErrBusy) {
		t.Errorf("in progress elsewhere: %v, %v", got, err)
	}
	if got, err := s.Outcome(t.Context(), postgres.Lost{Conn: conn, Xid: xid}, cause); got || err != nil {
		t.Errorf("in progress: %v, %v", got, err)
	}
}

// What the server says is told apart by its code, and what it quotes is left
// out.
func TestErrorsOfTheServer(t *testing.T) {
	for code, c := range map[string]struct {
		want  error
		again bool
	}{
		"53100": {want: store.ErrFull}, "57014": {want: store.ErrBusy}, "XX001": {want: store.ErrDamaged}, "40001": {again: true}, "40P01": {again: true}, "55P03": {again: true},
		"57P01": {again: true}, "57P03": {again: true}, "08006": {again: true}, "53300": {again: true}, "25006": {again: true}, "23505": {}, "42501": {}, "22021": {},
	} {
		err, again := postgres.Translate(code, "message")
		if again != c.again || c.want != nil && !errors.Is(err, c.want) || strings.Contains(err.Error(), "detail") {
			t.Errorf("%s: %v, again: %v", code, err, again)
		}
	}
	if err, _ := postgres.Translate("22P02", `invalid input: "secret"`); strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// A backup is not this engine's to make, and says whose it is.
func TestBackupIsLeftToTheDatabase(t *testing.T) {
	s := open(t, database(t), postgres.Options{})
	if err := s.Backup(t.Context(), "x"); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "pg_basebackup") {
		t.Errorf("error is %v", err)
	}
}
