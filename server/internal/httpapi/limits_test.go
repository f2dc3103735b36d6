package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// quick limits make the slow ones visible in a short test.
func quick() httpapi.Limits {
	return httpapi.Limits{
		HeaderTimeout: 500 * time.Millisecond, BodyGrace: 700 * time.Millisecond, MinRate: 1000,
		ReadStall: time.Second, WriteStall: time.Second, IdleTimeout: 500 * time.Millisecond,
	}
}

// dial opens a connection and writes text on it.
func (r *rig) dial(text string) net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil {
		r.t.Fatal(err)
	}
	return c
}

// cutWithin reports whether the server ends the connection in time.
func cutWithin(c net.Conn, limit time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

func (r *rig) head(token string, length int) string {
	return fmt.Sprintf("POST /v1/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n", token, wire.ContentTypeProtobuf, length)
}

func TestSlowConnectionsAreCut(t *testing.T) {
	r := newRig(t, quick())
	d := r.enrol()
	open := frames(t, opening())
	for name, text := range map[string]string{
		"no header":                      "",
		"half a header":                  "POST /v1/sync HTTP/1.1\r\nHost: x\r\nX-A: ",
		"no body":                        r.head(d.Token(r.now()), 1000),
		"half a body":                    r.head(d.Token(r.now()), len(open)+1000) + string(open),
		"a body that nobody will read":   r.head("x", 100_000),
		"a body at a route that is none": "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
		"a kept connection":              "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c := r.dial(text); !cutWithin(c, 10*time.Second) {
				t.Error("the connection is still held")
			}
		})
	}
}

func TestDrippingBodyIsCutAndSteadySlowOnePasses(t *testing.T) {
	r := newRig(t, quick())
	d := r.enrol()
	drip := func(piece int, every time.Duration, total int) (string, time.Duration) {
		body := frames(t, opening(), &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: &wire.Batch{Tables: &wire.Tables{Paths: []string{strings.Repeat("x", total)}}}}})
		c := r.dial(r.head(d.Token(r.now()), len(body)))
		start := time.Now()
		go func() {
			for len(body) > 0 {
				n := min(piece, len(body))
				if _, err := c.Write(body[:n]); err != nil {
					return
				}
				body = body[n:]
				time.Sleep(every)
			}
		}()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line, time.Since(start)
	}
	// 20 bytes each 50 ms are 400 a second: below the rate.
	if line, took := drip(20, 50*time.Millisecond, 4000); !strings.Contains(line, "408") || took > 8*time.Second {
		t.Errorf("dripping: %q after %s", line, took)
	}
	// 400 bytes each 50 ms are 8,000 a second, for much longer than the grace.
	if line, took := drip(400, 50*time.Millisecond, 12_000); !strings.Contains(line, "200") || took < time.Second {
		t.Errorf("steady: %q after %s", line, took)
	}
}

