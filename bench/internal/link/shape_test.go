package link_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/bench/internal/link"
)

const ms = time.Millisecond

// bubble runs body beside a proxy in memory, in virtual time.
func bubble(t *testing.T, shape link.Shape, body func(t *testing.T, p *link.Proxy, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		p := link.New(n, n.dial)
		p.Reshape(shape)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		body(t, p, n)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func send(t *testing.T, c conn, n int) {
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Errorf("write %d bytes: %v", n, err)
	}
}

func TestSegmentsArriveAtTheRateAfterHandshakeAndDelay(t *testing.T) {
	bubble(t, link.Village(), func(t *testing.T, p *link.Proxy, n *network) {
		start := time.Now()
		client := n.connect()
		server := <-n.server
		go func() {
			send(t, client, 4000)
			client.CloseWrite()
		}()
		// A round trip for the handshake, then 1,440 bytes with their header take 180 ms at 64 kbit/s,
		// 1,240 take 155 ms, and all of them half a round trip of delay.
		want := []arrival{{300*ms + 180*ms + 150*ms, 1400}, {300*ms + 360*ms + 150*ms, 1400}, {300*ms + 515*ms + 150*ms, 1200}}
		if diff := cmp.Diff(want, arrivals(server, start)); diff != "" {
			t.Errorf("up (-want +got):\n%s", diff)
		}
		asked := time.Now()
		go func() {
			send(t, server, 1000)
			server.CloseWrite()
		}()
		if diff := cmp.Diff([]arrival{{65*ms + 150*ms, 1000}}, arrivals(client, asked)); diff != "" {
			t.Errorf("down, 1,040 bytes at 128 kbit/s (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(link.Counts{Up: 4000, Down: 1000, Conns: 1}, p.Counts()); diff != "" {
			t.Errorf("counts (-want +got):\n%s", diff)
		}
	})
}

func TestConnectionsShareOneRate(t *testing.T) {
	bubble(t, link.Shape{Up: 64_000, Overhead: -1, MTU: 1000}, func(t *testing.T, _ *link.Proxy, n *network) {
		start := time.Now()
		const conns, each = 4, 2000
		last := make(chan time.Duration)
		for range conns {
			client := n.connect()
			server := <-n.server
			go func() {
				send(t, client, each)
				client.CloseWrite()
			}()
			go func() {
				got := arrivals(server, start)
				last <- got[len(got)-1].At
			}()
		}
		var end time.Duration
		for range conns {
			end = max(end, <-last)
		}
		if want := conns * each * 8 * time.Second / 64_000; end != want {
			t.Errorf("%d connections of %d bytes ended at %v, want %v", conns, each, end, want)
		}
	})
}

func TestADelayWithoutARateIsOnlyADelay(t *testing.T) {
	bubble(t, link.Shape{RTT: 200 * ms}, func(t *testing.T, _ *link.Proxy, n *network) {
		start := time.Now()
		client := n.connect()
		server := <-n.server
		go func() {
			send(t, client, 1<<20)
			client.CloseWrite()
		}()
		var total int
		for _, a := range arrivals(server, start) {
			if total += a.Bytes; a.At != 300*ms {
				t.Fatalf("%d bytes arrived at %v, want 300ms", a.Bytes, a.At)
			}
		}
		if total != 1<<20 {
			t.Errorf("%d bytes arrived, want %d", total, 1<<20)
		}
	})
}

func TestASenderIsHeldBackToTheLinksProgress(t *testing.T) {
	bubble(t, link.Shape{Up: 64_000}, func(t *testing.T, p *link.Proxy, n *network) {
		client := n.connect()
		server := <-n.server
		go func() { _, _ = client.Write(make([]byte, 1<<20)) }() // far more than fits in a window; cut at the end of the test
		go arrivals(server, time.Now())
		time.Sleep(time.Second)
		synctest.Wait()
		if up := p.Counts().Up; up > 200<<10 {
			t.Errorf("%d bytes taken from the sender after a second of 64 kbit/s", up)
		}
	})
}

func TestReshapeLeavesOpenConnectionsAsTheyAre(t *testing.T) {
	bubble(t, link.Shape{}, func(t *testing.T, p *link.Proxy, n *network) {
		client := n.connect()
		server := <-n.server
		p.Reshape(link.Village())
		start := time.Now()
		go func() {
			send(t, client, 4000)
			client.CloseWrite()
		}()
		if diff := cmp.Diff([]arrival{{0, 4000}}, arrivals(server, start)); diff != "" {
			t.Errorf("an old connection (-want +got):\n%s", diff)
		}
		fresh := n.connect()
		server = <-n.server
		go func() {
			send(t, fresh, 100)
			fresh.CloseWrite()
		}()
		if got := arrivals(server, start); len(got) != 1 || got[0].At < 450*ms {
			t.Errorf("a new connection: %v, want one arrival after a handshake and a delay", got)
		}
	})
}

func TestTheEndOfRunCutsWhatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		p := link.New(n, n.dial)
		p.Reshape(link.Village())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		client := n.connect()
		server := <-n.server
		go func() { _, _ = client.Write(make([]byte, 100_000)) }()
		time.Sleep(time.Second)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		if _, err := io.ReadAll(client); err != nil {
			t.Errorf("client: %v", err)
		}
		if got := arrivals(server, time.Now()); len(got) != 0 {
			t.Errorf("server got %v after the end", got)
		}
	})
}
