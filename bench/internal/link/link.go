// Package link is a TCP proxy on loopback that counts what passes and can shape the link: the village
// link of the benchmark, in the process that measures.
//
// It is a port of shared/bench/proxy.js. What is always true of it:
//   - bytes arrive unchanged and in order, and the end of one direction leaves the other open;
//   - each direction is one radio link, shared by all connections: a segment leaves when the ones
//     before it, of whatever connection, have left;
//   - bytes are counted when they are read from their sender, as payload, without headers;
//   - what is not modelled: acknowledgements, slow start, loss. TLS passes through as bytes.
package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

const (
	defaultOverhead = 40   // bytes: an IPv4 header and a TCP header without options
	defaultMTU      = 1400 // bytes of payload in a segment on a mobile link
)

// Shape is what the link does to what passes. The zero value does nothing: bytes pass as they come.
type Shape struct {
	// RTT is the round trip: each segment is delayed by half of it, and a new connection waits one
	// whole RTT, the TCP handshake. Default: 0.
	RTT time.Duration
	// Up is the rate from client to server in bits per second. Default: 0, unlimited.
	Up int64
	// Down is the rate from server to client in bits per second. Default: 0, unlimited.
	Down int64
	// Overhead is how many bytes of header a rate charges for each segment. Default: 40; -1 for none.
	Overhead int
	// MTU is how many bytes of payload are in a segment. Default: 1400.
	MTU int
}

// Village is the link that the peers were measured on: a phone at the edge of a cell.
func Village() Shape {
	return Shape{RTT: 300 * time.Millisecond, Up: 64_000, Down: 128_000}
}

func (s Shape) withDefaults() Shape {
	switch {
	case s.Overhead == 0:
		s.Overhead = defaultOverhead
	case s.Overhead < 0:
		s.Overhead = 0
	}
	if s.MTU <= 0 {
		s.MTU = defaultMTU
	}
	return s
}

// Counts is what has passed since the proxy started or was last reset.
type Counts struct {
	Up       int64 // payload bytes from client to server
	Down     int64 // payload bytes from server to client
	Conns    int64 // connections accepted
	Requests int64 // HTTP/1.x request heads in clear text. Zero under TLS: let the server count there
}

// Dialer connects to the server that the proxy stands before.
type Dialer func(ctx context.Context) (net.Conn, error)

// Proxy forwards each connection of its listener to the server. It is safe for concurrent use.
type Proxy struct {
	listener net.Listener
	dial     Dialer
	up, down lane

	mu     sync.Mutex
	shape  Shape
	counts Counts
}

// Listen takes a free port on loopback for the server at target, a host:port. Clients may connect at
// once; they are served when Run runs.
func Listen(target string) (*Proxy, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen before %s: %w", target, err)
	}
	return New(l, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", target)
	}), nil
}

// New makes a proxy of a listener, which becomes the proxy's to close, and a way to reach the server.
func New(l net.Listener, dial Dialer) *Proxy {
	return &Proxy{listener: l, dial: dial, shape: Shape{}.withDefaults()}
}

// Addr is the host:port that clients connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Reshape changes the link for connections accepted from now on. Those that are open keep their shape.
func (p *Proxy) Reshape(s Shape) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shape = s.withDefaults()
}

// Counts returns what has passed.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Reset returns what has passed and begins to count from zero, in one step: no byte is in both or in
// neither.
func (p *Proxy) Reset() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.counts
	p.counts = Counts{}
	return was
}

func (p *Proxy) count(f func(*Counts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.counts)
}

// Run serves until ctx is done, then cuts every connection and returns nil when all are gone. It
// returns an error when the listener fails. It may be called once.
func (p *Proxy) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = p.listener.Close() })
	defer stop()
	for {
		client, err := p.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = client.Close()
			}
			return nil
		}
		if err != nil {
			return errors.Join(fmt.Errorf("accept on %s: %w", p.Addr(), err), p.listener.Close())
		}
		wg.Go(func() { p.serve(ctx, client) })
	}
}

// serve forwards one connection until both directions have ended or one has failed.
func (p *Proxy) serve(ctx context.Context, client net.Conn) {
	defer client.Close()
	p.mu.Lock()
	p.counts.Conns++
	shape := p.shape
	p.mu.Unlock()
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	server, err := p.dial(ctx)
	if err != nil {
		return // the client sees its connection close, as it would with no server there
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { client.Close(); server.Close() })()
	if !sleep(ctx, shape.RTT) {
		return
	}
	heads := &requestCounter{}
	var wg sync.WaitGroup
	wg.Go(func() {
		h := half{src: client, dst: server, lane: &p.up, rate: shape.Up, shape: shape, cut: cut}
		h.run(ctx, func(b []byte) {
			n := heads.feed(b)
			p.count(func(c *Counts) { c.Up += int64(len(b)); c.Requests += n })
		})
	})
	wg.Go(func() {
		h := half{src: server, dst: client, lane: &p.down, rate: shape.Down, shape: shape, cut: cut}
		h.run(ctx, func(b []byte) { p.count(func(c *Counts) { c.Down += int64(len(b)) }) })
	})
	wg.Wait()
}

// sleep reports whether d passed before ctx was done.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
