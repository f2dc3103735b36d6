// Command timpora runs Sambang's main job on one machine: the 20 visits of a
// multi-agency team in East Java, written offline by 16 officers' phones,
// reconnected over a bad link, merged, and read at headquarters.
//
//	go run ./examples/timpora          the server stays up until Ctrl-C
//	go run ./examples/timpora -once    ends with 0 when all is told
//
// What is always true of it: it uses public import paths alone, a real server
// on a loopback address, and one cache file per phone; and all people, firms
// and numbers in it are invented.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "timpora:", err)
		os.Exit(1)
	}
}
