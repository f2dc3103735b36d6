package postgres_test

import (
	"net"
	"net/url"
	"sync"
	"testing"
)

// proxy stands between a store and the server. It counts how often the network
// is crossed, and cuts connections.
type proxy struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	turns int // questions: client data after server data
	cut   cut
	conns map[net.Conn]bool
}

// cut says at which question a connection is cut.
type cut struct {
	turn   int  // counted from when it was set; 0: never
	before bool // the server does not get the question; otherwise the client does not get the answer
	hole   bool // the server does not learn that the connection is lost
	done   bool
}

// throughProxy returns the address of a database behind a proxy.
func throughProxy(t testing.TB, address string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: u.Host, conns: map[net.Conn]bool{}}
	var wg sync.WaitGroup
	wg.Go(func() { p.accept(&wg) })
	t.Cleanup(func() {
		l.Close()
		p.cutAll()
		wg.Wait()
	})
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *proxy) accept(wg *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns[client], p.conns[server] = true, true
		p.mu.Unlock()
		l := &link{p: p, client: client, server: server}
		wg.Go(l.questions)
		wg.Go(l.answers)
	}
}

// cutAll cuts all connections.
func (p *proxy) cutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// count returns how often the network was crossed while do ran.
func (p *proxy) count(do func()) int {
	p.mu.Lock()
	before := p.turns
	p.mu.Unlock()
	do()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.turns - before
}

func (p *proxy) cutAt(turn int, before, hole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = cut{turn: turn, before: before, hole: hole}
}

// wasCut reports whether the cut that was set came.
func (p *proxy) wasCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut.done
}

// link is one connection through the proxy.
type link struct {
	p              *proxy
	client, server net.Conn
	mu             sync.Mutex
	answered       bool
	silent         bool // answers are dropped
	hole           bool // the server is not told
}

func (l *link) close() {
	l.client.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.hole {
		l.server.Close()
	}
}

func (l *link) questions() {
	defer l.close()
	buf := make([]byte, 1<<20)
	for {
		n, err := l.client.Read(buf)
		if n > 0 && !l.ask() {
			return
		}
		if _, werr := l.server.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// ask counts a question, and reports false if the connection is to be cut
// before it.
func (l *link) ask() bool {
	l.mu.Lock()
	fresh := l.answered
	l.answered = false
	l.mu.Unlock()
	if !fresh {
		return true
	}
	l.p.mu.Lock()
	defer l.p.mu.Unlock()
	l.p.turns++
	if c := &l.p.cut; c.turn > 0 && !c.done {
		if c.turn--; c.turn == 0 {
			c.done = true
			l.mu.Lock()
			l.silent, l.hole = !c.before, c.hole
			l.mu.Unlock()
			return !c.before
		}
	}
	return true
}

func (l *link) answers() {
	defer l.close()
	buf := make([]byte, 1<<20)
	for {
		n, err := l.server.Read(buf)
		l.mu.Lock()
		l.answered = true
		silent := l.silent
		l.mu.Unlock()
		if silent {
			return
		}
		if _, werr := l.client.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}
