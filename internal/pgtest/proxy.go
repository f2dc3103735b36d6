package pgtest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"iter"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands between clients and a server on the loopback, and reads the
// frames of what they say (PostgreSQL, "Message Formats"; no TLS). It counts
// the clients' messages, delays them, and cuts a connection at a chosen one.
// It is safe for concurrent use.
//
// To try a cut at each message of an operation:
//
//	p := pgtest.NewProxy(t, url)
//	n := p.Measure(func() { operation(p.URL()) }).Messages
//	for cut := range pgtest.Cuts(n) {
//		p.Arm(cut)
//		err := operation(p.URL())
//		if !p.Fired() { t.Errorf("%v: nothing was cut", cut) }
//		// err or not: is everything as promised?
//	}
//
// The messages of an operation are the same each time only if it begins with a
// new connection, or pool of one: what is prepared already is not prepared again.
type Proxy struct {
	listener net.Listener
	url      *url.URL // of the proxy
	server   string   // host:port

	mu      sync.Mutex
	latency time.Duration
	traffic Traffic // but for its Types
	types   []byte
	armed   *Cut // nil: none, or it has fired
	seen    int  // messages since it was armed
	links   map[*link]bool
	closed  bool
	all     sync.WaitGroup
}

// Traffic is what clients sent. The startup of a connection, its password and
// its Terminate are not in it; all connections are counted together.
type Traffic struct {
	// Messages are those of the protocol: Query, Parse, Bind, Describe, Execute,
	// Sync, CopyData and so on.
	Messages int
	// Syncs are the Query, Sync and FunctionCall among them, each of which gets
	// a ReadyForQuery. It does not depend on timing, and is never less than Trips.
	Syncs int
	// Trips are the round trips: how often a client spoke when all it had asked
	// before was answered. A client that pipelines several Syncs makes one trip of
	// them, unless it is so slow that an answer comes in between.
	Trips int
	// Types holds a letter for each message, in order: P for Parse, B for Bind, E for Execute, S for Sync, Q for Query, ...
	Types string
}

// Place is where a connection is cut.
type Place int

// The places of a cut around a message.
const (
	// Before: the message does not reach the server.
	Before Place = iota + 1
	// After: it reaches the server, and no answer to it reaches the client. The
	// client sees the cut when the server has worked on the message and ended the
	// connection, or after a second if it is still at work.
	After
	// Within: half of the bytes of the answer reach the client.
	Within
)

func (p Place) String() string {
	return [...]string{"nowhere", "before", "after", "within the answer to"}[p]
}

// Cut is one cut, at the n-th message from the moment it is armed.
type Cut struct {
	N     int // from 1
	Place Place
}

// Cuts yields each place of each of n messages.
func Cuts(n int) iter.Seq[Cut] {
	return func(yield func(Cut) bool) {
		for i := range n {
			for place := Before; place <= Within; place++ {
				if !yield(Cut{N: i + 1, Place: place}) {
					return
				}
			}
		}
	}
}

// linger is how long a client may wait for the server to end a connection that was cut.
const linger = time.Second

// NewProxy puts a proxy in front of the server of a URL. It ends with the test.
func NewProxy(tb testing.TB, at string) *Proxy {
	tb.Helper()
	u, err := url.Parse(at)
	if err != nil {
		tb.Fatal(err)
	}
	if u.Query().Get("sslmode") != "disable" {
		tb.Fatalf("a proxy reads what is said: the URL must say sslmode=disable")
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{listener: listener, server: u.Host, links: map[*link]bool{}}
	if u.Port() == "" {
		p.server = net.JoinHostPort(u.Hostname(), "5432")
	}
	u.Host = listener.Addr().String()
	p.url = u
	p.all.Go(p.accept)
	tb.Cleanup(func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		listener.Close() //nolint:errcheck // nothing is lost
		p.Sever()
		p.all.Wait()
	})
	return p
}

// URL is the server's, by way of the proxy.
func (p *Proxy) URL() string { return p.url.String() }

