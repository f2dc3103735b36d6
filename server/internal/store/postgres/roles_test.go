package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/server/internal/store/postgres"
	"github.com/sambang-id/sambang/server/internal/store/storetest"
	"github.com/sambang-id/sambang/syncproto"
)

// secured is a database with the roles of [postgres.Roles]. Its addresses are
// those of the administrator and of the roles.
type secured struct{ admin, owner, server, reader string }

// roles makes an empty database with roles of its own.
func roles(t testing.TB) secured {
	t.Helper()
	prefix := fmt.Sprintf("r%d_%d", os.Getpid(), databases.Add(1))
	super := pgtest.Start(t).URL()
	t.Cleanup(func() { // after the database was dropped
		sqlOn(t, super, fmt.Sprintf(`DROP ROLE IF EXISTS %s_owner, %[1]s_server, %[1]s_reader`, prefix))
	})
	at := secured{admin: database(t)}
	administer(t, at.admin, prefix)
	as := func(role string) string {
		sqlOn(t, at.admin, fmt.Sprintf(`ALTER ROLE %s_%s PASSWORD 'secret'`, prefix, role))
		u, err := url.Parse(at.admin)
		if err != nil {
			t.Fatal(err)
		}
		u.User = url.UserPassword(prefix+"_"+role, "secret")
		return u.String()
	}
	at.owner, at.server, at.reader = as("owner"), as("server"), prefix+"_reader"
	return at
}

// administer runs what the administrator does, twice: it can be run again.
func administer(t testing.TB, at, prefix string) {
	t.Helper()
	text, err := postgres.Roles(prefix)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		sqlOn(t, at, text)
	}
}

