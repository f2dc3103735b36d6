package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/sambang-id/sambang/syncproto/wire"
)

// drip is how often a slow connection sends one more byte, so that it never looks idle.
const drip = 500 * time.Millisecond

// slowHeader is half a request: its headers never end.
func slowHeader(int) string { return "POST /v1/sync HTTP/1.1\r\nHost: x\r\nX-A: " }

// slowBody announces a body that never comes whole, of devices with a right to send one and of strangers: one
// in five has no token.
func slowBody(devices []*raw) func(int) string {
	return func(n int) string {
		token, head := "none", frames(opening())
		if n%5 != 0 {
			token = devices[n%len(devices)].token()
		}
		if n%2 == 0 {
			head = nil
		}
		return fmt.Sprintf("POST /v1/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
			token, wire.ContentTypeProtobuf, len(head)+100_000, head)
	}
}

// hold opens n connections at once, begins each with text and drips on it until the server ends it or ctx does.
func hold(ctx context.Context, address string, n int, text func(int) string, o *outcome) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			o.connections.Add(1)
			status, held, err := holdOne(ctx, address, loopback(attacker, i%2000), text(i))
			switch {
			case ctx.Err() != nil && err != nil:
				o.codes.add("still held at the end")
			case err != nil:
				o.codes.add("no connection")
			default:
				o.codes.add(status)
				o.cuts.add(held)
			}
		})
	}
	all.Wait()
}

// holdOne returns what the server answered and how long it kept the connection. An error says that it was not the
// server who ended it.
func holdOne(ctx context.Context, address string, from net.IP, text string) (status string, held time.Duration, err error) {
	c, err := dialer(from).DialContext(ctx, "tcp", address)
	if err != nil {
		return "", 0, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	defer c.Close()
	begun := time.Now()
	if _, err := io.WriteString(c, text); err != nil {
		return "cut", time.Since(begun), nil //nolint:nilerr // that is what the attack waits for
	}
	ended := make(chan struct{})
	var dripping sync.WaitGroup
	dripping.Go(func() {
		every := time.NewTicker(drip)
		defer every.Stop()
		for {
			select {
			case <-ended:
				return
			case <-every.C:
				if _, err := io.WriteString(c, "a"); err != nil {
					return
				}
			}
		}
	})
	r := bufio.NewReaderSize(c, 512)
	line, _ := r.ReadString('\n') // none is an answer too
	_, _ = io.Copy(io.Discard, r)
	held = time.Since(begun)
	close(ended)
	dripping.Wait()
	if err := ctx.Err(); err != nil {
		return "", held, err
	}
	if f := strings.Fields(line); len(f) > 1 {
		return f[1], held, nil
	}
	return "cut", held, nil
}