// SetLatency lets each message of a client arrive that much later, and so each
// round trip take that much longer. Messages that were sent together arrive together.
func (p *Proxy) SetLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Traffic returns what clients sent since the last Reset.
func (p *Proxy) Traffic() Traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.traffic
	t.Types = string(p.types)
	return t
}

// Reset begins to count anew.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traffic, p.types = Traffic{}, nil
}

// Measure returns what clients sent while do ran.
func (p *Proxy) Measure(do func()) Traffic {
	p.Reset()
	do()
	return p.Traffic()
}

// Arm lets one cut happen, the next time that so many messages have come. It
// replaces one that has not happened yet.
func (p *Proxy) Arm(cut Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed, p.seen = &cut, 0
}

// Fired tells whether the cut has happened; one that has not is disarmed.
func (p *Proxy) Fired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	fired := p.armed == nil
	p.armed = nil
	return fired
}

// Sever cuts all connections now. New ones are accepted.
func (p *Proxy) Sever() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.all.Go(func() { p.serve(client) })
	}
}

// serve runs one connection.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // nothing is lost
	server, err := (&net.Dialer{Timeout: patience}).DialContext(context.Background(), "tcp", p.server)
	if err != nil {
		return // the client sees its end
	}
	l := &link{proxy: p, client: client, server: server, answered: make(chan struct{})}
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		l.close()
		return
	}
	p.links[l] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.links, l)
		p.mu.Unlock()
	}()
	defer l.close()
	plain, err := l.startup()
	if err != nil {
		return
	}
	p.all.Go(func() {
		defer close(l.answered)
		l.answer()
	})
	if plain {
		io.Copy(server, client) //nolint:errcheck // a cancel request, which has no frames
		<-l.answered
		return
	}
	l.ask()
}

// frame is one message: its type, its length, its content.
type frame []byte

// readFrame reads one message of the form that both sides use after the startup.
func readFrame(r *bufio.Reader) (frame, error) {
	head, err := r.Peek(5)
	if err != nil {
		return nil, err
	}
	return readSized(r, head[1:], 1)
}

// readSized reads a message whose length, which counts itself, stands after so many bytes.
func readSized(r *bufio.Reader, length []byte, offset int) (frame, error) {
	n := int(length[0])<<24 | int(length[1])<<16 | int(length[2])<<8 | int(length[3])
	if n < 4 || n > 1<<30 {
		return nil, errors.New("this is not the protocol of PostgreSQL")
	}
	f := make(frame, offset+n)
	_, err := io.ReadFull(r, f)
	return f, err
}

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	fromClient     *bufio.Reader
	answered       chan struct{} // closed when nothing more comes from the server

	mu      sync.Mutex
	up      bool // the startup is over: messages count
	open    int  // Syncs that are not answered
	talking bool // within a round trip
	silent  bool // nothing more is for the client
	within  bool // the answer is held back, half of it is for the client
}

func (l *link) close() {
	l.client.Close() //nolint:errcheck // nothing is lost
	l.server.Close() //nolint:errcheck // nothing is lost
}

// The codes that stand in the place of a version in a client's first message.
const (
	codeCancel = 80877102
	codeTLS    = 80877103
	codeGSS    = 80877104
)

// startup forwards the first message, which has no type; plain tells that
// nothing else will come from this client.
func (l *link) startup() (plain bool, err error) {
	l.fromClient = bufio.NewReaderSize(l.client, 64<<10)
	for {
		head, err := l.fromClient.Peek(8)
		if err != nil {
			return false, err
		}
		code := int(head[4])<<24 | int(head[5])<<16 | int(head[6])<<8 | int(head[7])
		first, err := readSized(l.fromClient, head[:4], 0)
		if err != nil {
			return false, err
		}
		if code == codeTLS || code == codeGSS {
			if _, err := l.client.Write([]byte("N")); err != nil {
				return false, err
			}
			continue
		}
		_, err = l.server.Write(first)
		return code == codeCancel, err
	}
}

