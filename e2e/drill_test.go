package e2e_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server"
)

// Drills run the commands of docs/operations.md, as they are written there.

// drill is a PostgreSQL and what the page's words stand for.
type drill struct {
	t         *testing.T
	c         *pgtest.Cluster
	page      string
	variables []string
	sambangd  string
	password  string
}

func newDrill(t *testing.T) *drill {
	t.Helper()
	c := pgtest.StartOwn(t, pgtest.Options{})
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(c.Folder(), "bin")
	d := &drill{t: t, c: c, page: string(page), sambangd: filepath.Join(bin, "sambangd"), password: "s3cret"}
	d.variables = []string{
		"WAL=" + filepath.Join(c.Folder(), "wal"), "BASE=" + filepath.Join(c.Folder(), "base"), "DUMP=" + filepath.Join(c.Folder(), "dump"), "DBNAME=localhost",
	}
	built := filepath.Join(t.TempDir(), "sambangd")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", built, "../server/cmd/sambangd").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	program, err := os.Open(built)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	install := c.Shell(t.Context(), `mkdir bin "$WAL"; cat > bin/sambangd; chmod 755 bin/sambangd`, d.variables...)
	install.Stdin = program
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return d
}

// block returns the commands of a block of the page.
func (d *drill) block(name string) string {
	d.t.Helper()
	_, rest, found := strings.Cut(d.page, "<!-- drill: "+name+" -->\n```sh\n")
	text, _, ended := strings.Cut(rest, "```\n")
	if !found || !ended {
		d.t.Fatalf("docs/operations.md has no block %q", name)
	}
	return text
}

// shell runs a script as the administrator of the database.
func (d *drill) shell(script string, more ...string) string { return d.on(d.c, script, more...) }

