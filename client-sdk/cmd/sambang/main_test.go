package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sambang": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			code, stop, err := serve(filepath.Join(e.WorkDir, "server"))
			if err != nil {
				return err
			}
			e.Defer(stop)
			for _, officer := range []string{"budi", "sari"} {
				text, err := code(officer)
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(e.WorkDir, officer+".code"), []byte(text), 0o600); err != nil {
					return err
				}
				e.Setenv("CODE_"+officer, text)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// keep NAME puts the last line of stdout into $NAME.
			"keep": func(ts *testscript.TestScript, _ bool, args []string) {
				out := ts.ReadFile("stdout")
				for len(out) > 0 && out[len(out)-1] == '\n' {
					out = out[:len(out)-1]
				}
				ts.Setenv(args[0], out)
			},
		},
	})
}

// serve starts a server on a free port and returns what makes codes for it.
func serve(dir string) (code func(officer string) (string, error), stop func(), err error) {
	s, err := server.New(server.Config{Data: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.Listen(); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for _, o := range []server.Officer{{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}, {ID: "sari", Name: "Sari Rekaan", Agency: "disnaker"}} {
		if err := s.PutOfficer(ctx, o); err != nil {
			cancel()
			return nil, nil, err
		}
	}
	stop = func() {
		cancel()
		if err := <-done; err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
		}
		_ = s.Close()
	}
	code = func(officer string) (string, error) {
		return s.Enrol(ctx, server.EnrolRequest{Officer: officer, Grants: syncproto.Grants{{Region: "35.24.14", Classes: []syncproto.Class{"D", "T"}}}})
	}
	return code, stop, nil
}
