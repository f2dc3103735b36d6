package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

// answer is what the server's process says to an order, in one line of JSON.
type answer struct {
	Value string `json:"value"`
	Error string `json:"error,omitempty"`
}

// serve is the server's process: it serves a folder and answers orders on its standard input, one a line. Its
// first line is its address. It ends with its input.
func serve(ctx context.Context, dir string, limits server.Limits, in io.Reader, out io.Writer) error {
	server.BoundMemory() // as sambangd does
	s, err := server.New(server.Config{Data: dir, Listen: "127.0.0.1:0", Limits: limits})
	if err != nil {
		return err
	}
	addr, err := s.Listen()
	if err != nil {
		return errors.Join(err, s.Close())
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	o := &orders{server: s}
	fmt.Fprintln(out, addr)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var a answer
		if a.Value, err = o.obey(ctx, strings.Fields(lines.Text())); err != nil {
			a.Error = err.Error()
		}
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return err
		}
	}
	stop()
	return errors.Join(<-done, o.endProfile(), s.Close())
}

// orders are what the parent may ask for beside HTTP.
type orders struct {
	server  *server.Server
	profile *os.File
}

func (o *orders) obey(ctx context.Context, words []string) (string, error) {
	if len(words) == 0 {
		return "", errors.New("an empty order")
	}
	switch name, rest := words[0], words[1:]; {
	case name == "id":
		return o.server.ID(), nil
	case name == "enrol" && len(rest) == 2:
		return o.enrol(ctx, rest[0], syncproto.Region(rest[1]))
	case name == "token" && len(rest) == 1:
		return o.server.Token(server.Person{
			Subject: rest[0], Role: server.Viewer, Regions: []syncproto.Region{"35"},
			Classes: []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask, syncproto.ClassHQ},
		}, time.Hour)
	case name == "check":
		var problems []string
		err := o.server.Check(ctx, func(p string) { problems = append(problems, p) })
		return strings.Join(problems, "\n"), err
	case name == "profile" && len(rest) == 1:
		return "", o.beginProfile(rest[0])
	case name == "profile":
		return "", o.endProfile()
	case name == "stacks" && len(rest) == 1:
		return "", stacks(rest[0])
	}
	return "", fmt.Errorf("unknown order %q", words)
}

func (o *orders) enrol(ctx context.Context, name string, region syncproto.Region) (string, error) {
	if err := o.server.PutOfficer(ctx, server.Officer{ID: name, Name: name, Agency: "load"}); err != nil {
		return "", err
	}
	return o.server.Enrol(ctx, server.EnrolRequest{Officer: name, Life: time.Hour, Grants: syncproto.Grants{{
		Region: region, Classes: []syncproto.Class{syncproto.ClassDevice},
	}}})
}

func (o *orders) beginProfile(file string) (err error) {
	if o.profile, err = os.Create(file); err != nil {
		return err
	}
	return pprof.StartCPUProfile(o.profile)
}

func (o *orders) endProfile() error {
	if o.profile == nil {
		return nil
	}
	pprof.StopCPUProfile()
	f := o.profile
	o.profile = nil
	return f.Close()
}

// stacks writes what every goroutine is doing, to find one that stays.
func stacks(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("goroutine").WriteTo(f, 1), f.Close())
}
