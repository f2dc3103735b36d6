package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sambang-id/sambang/internal/pgtest"
	"github.com/sambang-id/sambang/server/internal/auth/authtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"sambangd": main,
		"phone":    phone,
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SAMBANG_DATA", filepath.Join(e.WorkDir, "data"))
			if filepath.Base(e.WorkDir) != "script-postgres" {
				return nil
			}
			address, err := url.Parse(pgtest.Start(t).Database(t))
			if err != nil {
				return err
			}
			password, _ := address.User.Password()
			e.Setenv("POSTGRES", address.String())
			e.Setenv("PASSWORD", password)
			return nil
		},
	})
}

// phone enrols a device with the code in the file that is its argument, and
// prints the device's id.
func phone() {
	code, err := os.ReadFile(os.Args[1])
	if err == nil {
		var id string
		if id, err = enrolWith(strings.TrimSpace(string(code))); err == nil {
			fmt.Println(id)
			return
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func enrolWith(code string) (string, error) {
	q, err := url.ParseQuery(strings.TrimPrefix(code, "sambang:1?"))
	if err != nil {
		return "", err
	}
	d := authtest.NewDevice("EdDSA")
	body, err := json.Marshal(d.EnrolBody(code, "HP uji"))
	if err != nil {
		return "", err
	}
	resp, err := http.Post(q.Get("u")+"/v1/enrol", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		b, _ := io.ReadAll(resp.Body)
		return "", fmt.Errorf("%d %s", resp.StatusCode, b)
	}
	return d.ID, nil
}

// pipe is what a command writes, readable meanwhile.
type pipe struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *pipe) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

// serving runs `sambangd serve` and returns its address and how to stop it.
func serving(t *testing.T, data string) (address string, stop func() error, log *pipe) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	log = &pipe{}
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"serve", "-data", data, "-listen", "127.0.0.1:0"}, nil, io.Discard, log)
	}()
	stop = func() error { cancel(); return <-done }
	for range 100 {
		for line := range strings.SplitSeq(log.String(), "\n") {
			var l struct{ Msg, Address string }
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "serving" {
				return l.Address, stop, log
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("it does not serve: %v %s", stop(), log)
	return "", nil, nil
}

// The commands work while the server serves the same folder.
func TestCommandsOnALiveServer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	address, stop, log := serving(t, data)
	do := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if err := run(context.Background(), append(args, "-data", data, "-json"), nil, &out, &errs); err != nil {
			t.Fatalf("%v: %v %s", args, err, &errs)
		}
		return out.String()
	}
	do("officer", "add", "budi", "-name", "Budi Rekaan", "-agency", "imigrasi")
	var code struct{ Code string }
	if err := json.Unmarshal([]byte(do("enrol", "-officer", "budi", "-region", "35.24.14", "-listen", address)), &code); err != nil {
		t.Fatal(err)
	}
	id, err := enrolWith(code.Code)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enrolWith(code.Code); err == nil || !strings.Contains(err.Error(), "enrolment_used") {
		t.Errorf("the code again: %v", err)
	}
	var devices []struct{ ID, Officer string }
	if err := json.Unmarshal([]byte(do("device", "list")), &devices); err != nil || len(devices) != 1 || devices[0].ID != id {
		t.Errorf("devices %+v, %v", devices, err)
	}
	var grants struct {
		Version int
		Grants  []struct {
			Region  string
			Classes []string
			Until   *time.Time
		}
	}
	do("grant", "add", id, "-region", "35.25", "-classes", "D,T", "-until", "2030-01-01")
	if err := json.Unmarshal([]byte(do("grant", "remove", id, "-region", "35.24.14")), &grants); err != nil {
		t.Fatal(err)
	}
	if len(grants.Grants) != 1 || grants.Version <= 1 || grants.Grants[0].Region != "35.25" || len(grants.Grants[0].Classes) != 2 ||
		!grants.Grants[0].Until.Equal(time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("grants %+v", grants)
	}
	do("device", "wipe", id)
	if out := do("device", "show", id); !strings.Contains(out, `"wipe": true`) {
		t.Errorf("device %s", out)
	}
	do("check")
	do("backup", filepath.Join(t.TempDir(), "copy.db"))
	var token struct{ Token string }
	if err := json.Unmarshal([]byte(do("token", "-name", "siti", "-role", "operator", "-region", "35")), &token); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodGet, "http://"+address+"/v1/devices", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.Token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("the token at /v1/devices: %s", resp.Status)
	}
	if err := stop(); err != nil {
		t.Errorf("serve: %v", err)
	}
	for _, secret := range []string{"Budi", token.Token, code.Code[len(code.Code)-22:]} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %q", secret)
		}
	}
}

func TestWrongUseIsTold(t *testing.T) {
	for _, args := range [][]string{
		{"nonsense"}, {"officer"}, {"officer", "add"}, {"device", "show"}, {"serve", "-no-such-flag"}, {"serve", "extra"},
		{"serve", "-log-level", "loud"}, {"serve", "-trust-proxy", "everybody"}, {"enrol", "-pin", "xyz"},
	} {
		err := run(context.Background(), args, nil, io.Discard, io.Discard)
		if !errors.Is(err, errUsage) || exitCode(err) != 2 {
			t.Errorf("%v: %v", args, err)
		}
	}
}
