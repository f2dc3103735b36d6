// Command sambang is a replica on the command line: it records offline, syncs
// with a server, and shows what it holds. It is for desktops, kiosks, scripts
// and trying things out.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "sambang:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has run
	}
}
