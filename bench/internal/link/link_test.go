package link_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sambang-id/sambang/bench/internal/link"
)

// serve runs a proxy on loopback until the test ends.
func serve(t *testing.T, target string) *link.Proxy {
	t.Helper()
	p, err := link.Listen(target)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return p
}

func TestHTTPPassesUnchangedAndItsRequestsAreCounted(t *testing.T) {
	const seed = 24
	body := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{seed}).Read(body)
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		all, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("server: %v", err)
		}
		_, _ = w.Write(all)
	}))
	t.Cleanup(echo.Close)
	for name, shape := range map[string]link.Shape{
		"as the bytes come":           {},
		"in segments of a paced link": {Up: 2e9, Down: 2e9, MTU: 512},
	} {
		t.Run(name, func(t *testing.T) {
			p := serve(t, echo.Listener.Addr().String())
			p.Reshape(shape)
			client := &http.Client{Transport: &http.Transport{}}
			t.Cleanup(client.CloseIdleConnections)
			for i := range 3 {
				// an unknown length makes net/http send the second one chunked
				var in io.Reader = bytes.NewReader(body)
				if i == 1 {
					in = io.MultiReader(in)
				}
				res, err := client.Post("http://"+p.Addr(), "application/octet-stream", in)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || !bytes.Equal(got, body) {
					t.Fatalf("request %d: %d of %d bytes came back unchanged, error %v (seed %d)", i, len(got), len(body), err, seed)
				}
			}
			was := p.Reset()
			if was.Conns != 1 || was.Requests != 3 || was.Up < 3<<20 || was.Down < 3<<20 {
				t.Errorf("counts of three requests of 1 MiB each way on one connection: %+v", was)
			}
			if now := p.Counts(); now != (link.Counts{}) {
				t.Errorf("counts after a reset: %+v", now)
			}
		})
	}
}

func TestAClientThatHasSentAllStillReads(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c)
		fmt.Fprintf(c, "got %d", len(all))
	}()
	p := serve(t, l.Addr().String())
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); string(got) != "got 5000" || err != nil {
		t.Errorf("answer %q, error %v", got, err)
	}
}

func TestWithNoServerTheClientIsCutOff(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := l.Addr().String()
	l.Close()
	p := serve(t, target)
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d bytes, error %v", n, err)
	}
}

func TestRequestsAreCountedHoweverTheStreamIsCut(t *testing.T) {
	const get = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	const chunked = "POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n5;x=y\r\nGET /\r\n0\r\nTrailer: z\r\n\r\n"
	for _, tc := range []struct {
		name, stream string
		want         int64
	}{
		{"a head without a body", get, 1},
		{"a body that looks like a head", "PUT / HTTP/1.1\r\ncontent-length: 28\r\n\r\n" + get + get, 2},
		{"chunks with an extension and a trailer", chunked + get, 2},
		{"an empty body", "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n" + get, 2},
		{"a stream that is not HTTP", "\x16\x03\x01 hello\r\n\r\n" + get, 0},
		{"a bad chunk size", "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + get, 1},
		{"a head without an end", strings.Repeat("x", 70_000) + "\r\n\r\n" + get, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, step := range []int{1, 2, 3, 7, len(tc.stream)} {
				if step < 7 && len(tc.stream) > 1000 {
					continue
				}
				bubble(t, link.Shape{}, func(t *testing.T, p *link.Proxy, n *network) {
					client := n.connect()
					server := <-n.server
					go func() {
						for s := tc.stream; s != ""; {
							k := min(step, len(s))
							_, _ = client.Write([]byte(s[:k]))
							s = s[k:]
						}
						client.CloseWrite()
					}()
					got, err := io.ReadAll(server)
					if diff := cmp.Diff(tc.stream, string(got)); diff != "" || err != nil {
						t.Errorf("in steps of %d bytes: error %v, stream (-want +got):\n%s", step, err, diff)
					}
					if c := p.Counts().Requests; c != tc.want {
						t.Errorf("in steps of %d bytes: %d requests, want %d", step, c, tc.want)
					}
				})
			}
		})
	}
}
