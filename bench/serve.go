package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// benchPack knows no kind of the workload, so each top-level field of the workload is a register of its own, as it is for
// an application without a pack.
func benchPack() (*pack.Pack, error) {
	return pack.Parse([]byte(`{
		"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://sambang.id/packs/bench/1",
		"x-sambang-pack": {"format": 1, "name": "bench", "version": "1", "default_class": "D"},
		"$defs": {"none": {"title": "None", "type": "object", "x-sambang": {"kind": true, "label": {"id": "Tidak ada", "en": "None"}},
			"properties": {"name": {"type": "string", "x-sambang": {"type": "text", "label": {"id": "Nama", "en": "Name"}, "policy": "lww", "class": "D", "sensitivity": "S0"}}}}}}`))
}

// serve is the server's process: it serves a data folder and answers orders on its standard input, one a
// line: "enrol NAME AGENCY REGION" with a code, "token NAME" with a person's token, "id" with the server's. It ends
// with its input. at is where the store is, "" for the folder.
func serve(ctx context.Context, dir, at, cert, key string, in io.Reader, out io.Writer) error {
	server.BoundMemory() // as sambangd does
	p, err := benchPack()
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{
		Data: dir, Store: at, Listen: "127.0.0.1:0", Pack: p, CertFile: cert, KeyFile: key,
		// One address, no pauses, and a machine that may be busy: who is told to come again would be measured by his patience.
		Limits: server.Limits{PerDevice: -1, PerAddress: -1, EnrolPerAddress: -1, ExchangeWait: time.Minute},
	})
	if err != nil {
		return err
	}
	defer s.Close()
	addr, err := s.Listen()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	fmt.Fprintln(out, addr)
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if err := obey(ctx, s, lines.Text(), out); err != nil {
			return err
		}
	}
	stop()
	return <-done
}

func obey(ctx context.Context, s *server.Server, order string, out io.Writer) error {
	words := strings.Fields(order)
	var answer string
	var err error
	switch {
	case len(words) == 4 && words[0] == "enrol":
		answer, err = enrol(ctx, s, words[1], words[2], syncproto.Region(words[3]))
	case len(words) == 2 && words[0] == "token":
		answer, err = s.Token(server.Person{
			Subject: words[1], Role: server.Viewer, Regions: []syncproto.Region{"35"}, Classes: []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask},
		}, 24*time.Hour)
	case len(words) == 1 && words[0] == "id":
		answer = s.ID()
	default:
		err = fmt.Errorf("unknown order %q", order)
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(answer)
}

func enrol(ctx context.Context, s *server.Server, name, agency string, region syncproto.Region) (string, error) {
	if err := s.PutOfficer(ctx, server.Officer{ID: name, Name: name, Agency: agency}); err != nil {
		return "", err
	}
	return s.Enrol(ctx, server.EnrolRequest{Officer: name, Grants: syncproto.Grants{{
		Region: region, Classes: []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask},
	}}})
}
