package server_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto"
)

func Example() {
	ctx, stop := context.WithCancel(context.Background())
	dir, err := os.MkdirTemp("", "sambang")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	s, err := server.New(server.Config{Data: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := s.Listen(); err != nil { // to know the address before Run blocks
		log.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()

	if err := s.PutOfficer(ctx, server.Officer{ID: "budi", Name: "Budi Rekaan", Agency: "imigrasi"}); err != nil {
		log.Fatal(err)
	}
	code, err := s.Enrol(ctx, server.EnrolRequest{
		Officer: "budi",
		Grants:  syncproto.Grants{{Region: "35.24.14", Classes: []syncproto.Class{syncproto.ClassDevice}}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(strings.HasPrefix(code, "sambang:1?u=http%3A%2F%2F127.0.0.1%3A"))

	stop()
	fmt.Println(<-done, s.Close())
	// Output:
	// true
	// <nil> <nil>
}