// prepare makes the tables as their owner.
func prepare(t testing.TB, at secured) {
	t.Helper()
	s, err := postgres.Open(t.Context(), at.owner, postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Locked() {
		t.Error("the second lock is off")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestStoreAsTheServersRole keeps the contract with the privileges of the
// server's role, and no more.
func TestStoreAsTheServersRole(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		at := roles(t)
		prepare(t, at)
		s, err := postgres.Open(t.Context(), at.server, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// TestTheServersRoleMayDoNothingElse: it changes no table, empties none, takes
// nothing back from the journal, and is nobody in the cluster.
func TestTheServersRoleMayDoNothingElse(t *testing.T) {
	at := roles(t)
	prepare(t, at)
	conn := connect(t, at.server)
	for _, text := range []string{
		`CREATE TABLE more (n int)`, `CREATE TEMPORARY TABLE more (n int)`, `CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1`, `CREATE SCHEMA s`,
		`ALTER TABLE records ADD COLUMN more int`, `ALTER TABLE records DISABLE ROW LEVEL SECURITY`, `DROP POLICY sambang_reader ON records`, `DROP TABLE records`,
		`TRUNCATE changes`, `DELETE FROM changes`, `DELETE FROM records`, `DELETE FROM receipts`, `DELETE FROM officers`, `DELETE FROM devices`,
		`UPDATE changes SET device = 'other'`, `UPDATE changes SET digest = ''`, `UPDATE past_writes SET officer = 'other'`, `UPDATE receipts SET at = 0`, `UPDATE past_grants SET grants = '[]'`,
		`UPDATE servers SET server = 'other'`, `UPDATE sambang_version SET version_id = 0`, `INSERT INTO sambang_version (version_id, is_applied) VALUES (9, true)`,
		`CREATE ROLE more`, `CREATE DATABASE more`, `ALTER SYSTEM SET fsync = off`, `COPY records TO PROGRAM 'cat'`, `SELECT pg_read_file('/etc/passwd')`,
		`CREATE EXTENSION citus`, `SELECT rolpassword FROM pg_authid`,
	} {
		if _, err := conn.Exec(t.Context(), text); err == nil {
			t.Errorf("%s: allowed", text)
		}
	}
	// The reader reads what headquarters reads, and writes nothing.
	sqlOn(t, at.server, `SELECT count(*) FROM records`)
	if _, err := conn.Exec(t.Context(), `SET ROLE `+at.reader); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		`SELECT secret_hash FROM enrolments`, `SELECT * FROM receipts`, `SELECT * FROM witnesses`, `SELECT * FROM used_tokens`, `SELECT * FROM past_grants`,
		`DELETE FROM records`, `UPDATE records SET deleted = 1`, `INSERT INTO officers SELECT * FROM officers`, `UPDATE devices SET grants = '[]'`,
	} {
		if _, err := conn.Exec(t.Context(), text); err == nil {
			t.Errorf("reader: %s: allowed", text)
		}
	}
}

// TestEveryTableIsWithItsPrivileges: who adds a table says who may do what with
// it.
func TestEveryTableIsWithItsPrivileges(t *testing.T) {
	at := roles(t)
	prepare(t, at)
	got := query(t, at.admin, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1`)
	want := query(t, at.server, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND has_table_privilege(oid, 'SELECT') ORDER BY 1`)
	if !slices.Equal(got, want) {
		t.Errorf("tables without privileges: of %v, the server reads %v", got, want)
	}
}

// TestWhoMustRunWhatIsSaid: the server's role does not make tables, and a role
// that lacks something is told.
func TestWhoMustRunWhatIsSaid(t *testing.T) {
	at := roles(t)
	refused := func(address string, code syncproto.Code) {
		t.Helper()
		s, err := postgres.Open(t.Context(), address, postgres.Options{})
		if err == nil {
			_ = s.Close()
		}
		if !errors.Is(err, code) {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	refused(at.server, syncproto.CodeStoreUpgrade)
	prepare(t, at)
	open(t, at.server, postgres.Options{})
	u, err := url.Parse(at.server)
	if err != nil {
		t.Fatal(err)
	}
	server := u.User.Username()
	sqlOn(t, at.admin, `UPDATE sambang_version SET version_id = version_id - 100`)
	refused(at.server, syncproto.CodeStoreUpgrade)
	sqlOn(t, at.admin, `UPDATE sambang_version SET version_id = version_id + 100`)
	sqlOn(t, at.admin, `REVOKE UPDATE ON records FROM `+server)
	refused(at.server, syncproto.CodeStoreRole)
	sqlOn(t, at.admin, `GRANT UPDATE ON records TO `+server)
	sqlOn(t, at.admin, `DROP POLICY sambang_server ON changes`)
	refused(at.server, syncproto.CodeStoreRole) // or it would believe in an empty journal
	sqlOn(t, at.admin, `REVOKE SELECT ON sambang_version FROM `+server)
	refused(at.server, syncproto.CodeStoreRole)
	sqlOn(t, at.admin, `COMMENT ON TABLE sambang_version IS NULL`)
	prepare(t, at) // puts all of it right
	open(t, at.server, postgres.Options{})
}

// TestWithoutTheLockTheServerSaysSo: nothing is silently off.
func TestWithoutTheLockTheServerSaysSo(t *testing.T) {
	said := func(address string) string {
		t.Helper()
		var log bytes.Buffer
		s := open(t, address, postgres.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err := s.ViewAs(t.Context(), nil, 0, func(rd store.Reader) error { _, err := rd.Devices(); return err }); err != nil {
			t.Error(err)
		}
		return log.String()
	}
	if got := said(database(t)); !strings.Contains(got, "level=WARN") || !strings.Contains(got, "second lock") {
		t.Errorf("one role for all: %q", got)
	}
	at := roles(t)
	prepare(t, at)
	if got := said(at.server); got != "" {
		t.Errorf("as the server's role: %q", got)
	}
	if got := said(at.owner); !strings.Contains(got, "least privileges") || strings.Contains(got, "second lock") {
		t.Errorf("as the owner: %q", got)
	}
	sqlOn(t, at.admin, `COMMENT ON TABLE sambang_version IS NULL`) // as if the roles were new
	if got := said(at.admin); !strings.Contains(got, "least privileges") {
		t.Errorf("as a superuser: %q", got)
	}
	if got := query(t, at.admin, `SELECT DISTINCT pg_get_userbyid(proowner)::text FROM pg_proc WHERE proname LIKE 'sambang%'`); len(got) != 1 || !strings.HasSuffix(got[0], "_owner") {
		t.Errorf("the functions are owned by %v", got)
	}
}

// TestALockThatDoesNotHoldIsNoView: what should be locked and is not is
// refused, and check says so.
func TestALockThatDoesNotHoldIsNoView(t *testing.T) {
	for _, how := range []struct{ name, break_ string }{
		{"a table without", `ALTER TABLE past_writes DISABLE ROW LEVEL SECURITY`},
		{"a policy is missing", `DROP POLICY sambang_reader ON quarantine`},
		{"the reader passes", `ALTER ROLE {reader} BYPASSRLS`},
	} {
		t.Run(how.name, func(t *testing.T) {
			at := roles(t)
			prepare(t, at)
			sqlOn(t, at.admin, strings.ReplaceAll(how.break_, "{reader}", at.reader))
			s := open(t, at.server, postgres.Options{})
			err := s.ViewAs(t.Context(), nil, 0, func(store.Reader) error { return nil })
			if !errors.Is(err, syncproto.CodeStoreRole) {
				t.Errorf("view: %v", err)
			}
			var problems []string
			if err := s.Check(t.Context(), func(p string) { problems = append(problems, p) }); err != nil || len(problems) != 1 || !strings.Contains(problems[0], "second lock") {
				t.Errorf("check: %v, %v", problems, err)
			}
		})
	}
}

// world is rows in every scope of a few districts, and who sent what.
func fillScopes(t *testing.T, s store.Store, r *rand.Rand) (scopes []syncproto.Scope, ids []syncproto.RecordID) {
	t.Helper()
	for _, district := range []string{"35.24.14", "35.24.15", "35.25.01", "36.24.14", "12.35.24", "35.01.35"} {
		for _, class := range []string{"", "/T", "/H"} {
			scopes = append(scopes, syncproto.Scope(district+class))
		}
	}
	device := func(n int, grants ...syncproto.Grant) store.Device {
		return store.Device{ID: fmt.Sprintf("device-%d", n), Officer: "o", Agency: "a", Role: "officer", PublicKey: []byte{1}, Grants: grants}
	}
	devices := []store.Device{
		device(0), device(1, syncproto.Grant{Region: "35.24", Classes: []syncproto.Class{"D"}, Until: 5}), device(2, syncproto.Grant{Region: "36"}),
		device(3, syncproto.Grant{Region: "12.35.24", Classes: []syncproto.Class{"D"}}, syncproto.Grant{Region: "35.01.35.2001"}),
	}
	steps := []store.Step{{Scopes: []string{store.RegistryScope}, Do: func(tx store.Tx) ([]store.Step, error) {
		for _, d := range devices {
			if err := tx.PutDevice(d); err != nil {
				return nil, err
			}
		}
		return nil, nil
	}}}
	message := func(scope string, device string) store.Quarantined {
		q := store.Quarantined{Scope: scope, Device: device, Code: "bad_record", At: 1 + r.Int64N(50), State: store.QuarantineOpen, Raw: []byte("raw")}
		for i := range q.Key {
			q.Key[i] = byte(r.Uint32())
		}
		return q
	}
	for _, d := range devices {
		scope := store.DeviceScope(d.ID)
		steps = append(steps, store.Step{Scopes: []string{scope}, Do: func(tx store.Tx) ([]store.Step, error) {
			return nil, tx.Quarantine(scope, []store.Quarantined{message(scope, d.ID)})
		}})
	}
	for _, scope := range scopes {
		rows, changes := storetest.RowsOf(r, 4, scope, 0)
		for i := range rows {
			ids = append(ids, rows[i].ID)
		}
		// One of them was elsewhere before, in each of two classes.
		was := scopes[r.IntN(len(scopes))]
		past := []store.PastWrite{
			{Scope: scope, Dot: syncproto.Dot{Replica: syncproto.ReplicaID(r.Uint64()), N: 1}, ID: rows[0].ID, Path: "p", HLC: 1, Device: "device-0", At: 1},
			{Scope: was, Dot: syncproto.Dot{Replica: syncproto.ReplicaID(r.Uint64()), N: 1}, ID: rows[0].ID, Path: "p", HLC: 2, Device: "device-0", At: 2},
		}
		steps = append(steps, store.Step{Scopes: []string{string(scope), string(was)}, Do: func(tx store.Tx) ([]store.Step, error) {
			head, err := tx.Head(scope)
			if err != nil {
				return nil, err
			}
			for i := range rows {
				rows[i].Seq, rows[i].Entered = head+uint64(i)+1, head+uint64(i)+1 //nolint:gosec // small
				changes[i].Seq = rows[i].Seq
			}
			if err := tx.Put(scope, rows); err != nil {
				return nil, err
			}
			if err := tx.Append(scope, changes); err != nil {
				return nil, err
			}
			for i, p := range past {
				if err := tx.AppendHistory(p.Scope, past[i:i+1]); err != nil {
					return nil, err
				}
			}
			if err := tx.Quarantine(string(scope), []store.Quarantined{message(string(scope), "device-0")}); err != nil {
				return nil, err
			}
			head, err = tx.Head(was)
			if err != nil {
				return nil, err
			}
			elsewhere := changes[0]
			elsewhere.Scope, elsewhere.Seq = was, head+1
			marker := rows[0]
			if marker.Scope, marker.Seq, marker.Entered, marker.MovedTo = was, head+1, head+1, scope; was == scope {
				return nil, nil
			}
			if err := tx.Put(was, []store.Row{marker}); err != nil {
				return nil, err
			}
			return nil, tx.Append(was, []store.Change{elsewhere})
		}})
	}
	for _, step := range steps {
		if err := s.Update(t.Context(), step); err != nil {
			t.Fatal(err)
		}
	}
	return scopes, ids
}

func randomGrants(r *rand.Rand) (out syncproto.Grants) {
	regions := []syncproto.Region{"", "3", "35", "35.", "36", "12", "35.2", "35.24", "35.25", "35.01", "24.14", "35.24.14", "35.24.1", "12.35.24", "36.24.14", "35.24.14.2011", "99", "%", ".*"}
	for range r.IntN(4) {
		g := syncproto.Grant{Region: regions[r.IntN(len(regions))], Until: []int64{0, 0, 100, 101, 5}[r.IntN(5)]}
		for _, c := range []syncproto.Class{"D", "T", "H", "X", ""} {
			if r.IntN(2) == 0 {
				g.Classes = append(g.Classes, c)
			}
		}
		out = append(out, g)
	}
	return out
}

// TestTheSecondLockIsMayRead: without any filter in Go, a reader's view is what
// his grants let through. Also by raw SQL.
func TestTheSecondLockIsMayRead(t *testing.T) {
	at := roles(t)
	prepare(t, at)
	s := open(t, at.server, postgres.Options{})
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	scopes, ids := fillScopes(t, s, r)
	const now = 100
	everything := syncproto.Grants{}
	for _, province := range []syncproto.Region{"12", "35", "36"} {
		everything = append(everything, syncproto.Grant{Region: province, Classes: []syncproto.Class{"D", "T", "H"}})
	}
	all := seen(t, s.View, scopes, ids)
	if as := seen(t, viewAs(s, everything, now), scopes, ids); !slices.Equal(without(all, "message device/device-0"), as) {
		t.Fatalf("who may see all sees %d of %d", len(as), len(all))
	}
	home := map[syncproto.RecordID]syncproto.Scope{}
	if err := s.View(t.Context(), func(rd store.Reader) error {
		rows, err := rd.Live(ids)
		for _, row := range rows {
			home[row.ID] = row.Scope
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	raw := connect(t, at.server)
	allRaw := rawLines(t, raw, "", "")
	shown, hidden, round := 0, 0, 0
	for range 400 {
		g := randomGrants(r)
		var want []string
		for _, line := range all {
			if mayLine(g, now, home, line) {
				want = append(want, line)
			}
		}
		if round++; round <= 10 { // each is hundreds of questions
			if got := seen(t, viewAs(s, g, now), scopes, ids); !slices.Equal(got, want) {
				t.Fatalf("grants %+v\nsees %v\nmay  %v", g, got, want)
			}
		}
		shown, hidden = shown+len(want), hidden+len(all)-len(want)
		var wantRaw []string
		for _, line := range allRaw {
			if mayLine(g, now, home, line) {
				wantRaw = append(wantRaw, line)
			}
		}
		if got := rawLines(t, raw, at.reader, postgres.ReaderSetting(g, now)); !slices.Equal(got, wantRaw) {
			t.Fatalf("grants %+v\nby SQL sees %v\nmay         %v", g, got, wantRaw)
		}
	}
	if shown == 0 || hidden == 0 {
		t.Errorf("%d lines shown, %d hidden: nothing was tried", shown, hidden)
	}
	for _, nothing := range []string{"", "{}", `{"now":1,"grants":[]}`} {
		if got := rawLines(t, raw, at.reader, nothing); len(got) != 0 {
			t.Errorf("with setting %q, %v is seen", nothing, got)
		}
	}
}

func viewAs(s *postgres.Store, g syncproto.Grants, now int64) func(context.Context, func(store.Reader) error) error {
	return func(ctx context.Context, fn func(store.Reader) error) error { return s.ViewAs(ctx, g, now, fn) }
}

func without(lines []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return strings.HasPrefix(l, prefix) })
}

// mayLine says whether a line of what all see is one of a reader's.
func mayLine(g syncproto.Grants, now int64, home map[syncproto.RecordID]syncproto.Scope, line string) bool {
	words := strings.Fields(line)
	scope := syncproto.Scope(words[1])
	switch words[0] {
	case "change", "past": // of a record that may be seen, in a class that may be seen there
		id, _ := syncproto.ParseRecordID(words[2])
		at := home[id]
		there, err := syncproto.NewScope(at.Region(), scope.Class())
		return err == nil && g.MayRead(at, now) && g.MayRead(there, now)
	case "message":
		if device, ok := strings.CutPrefix(string(scope), "device/"); ok {
			meets := map[string][]syncproto.Region{"device-1": {"35.24"}, "device-2": {"36"}, "device-3": {"12.35.24", "35.01.35.2001"}}
			return slices.ContainsFunc(meets[device], func(of syncproto.Region) bool {
				return slices.ContainsFunc(g, func(own syncproto.Grant) bool {
					return (own.Until == 0 || now < own.Until) && (own.Region.Covers(of) || of.Covers(own.Region))
				})
			})
		}
	}
	return g.MayRead(scope, now)
}

// seen asks for everything, in every way in which headquarters reads.
func seen(t *testing.T, view func(context.Context, func(store.Reader) error) error, scopes []syncproto.Scope, ids []syncproto.RecordID) (out []string) {
	t.Helper()
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	err := view(t.Context(), func(rd store.Reader) error {
		all := syncproto.Grants{}
		for _, scope := range scopes {
			all = append(all, syncproto.Grant{Region: scope.Region(), Classes: []syncproto.Class{"D", "T", "H"}})
			for row, err := range rd.Feed(scope, 0, 1000) {
				if err != nil {
					return err
				}
				add("feed %s %s %d", row.Scope, row.ID, row.Seq)
			}
			heads, err := rd.Heads(scope.Region(), scope.Class())
			if err != nil {
				return err
			}
			for _, h := range heads {
				add("head %s %d", h.Scope, h.Seq)
			}
		}
		rows, err := rd.Log(store.Filter{Grants: all, Deleted: true}, nil, 10_000)
		if err != nil {
			return err
		}
		live, err := rd.Live(ids)
		if err != nil {
			return err
		}
		for _, row := range append(rows, live...) {
			add("row %s %s", row.Scope, row.ID)
		}
		for _, id := range ids {
			companions, err := rd.Companions(id)
			if err != nil {
				return err
			}
			for _, row := range companions {
				add("companion %s %s", row.Scope, row.ID)
			}
			if err := each(rd.Changes(id), func(c store.Change) { add("change %s %s %d", c.Scope, c.ID, c.Seq) }); err != nil {
				return err
			}
			if err := each(rd.PastWrites(id), func(p store.PastWrite) { add("past %s %s %s", p.Scope, p.ID, p.Dot) }); err != nil {
				return err
			}
		}
		messages, err := rd.Inbox("", nil, 10_000)
		for _, q := range messages {
			add("message %s %s", q.Scope, q.Key)
			if _, err := rd.Message(q.Key); err != nil {
				return err
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}

func each[T any](all iter.Seq2[T, error], do func(T)) error {
	for v, err := range all {
		if err != nil {
			return err
		}
		do(v)
	}
	return nil
}

// rawLines are the rows that a role sees by SQL without any condition.
func rawLines(t *testing.T, conn *pgx.Conn, role, setting string) []string {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it only reads
	if role != "" {
		_, err = tx.Exec(t.Context(), `SET LOCAL ROLE `+role)
	}
	if err == nil && setting != "" {
		_, err = tx.Exec(t.Context(), `SELECT set_config('sambang.reader', $1, true)`, setting)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := tx.Query(t.Context(), `SELECT 'head ' || scope AS line FROM scopes WHERE scope < ':' UNION ALL SELECT 'row ' || scope || ' ' || id::text FROM records
		UNION ALL SELECT 'change ' || scope || ' ' || encode(id, 'hex')::uuid || ' ' || seq FROM changes
		UNION ALL SELECT 'past ' || scope || ' ' || encode(id, 'hex')::uuid || ' ' || n FROM past_writes
		UNION ALL SELECT 'message ' || scope FROM quarantine ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}
