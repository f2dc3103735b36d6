package link_test

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// conn is one end of a connection in memory that can be closed in one direction, as TCP can and
// net.Pipe cannot. It blocks on channels only, so that it can live in a synctest bubble.
type conn struct {
	net.Conn // nil: deadlines and addresses are not used here
	r        *io.PipeReader
	w        *io.PipeWriter
}

func pair() (a, b conn) {
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	return conn{r: ar, w: aw}, conn{r: br, w: bw}
}

func (c conn) Read(b []byte) (int, error)  { return c.r.Read(b) }
func (c conn) Write(b []byte) (int, error) { return c.w.Write(b) }
func (c conn) CloseWrite() error           { return c.w.Close() }
func (c conn) Close() error {
	c.r.Close()
	return c.w.Close()
}

// network is a listener in memory, and the server behind it.
type network struct {
	accept chan net.Conn
	server chan conn
	once   sync.Once
	closed chan struct{}
}

func newNetwork() *network {
	return &network{accept: make(chan net.Conn), server: make(chan conn, 8), closed: make(chan struct{})}
}

// connect returns the client's end.
func (n *network) connect() conn {
	client, proxy := pair()
	n.accept <- proxy
	return client
}

// dial gives the proxy its end and the test's server the other.
func (n *network) dial(context.Context) (net.Conn, error) {
	proxy, server := pair()
	n.server <- server
	return proxy, nil
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accept:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.TCPAddr{} }

// arrival is when bytes came, since the start.
type arrival struct {
	At    time.Duration
	Bytes int
}

// arrivals reads until the end.
func arrivals(r io.Reader, start time.Time) []arrival {
	var out []arrival
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			out = append(out, arrival{time.Since(start), n})
		}
		if err != nil {
			return out
		}
	}
}