func (d *drill) on(c *pgtest.Cluster, script string, more ...string) string {
	d.t.Helper()
	cmd := c.Shell(d.t.Context(), `PATH="$PATH:`+filepath.Dir(d.sambangd)+`"`+"\n"+script, append(d.variables, more...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// administer runs a block of the page as the administrator.
func (d *drill) administer(name string, more ...string) {
	d.t.Helper()
	d.shell(d.block(name), more...)
}

// operate runs a block of the page as who runs the server.
func (d *drill) operate(name string, more ...string) string {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), "/bin/sh", "-euc", d.block(name)) //nolint:gosec // the page's commands
	cmd.Env = append(os.Environ(), append(append([]string{"SAMBANG_LANG=en", "PATH=" + filepath.Dir(d.sambangd) + ":" + os.Getenv("PATH")}, d.variables...), more...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s: %v\n%s", d.block(name), err, out)
	}
	return string(out)
}

// prepare makes the database, the roles and the tables, and returns the address
// of the server's role.
func (d *drill) prepare() string {
	d.t.Helper()
	d.administer("database")
	d.shell(`psql -X -q -d sambang -c "ALTER ROLE sambang_owner PASSWORD '` + d.password + `'" -c "ALTER ROLE sambang_server PASSWORD '` + d.password + `'"`)
	out := d.operate("schema", d.pgpass()...)
	if !strings.Contains(out, "second lock on headquarters' reads is on") {
		d.t.Errorf("schema says %q", out)
	}
	return d.c.As(d.t, "sambang_server", d.password, "sambang")
}

// pgpass is the environment of who has the passwords in his own file.
func (d *drill) pgpass() []string {
	d.t.Helper()
	u, err := url.Parse(d.c.URL())
	if err != nil {
		d.t.Fatal(err)
	}
	home := d.t.TempDir()
	line := fmt.Sprintf("%s:%s:*:*:%s\n", u.Hostname(), u.Port(), d.password)
	if err := os.WriteFile(filepath.Join(home, ".pgpass"), []byte(line), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return []string{"HOME=" + home, "DB=" + u.Host}
}

// tell runs what the page says to run after a restore.
func (d *drill) tell(w *world) {
	d.t.Helper()
	out := d.operate("restored", "SAMBANG_STORE="+w.store, "SAMBANG_DATA="+filepath.Join(w.dir, "server"))
	if !strings.Contains(out, "The store is sound.") || !strings.Contains(out, "Every device pushes again") {
		d.t.Errorf("after the restore: %s", out)
	}
}

// promoted waits until the database is no standby.
func (d *drill) promoted(c *pgtest.Cluster) {
	d.t.Helper()
	d.until(c, `psql -XAtc 'SELECT NOT pg_is_in_recovery()'`)
}

// until waits until a command at a database says t.
func (d *drill) until(c *pgtest.Cluster, command string) {
	d.t.Helper()
	for range 600 {
		if d.on(c, command) == "t" {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	d.t.Fatalf("after a minute, still not: %s", command)
}

// story is what phones did before and after the moment that the database is put
// back to.
type story struct {
	w             *world
	a, b          *sambang.Replica
	before        sambang.ID // at that moment, and edited after it
	after, others sambang.ID // of a, and of a phone that is gone, which b has
	mineUnsent    sambang.ID
}

func begin(w *world) *story {
	s := &story{w: w, a: w.phone("budi"), b: w.phone("sari")}
	s.before = w.create(s.a, sambang.Fields{"name": "before"})
	w.sync(s.a)
	w.sync(s.b)
	return s
}

// goOn is what the database will have forgotten.
func (s *story) goOn() {
	w := s.w
	s.after = w.create(s.a, sambang.Fields{"name": "after"})
	w.set(s.b, s.before, "rooms", 7)
	w.sync(s.a)
	w.sync(s.b)
	w.sync(s.a)
	w.wantCustody(s.a, s.after, sambang.CustodyHeld)
	w.wantCustody(s.b, s.before, sambang.CustodyHeld)
	w.wantField(s.a, s.before, "rooms", jsonNumber("7"))
}

// lateComer is a phone that was enrolled before, writes after, and is then
// destroyed: what it wrote is with b alone.
func (s *story) lateComer(c *sambang.Replica) {
	s.others = s.w.create(c, sambang.Fields{"name": "of a phone that is gone"})
	s.w.sync(c)
	s.w.sync(s.b)
	if err := c.Close(); err != nil {
		s.w.t.Fatal(err)
	}
	s.mineUnsent = s.w.create(s.a, sambang.Fields{"name": "not sent yet"})
}

// comesBack says that all of it is there again, for phones and for headquarters.
func (s *story) comesBack() {
	w := s.w
	w.t.Helper()
	for range 2 {
		w.sync(s.a)
		w.sync(s.b)
	}
	w.sync(s.a)
	fresh := w.phone("budi")
	w.sync(fresh)
	for name, r := range map[string]*sambang.Replica{"a": s.a, "b": s.b, "a new phone": fresh} {
		for id, want := range map[sambang.ID]string{s.before: "before", s.after: "after", s.others: "of a phone that is gone", s.mineUnsent: "not sent yet"} {
			rec, err := r.Get(id)
			if err != nil || rec.Fields["name"] != want {
				w.t.Errorf("%s: %q is %v, %v", name, want, rec, err)
			}
		}
		w.wantField(r, s.before, "rooms", jsonNumber("7"))
		if c := r.Counts(); c.Waiting != 0 || c.Conflicts != 0 || c.Records != 4 {
			w.t.Errorf("%s counts %+v", name, c)
		}
	}
	w.wantCustody(s.a, s.after, sambang.CustodyHeld)
	if err := w.server.Check(context.Background(), func(p string) { w.t.Errorf("server check: %s", p) }); err != nil {
		w.t.Error(err)
	}
}

func (w *world) stop() {
	w.t.Helper()
	if err := w.server.Close(); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) restart() {
	w.t.Helper()
	w.clock.Add(10 * time.Second)
	w.start()
	w.clock.Add(10 * time.Second)
}

// TestDrillPointInTimeRestore puts the database back to a moment. Once whoever
// does it says so; once he forgets, and the first phone's witness tells.
func TestDrillPointInTimeRestore(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprintf("told %v", told), func(t *testing.T) {
			d := newDrill(t)
			store := d.prepare()
			d.administer("archive")
			if err := d.c.Restart(pgtest.Fast); err != nil {
				t.Fatal(err)
			}
			w := newWorldOn(t, store)
			c := w.phone("sari")
			w.sync(c)
			d.administer("base")
			s := begin(w) // after the base backup: it comes from the archive
			// The target is between two commits, and not at the time of one.
			time.Sleep(20 * time.Millisecond)
			target := d.shell(`psql -XAtc 'SELECT clock_timestamp()'`)
			time.Sleep(20 * time.Millisecond)
			s.goOn()
			s.lateComer(c)
			d.shell(`psql -XAtc 'SELECT pg_switch_wal()'; for i in $(seq 600); do [ "$(psql -XAtc 'SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '"'%.ready'"'')" = 0 ] && break; sleep 0.1; done`)
			w.stop()
			if err := d.c.Stop(pgtest.Fast); err != nil {
				t.Fatal(err)
			}
			d.administer("restore", "TARGET="+target)
			if err := d.c.Resume(); err != nil {
				t.Fatal(err)
			}
			d.promoted(d.c)
			d.administer("restored-settings")
			if got := d.shell(`psql -XAtc 'SELECT count(*) FROM records WHERE moved_to IS NULL' sambang`); got != "1" {
				t.Fatalf("after the restore there are %s records, want the one of before", got)
			}
			if told {
				d.tell(w)
			}
			w.restart()
			s.comesBack()
			if logged := w.log.String(); !told && !strings.Contains(logged, "epoch") {
				t.Errorf("the server did not say that it was put back:\n%s", logged)
			}
			d.shell(`rm -r "$BASE"`)
			d.administer("base") // as the page says
		})
	}
}

// TestDrillDump restores a dump into a new database.
func TestDrillDump(t *testing.T) {
	d := newDrill(t)
	w := newWorldOn(t, d.prepare())
	c := w.phone("sari")
	w.sync(c)
	s := begin(w)
	d.administer("dump")
	s.goOn()
	s.lateComer(c)
	w.stop()
	d.administer("from-dump")
	w.store = d.c.As(t, "sambang_server", d.password, "sambang_new")
	d.tell(w)
	w.restart()
	s.comesBack()
	if strings.Contains(w.log.String(), "second lock") {
		t.Errorf("the restored database has no second lock:\n%s", w.log)
	}
}

// TestDrillAStandbyTakesOver promotes a standby that lacks what was confirmed
// last.
func TestDrillAStandbyTakesOver(t *testing.T) {
	d := newDrill(t)
	w := newWorldOn(t, d.prepare())
	c := w.phone("sari")
	w.sync(c)
	standby := pgtest.StartOwn(t, pgtest.Options{})
	if err := standby.Stop(pgtest.Fast); err != nil {
		t.Fatal(err)
	}
	d.on(standby, `rm -r "$PGDATA"`)
	d.on(standby, d.block("standby"), "PRIMARY="+d.c.URL())
	if err := standby.Resume(); err != nil {
		t.Fatal(err)
	}
	s := begin(w)
	behind := d.shell(`psql -XAtc 'SELECT pg_current_wal_lsn()'`)
	d.until(standby, `psql -XAtc "SELECT pg_last_wal_replay_lsn() >= '`+behind+`'"`)
	if err := standby.Stop(pgtest.Crash); err != nil { // the network between them is cut
		t.Fatal(err)
	}
	s.goOn()
	s.lateComer(c)
	if err := d.c.Stop(pgtest.Crash); err != nil {
		t.Fatal(err)
	}
	if err := standby.Resume(); err != nil {
		t.Fatal(err)
	}
	w.stop()
	if s, err := server.New(func() server.Config {
		c := w.config()
		c.Store = standby.As(t, "sambang_server", d.password, "sambang")
		return c
	}()); err == nil {
		_ = s.Close()
		t.Error("a server starts on a standby")
	}
	d.on(standby, d.block("promote"))
	d.promoted(standby)
	w.store = standby.As(t, "sambang_server", d.password, "sambang")
	if got := d.on(standby, `psql -XAtc 'SELECT count(*) FROM records WHERE moved_to IS NULL' sambang`); got != "1" {
		t.Fatalf("the standby has %s records, want the one of before", got)
	}
	d.tell(w)
	w.restart()
	s.comesBack()
}

// TestDrillTLS connects with a certificate that is verified, and by no other
// name.
func TestDrillTLS(t *testing.T) {
	d := newDrill(t)
	address := d.prepare()
	d.administer("tls")
	cert, err := os.ReadFile(filepath.Join(d.c.Folder(), "data", "server.crt"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "db.crt")
	if err := os.WriteFile(root, cert, 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, dir: t.TempDir(), log: &words{}, clock: &clock{now: time.Now()}, rand: &lockedRand{}}
	try := func(host string) error {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = host + ":" + u.Port()
		u.RawQuery = url.Values{"sslmode": {"verify-full"}, "sslrootcert": {root}}.Encode()
		c := w.config()
		c.Store, c.Rand, c.Now = u.String(), nil, nil
		s, err := server.New(c)
		if err == nil {
			err = s.Close()
		}
		return err
	}
	if err := try("localhost"); err != nil {
		t.Errorf("by the name of the certificate: %v", err)
	}
	if err := try("127.0.0.1"); err == nil {
		t.Error("connected by a name that is not in the certificate")
	}
}

// TestEveryDrilledBlockIsRun: a block that is marked in the page is one that
// these tests run.
func TestEveryDrilledBlockIsRun(t *testing.T) {
	page, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("drill_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "<!-- drill: ")[1:]
	for _, block := range blocks {
		name, _, _ := strings.Cut(block, " -->")
		if !strings.Contains(string(source), `("`+name+`"`) {
			t.Errorf("block %q is run by no test", name)
		}
	}
	if len(blocks) < 10 {
		t.Errorf("%d blocks", len(blocks))
	}
}