// ask forwards what the client says, each message when its latency is over.
func (l *link) ask() {
	type delayed struct {
		frame frame
		due   <-chan time.Time // nil: now
	}
	queue := make(chan delayed, 1024)
	go func() { // ends with the client's connection
		defer close(queue)
		for {
			f, err := readFrame(l.fromClient)
			if err != nil {
				return
			}
			d := delayed{frame: f}
			l.proxy.mu.Lock()
			if l.proxy.latency > 0 {
				d.due = time.After(l.proxy.latency)
			}
			l.proxy.mu.Unlock()
			queue <- d
		}
	}()
	defer func() {
		l.hangUp() // so that the reader above ends
		for range queue {
		}
	}()
	out := bufio.NewWriterSize(l.server, 64<<10)
	for d := range queue {
		if d.due != nil {
			if out.Flush() != nil {
				return
			}
			<-d.due
		}
		place := l.note(d.frame)
		if place != Before {
			if _, err := out.Write(d.frame); err != nil {
				return
			}
		}
		if place == Before || place == After || len(queue) == 0 {
			if out.Flush() != nil {
				return
			}
		}
		if place == Before || place == After {
			return
		}
	}
}

// note counts a message, and tells where it is to be cut; 0: nowhere.
func (l *link) note(f frame) Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || f[0] == 'X' {
		return 0
	}
	p := l.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	p.traffic.Messages++
	p.types = append(p.types, f[0])
	if !l.talking {
		l.talking = true
		p.traffic.Trips++
	}
	if strings.IndexByte("QSF", f[0]) >= 0 {
		p.traffic.Syncs++
		l.open++
	}
	if p.armed == nil {
		return 0
	}
	p.seen++
	if p.seen != p.armed.N {
		return 0
	}
	place := p.armed.Place
	p.armed = nil
	l.silent = l.silent || place == After
	l.within = l.within || place == Within
	return place
}

// hangUp ends the connection to the server, and then that to the client.
func (l *link) hangUp() {
	l.endServer()
	late := time.NewTimer(linger)
	defer late.Stop()
	select {
	case <-l.answered:
	case <-late.C:
	}
	l.close()
}

// endServer lets the server see the end of its client, once it has worked on what came before.
func (l *link) endServer() {
	if tcp, ok := l.server.(*net.TCPConn); ok {
		tcp.CloseWrite() //nolint:errcheck // it is the end in any case
	}
}

// answer forwards what the server says.
func (l *link) answer() {
	defer l.client.Close() //nolint:errcheck // nothing is lost
	in, out := bufio.NewReaderSize(l.server, 64<<10), bufio.NewWriterSize(l.client, 64<<10)
	var held []byte // of an answer of which half is for the client
read:
	for {
		f, err := readFrame(in)
		if err != nil {
			break
		}
		silent, within, last := l.hear(f)
		switch {
		case silent:
		case within:
			held = append(held, f...)
			if last {
				l.endServer()
				late := time.AfterFunc(linger, func() { l.server.Close() }) //nolint:errcheck // the end
				io.Copy(io.Discard, in)                                     //nolint:errcheck // the end
				late.Stop()
				break read
			}
		default:
			if _, err := out.Write(f); err != nil {
				return
			}
			if in.Buffered() == 0 && out.Flush() != nil {
				return
			}
		}
	}
	out.Write(held[:len(held)/2]) //nolint:errcheck // the end
	out.Flush()                   //nolint:errcheck // the end
}

// hear follows a message of the server: ReadyForQuery is Z; G, H and W begin
// a copy, which waits for the client.
func (l *link) hear(f frame) (silent, within, last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last = strings.IndexByte("GHW", f[0]) >= 0
	if f[0] == 'Z' {
		if !l.up {
			l.up = true
		} else if l.open--; l.open == 0 {
			l.talking = false
			last = true
		}
	}
	return l.silent, l.within, last
}
