package pgtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheNewestInstallationIsFound(t *testing.T) {
	install := func(version string, programs ...string) string {
		folder := t.TempDir()
		for _, program := range programs {
			script := "#!/bin/sh\necho '" + version + "'\n"
			if err := os.WriteFile(filepath.Join(folder, program), []byte(script), 0o700); err != nil { //nolint:gosec // it is to run
				t.Fatal(err)
			}
		}
		return folder
	}
	fourteen := install("postgres (PostgreSQL) 14.9", "postgres", "initdb")
	fifteen := install("postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)", "postgres", "initdb")
	fifteen2 := install("postgres (PostgreSQL) 15.2", "postgres", "initdb")
	seventeen := install("postgres (PostgreSQL) 17beta1", "postgres", "initdb")
	rest := install("postgres (PostgreSQL) 18.0", "postgres")
	other := install("something (else) 99.0", "postgres", "initdb")
	for _, c := range []struct {
		name    string
		folders []string
		want    string
	}{
		{"the newer minor, as a number", []string{fifteen2, fifteen}, fifteen},
		{"the newer major", []string{seventeen, fifteen, fourteen}, seventeen},
		{"what is whole", []string{rest, other, fifteen2, t.TempDir()}, fifteen2},
	} {
		if got, err := newest(t.Context(), c.folders); err != nil || got.folder != c.want {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
	if _, err := newest(t.Context(), []string{fourteen}); err == nil || !strings.Contains(err.Error(), "has 14, too old") {
		t.Errorf("of an old one: %v", err)
	}
}

// player plays a test, and keeps what was done to it.
type player struct {
	testing.TB
	said    string
	cleanup []func()
	folder  string
}

func (*player) Helper()                        {}
func (*player) Failed() bool                   { return true }
func (p *player) ArtifactDir() string          { return p.folder }
func (p *player) Cleanup(f func())             { p.cleanup = append(p.cleanup, f) }
func (p *player) Skipf(form string, a ...any)  { p.said += "skip: " + fmt.Sprintf(form, a...) }
func (p *player) Fatalf(form string, a ...any) { p.said += "fatal: " + fmt.Sprintf(form, a...) }
func (p *player) Logf(form string, a ...any)   { p.said += "log: " + fmt.Sprintf(form, a...) }

func TestWithoutPostgreSQLATestIsSkippedUnlessItIsRequired(t *testing.T) {
	_, missing := newest(t.Context(), nil)
	other := fmt.Errorf("it does not start")
	for _, c := range []struct {
		require string
		err     error
		want    string
	}{
		{"", missing, "skip: NOT TESTED"},
		{"1", missing, "fatal: start PostgreSQL: no PostgreSQL on this machine"},
		{"", other, "fatal: start PostgreSQL: it does not start"},
		{"1", other, "fatal: start PostgreSQL: it does not start"},
		{"1", nil, ""},
	} {
		t.Setenv("SAMBANG_REQUIRE_POSTGRES", c.require)
		p := &player{}
		demand(p, c.err)
		if !strings.HasPrefix(p.said, c.want) || c.want == "" && p.said != "" {
			t.Errorf("with %q and error %v: %q, want %q", c.require, c.err, p.said, c.want)
		}
	}
}

func TestAFailedTestShowsWhatTheServerSaidMeanwhile(t *testing.T) {
	c := &Cluster{folder: t.TempDir()}
	say := func(text string) {
		f, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(text); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	say("of another test\n")
	p := &player{folder: t.TempDir()}
	c.showLog(p)
	long := "first " + strings.Repeat("x", 2*logShown) + " last\n"
	say(long)
	for _, f := range p.cleanup {
		f()
	}
	if strings.Contains(p.said, "another test") || strings.Contains(p.said, "first") || !strings.HasSuffix(p.said, "x last\n") {
		t.Errorf("said %.200q and so on", p.said)
	}
	if kept, err := os.ReadFile(filepath.Join(p.folder, "postgres.log")); err != nil || string(kept) != long {
		t.Errorf("kept %.200q and so on, %v", kept, err)
	}
}

// What is kept between processes and is not whole is made again.
func TestADamagedTemplateIsMadeAgain(t *testing.T) {
	acct, err := serverAccount()
	demand(t, err)
	bin, err := findBinaries(t.Context())
	demand(t, err)
	bin.version += t.Name() // a template of its own
	kept, err := templateName(bin, acct)
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(kept)
	if err := os.WriteFile(kept, make([]byte, 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(kept, acct.uid, acct.gid); err != nil {
		t.Fatal(err)
	}
	folder, err := newFolder(acct, "", false)
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(folder)
	password, err := unpackCluster(t.Context(), bin, acct, folder)
	if err != nil || len(password) < 20 {
		t.Fatalf("password of %d bytes, error %v", len(password), err)
	}
	if _, err := os.Stat(filepath.Join(folder, "data", "PG_VERSION")); err != nil {
		t.Error(err)
	}
	// One that others can read, or that is no file, is none: it holds a password.
	if !acct.owns(kept) {
		t.Error("the template is not the server user's alone")
	}
	if err := os.Chmod(kept, 0o640); err != nil { //nolint:gosec // that is the case
		t.Fatal(err)
	}
	if acct.owns(kept) || acct.owns(folder) || acct.owns(folder+"/nothing") {
		t.Error("took what is not the server user's alone for a template")
	}
}
