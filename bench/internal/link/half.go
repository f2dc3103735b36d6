package link

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// window is how many bytes of one direction of a connection may be under way where the rate and the
	// delay do not need more. The sender is held back beyond it, so that its progress is the link's.
	window = 64 << 10
	// wideWindow is the same for a link with a delay and no rate, so that the window is not its rate.
	wideWindow = 4 << 20
)

// lane is one direction of the link, shared by all connections. The zero value is idle.
type lane struct {
	mu   sync.Mutex
	busy time.Time // when the last segment so far will have left; never goes back
}

// reserve gives the next n bytes, headers included, their turn, and returns when the last of them
// has left the sender. A rate of 0 takes no time, but still waits for what is before it.
func (l *lane) reserve(now time.Time, n int, rate int64) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.busy.Before(now) {
		l.busy = now
	}
	l.busy = l.busy.Add(airtime(n, rate))
	return l.busy
}

// airtime is how long n bytes take at a rate in bits per second. A rate of 0 is unlimited.
func airtime(n int, rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(int64(n) * 8 * int64(time.Second) / rate)
}

// half is one direction of one connection.
type half struct {
	src, dst net.Conn
	lane     *lane
	rate     int64
	shape    Shape
	cut      func() // ends the whole connection
}

// segment is bytes under way and when they arrive. No bytes are the end of the direction.
type segment struct {
	at    time.Time
	bytes []byte
}

// run forwards until src has ended and all of it has arrived, or the connection is cut.
func (h half) run(ctx context.Context, count func([]byte)) {
	if h.rate <= 0 && h.shape.RTT <= 0 {
		h.forward(count)
		return
	}
	flight := max(window, 2*int(h.rate/8*h.shape.RTT.Milliseconds()/1000))
	if h.rate <= 0 {
		flight = wideWindow
	}
	line := make(chan segment, flight/h.shape.MTU+1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { h.deliver(ctx, line) })
	h.receive(ctx, line, count)
}

// forward is run without a shape.
func (h half) forward(count func([]byte)) {
	buf := make([]byte, 32<<10)
	for {
		n, err := h.src.Read(buf)
		if n > 0 {
			count(buf[:n])
			if _, err := h.dst.Write(buf[:n]); err != nil {
				h.cut()
				return
			}
		}
		if errors.Is(err, io.EOF) {
			h.end()
			return
		}
		if err != nil {
			h.cut()
			return
		}
	}
}

// receive reads from src and puts segments on the line. It closes the line.
func (h half) receive(ctx context.Context, line chan<- segment, count func([]byte)) {
	defer close(line)
	delay := h.shape.RTT / 2
	put := func(s segment) bool {
		select {
		case line <- s:
			return true
		case <-ctx.Done():
			return false
		}
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := h.src.Read(buf)
		now := time.Now()
		if n > 0 {
			count(buf[:n])
		}
		for b := buf[:n]; len(b) > 0; {
			k := min(len(b), h.shape.MTU)
			at := h.lane.reserve(now, k+h.shape.Overhead, h.rate).Add(delay)
			if !put(segment{at, append([]byte(nil), b[:k]...)}) {
				return
			}
			b = b[k:]
		}
		if errors.Is(err, io.EOF) {
			put(segment{at: h.lane.reserve(now, 0, 0).Add(delay)})
			return
		}
		if err != nil {
			h.cut()
			return
		}
	}
}

// deliver writes each segment to dst when it arrives.
func (h half) deliver(ctx context.Context, line <-chan segment) {
	for s := range line {
		if !sleep(ctx, time.Until(s.at)) {
			return
		}
		if s.bytes == nil {
			h.end()
			return
		}
		if _, err := h.dst.Write(s.bytes); err != nil {
			h.cut()
			return
		}
	}
}

// end tells dst that nothing more comes, and leaves the other direction open where dst can do that.
func (h half) end() {
	if c, ok := h.dst.(interface{ CloseWrite() error }); ok {
		if c.CloseWrite() == nil {
			return
		}
	}
	h.cut()
}