func TestReaderThatStopsReadingIsCut(t *testing.T) {
	r := newRig(t, quick())
	d := r.enrol()
	ended := make(chan error, 1)
	r.play(func(_ context.Context, _ store.Device, now int64, open *wire.Open, _ func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		err := send(begin(open.GetNonce(), now))
		for i := 0; err == nil && i < 500; i++ {
			err = send(feed(500_000))
		}
		ended <- err
		return httpapi.Summary{}, err
	})
	open := frames(t, opening())
	r.dial(r.head(d.Token(r.now()), len(open)) + string(open))
	select {
	case err := <-ended:
		if err == nil {
			t.Error("250 MB were sent to somebody who does not read")
		}
	case <-time.After(30 * time.Second):
		t.Error("the exchange hangs")
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	c := r.dial("GET /v1/time HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 64<<10))
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if line, _ := bufio.NewReader(c).ReadString('\n'); !strings.Contains(line, "431") {
		t.Errorf("got %q", line)
	}
}

// After many slow and broken connections everything is given back.
func TestAttackLeavesNothingBehind(t *testing.T) {
	r := newRig(t, quick())
	d := r.enrol()
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(100 * time.Millisecond)
	before := runtime.NumGoroutine()
	var slowest time.Duration
	var conns []net.Conn
	for i := range 300 {
		text := "POST /v1/sync HTTP/1.1\r\nX: "
		if i%3 == 0 {
			text = r.head("x", 100)
		}
		if i%3 == 1 {
			text = r.head(d.Token(r.now()), 100)
		}
		conns = append(conns, r.dial(text))
	}
	for range 5 {
		start := time.Now()
		if a := r.do("GET", "/v1/time", nil); a.status != http.StatusOK {
			t.Errorf("an honest caller gets %d %v", a.status, a.err)
		}
		slowest = max(slowest, time.Since(start))
	}
	if slowest > 5*time.Second {
		t.Errorf("an honest caller waited %s", slowest)
	}
	for _, c := range conns {
		if !cutWithin(c, 10*time.Second) {
			t.Fatal("a slow connection is still held")
		}
		_ = c.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	for range 50 {
		if runtime.NumGoroutine() <= before+3 {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Errorf("%d goroutines before, %d after", before, runtime.NumGoroutine())
}

func TestExchangesBeyondTheLimitAreToldToWait(t *testing.T) {
	r := newRig(t, httpapi.Limits{Exchanges: 2, ExchangeWait: 50 * time.Millisecond})
	d := r.enrol()
	hold, running := make(chan struct{}), make(chan struct{}, 8)
	r.play(func(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		running <- struct{}{}
		<-hold
		return echoExchange(ctx, dev, now, open, next, send)
	})
	body := wireBody(t, frames(t, opening()))
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			if a := r.sync(d, bytes.NewReader(body)); a.status != http.StatusOK {
				t.Errorf("one of those within the limit: %d %s", a.status, a.body)
			}
		})
	}
	<-running
	<-running
	a := r.sync(d, bytes.NewReader(body))
	r.want(a, syncproto.CodeRateLimited)
	if s, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || s < 1 || s > 10 {
		t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
	}
	close(hold)
	wait.Wait()
	if a := r.sync(d, bytes.NewReader(body)); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

func TestRatesAreLimitedEach(t *testing.T) {
	body := func(t *testing.T) io.Reader { return bytes.NewReader(wireBody(t, frames(t, opening()))) }
	t.Run("a device's requests", func(t *testing.T) {
		r := newRig(t, httpapi.Limits{PerDevice: 0.5})
		busy, quiet := r.enrol(), r.enrol()
		limited := 0
		for range 8 {
			if r.sync(busy, body(t)).code == syncproto.CodeRateLimited {
				limited++
			}
		}
		if limited < 2 || limited > 3 { // a burst of 5, and what came meanwhile
			t.Errorf("%d of 8 were limited", limited)
		}
		if a := r.sync(quiet, body(t)); a.status != http.StatusOK {
			t.Errorf("the other device: %d", a.status)
		}
	})
	t.Run("enrolments from an address", func(t *testing.T) {
		r := newRig(t, httpapi.Limits{})
		limited := 0
		for range 40 {
			a := r.do("POST", "/v1/enrol", strings.NewReader("{}"), "Content-Type", "application/json")
			if a.code == syncproto.CodeRateLimited && a.header.Get("Retry-After") != "" {
				limited++
			}
		}
		if limited < 5 || limited > 10 {
			t.Errorf("%d of 40 were limited", limited)
		}
	})
	t.Run("an address", func(t *testing.T) {
		r := newRig(t, httpapi.Limits{PerAddress: 1})
		limited := 0
		for range 20 {
			if r.do("GET", "/v1/time", nil).code == syncproto.CodeRateLimited {
				limited++
			}
		}
		if limited < 8 {
			t.Errorf("%d of 20 were limited", limited)
		}
	})
}
