package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

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
// line: "enrol NAME" with a code. It ends with its input.
func serve(ctx context.Context, dir, cert, key string, in io.Reader, out io.Writer) error {
	p, err := benchPack()
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{Data: dir, Listen: "127.0.0.1:0", Pack: p, CertFile: cert, KeyFile: key})
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
	name, ok := strings.CutPrefix(order, "enrol ")
	if !ok {
		return fmt.Errorf("unknown order %q", order)
	}
	if err := s.PutOfficer(ctx, server.Officer{ID: name, Name: name, Agency: "bench"}); err != nil {
		return err
	}
	code, err := s.Enrol(ctx, server.EnrolRequest{Officer: name, Grants: syncproto.Grants{{
		Region: "35.24", Classes: []syncproto.Class{syncproto.ClassDevice, syncproto.ClassTask},
	}}})
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(code)
}
