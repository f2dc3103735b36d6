package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// Config is what a Client needs. All fields but Transport are required.
type Config struct {
	// URL is the server's address, without a path.
	URL string
	// Pin is the SHA-256 of the server's SubjectPublicKeyInfo; empty to trust
	// the system's authorities.
	Pin []byte
	// Device and Server are the ids of both sides; empty before enrolment.
	Device, Server string
	Signer         Signer
	// Transport carries requests. Default: a pinned or verified TLS transport.
	Transport http.RoundTripper
	// Clock is the device's clock, uncorrected.
	Clock func() time.Time
	// Offset returns server time minus device time; Corrected hears of the
	// server's time with each response, and of when it was, by Clock.
	Offset    func() time.Duration
	Corrected func(server time.Time, device time.Time)
	Rand      io.Reader
	Logger    *slog.Logger
	// Timeout bounds one request with its response; idleTimeout of that cuts a
	// link on which nothing moves.
	Timeout time.Duration
}

// Client talks to one server. It is safe for concurrent use.
type Client struct {
	c    Config
	http *http.Client
	own  *http.Transport // nil if the app gave one

	requests atomic.Int64
	up, down atomic.Int64
}

// New returns a client. It opens no connection.
func New(c Config) *Client {
	client := &Client{c: c}
	t := c.Transport
	if t == nil {
		client.own = newTransport(c)
		t = client.own
	}
	client.http = &http.Client{
		Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a token is for one server
		},
	}
	return client
}

// CloseIdle lets go of connections that nobody uses.
func (c *Client) CloseIdle() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Usage returns what the client has used so far: requests, and bytes of bodies
// as they went over the wire.
func (c *Client) Usage() (requests, up, down int64) {
	return c.requests.Load(), c.up.Load(), c.down.Load()
}

// Progress hears of each part of a body that moved.
type Progress func(up, down int64)

// Sync sends one exchange and calls fn with each frame of the response, in
// order. An error of fn ends it and is returned. A response that ends before
// its End frame is CodeOffline: the link broke.
func (c *Client) Sync(ctx context.Context, body []byte, moved Progress, fn func(*wire.ResponseFrame) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.c.Timeout)
	defer cancel()
	header := http.Header{
		"Content-Type":     {wire.ContentTypeProtobuf},
		"Content-Encoding": {wire.EncodingZstd},
		"Accept":           {wire.ContentTypeProtobuf},
		"Accept-Encoding":  {wire.EncodingZstd},
	}
	watch := newIdleWatch(cancel)
	defer watch.stop()
	resp, err := c.authorized(ctx, "/v1/sync", header, body, func(n int64) { watch.touch(); moved(n, 0) })
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	format, ok := wire.FormatOf(resp.Header.Get("Content-Type"))
	if !ok {
		return syncproto.Errorf(syncproto.CodeBadResponse, "response of another content type: is there a portal or proxy in between?")
	}
	counted := &counter{r: resp.Body, moved: func(n int64) { c.down.Add(n); watch.touch(); moved(0, n) }}
	decoded, err := wire.NewResponseReader(counted, resp.Header.Get("Content-Encoding"))
	if err != nil {
		return badResponse(err)
	}
	defer decoded.Close()
	plain := &counter{r: decoded, moved: func(int64) {}}
	frames := wire.NewFrameReader(plain, format)
	for {
		frame, err := frames.Response()
		if counted.err != nil && !errors.Is(counted.err, io.EOF) {
			return offline(ctx, "read the response", counted.err)
		}
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: the response ends early", syncproto.CodeOffline)
		}
		if err != nil {
			if counted.err != nil && plain.err != nil { // cut cleanly, within a frame
				return fmt.Errorf("%w: the response is cut", syncproto.CodeOffline)
			}
			return badResponse(err)
		}
		if err := fn(frame); err != nil {
			return err
		}
		if frame.GetEnd() != nil {
			return nil
		}
	}
}

// badResponse makes what the codec says of a request, or of a body, a fault of
// the response: the codec's own code would blame this device.
func badResponse(err error) error {
	return syncproto.Errorf(syncproto.CodeBadResponse, "%v", err)
}

// authorized sends a request with a fresh token, and once more if the token
// failed for a reason that a new one mends.
func (c *Client) authorized(ctx context.Context, path string, header http.Header, body []byte, sent func(int64)) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		token, err := c.token()
		if err != nil {
			return nil, err
		}
		header.Set("Authorization", "Bearer "+token)
		resp, err := c.do(ctx, path, header, body, sent)
		code := syncproto.CodeOf(err)
		if attempt == 0 && (code == syncproto.CodeClockSkew || code == syncproto.CodeTokenReplayed || code == syncproto.CodeTokenExpired) {
			continue // do has corrected the clock
		}
		return resp, err
	}
}

// do sends one request and returns the response if it is a success.
func (c *Client) do(ctx context.Context, path string, header http.Header, body []byte, sent func(int64)) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(c.c.URL, "/")+path, nil)
	if err != nil {
		return nil, syncproto.Errorf(syncproto.CodeMalformed, "the server's address is not one")
	}
	req.Header = header.Clone()
	req.Header.Set("User-Agent", "sambang/1")
	req.ContentLength = int64(len(body))
	reader := func() io.ReadCloser {
		return io.NopCloser(&counter{r: bytes.NewReader(body), moved: func(n int64) { c.up.Add(n); sent(n) }})
	}
	req.Body = reader()
	req.GetBody = func() (io.ReadCloser, error) { return reader(), nil }
	c.requests.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, offline(ctx, "reach the server", err)
	}
	if resp.StatusCode/100 == 2 {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, c.problem(resp)
}

// offline makes an error of a failed transport: the caller's own end, or
// CodeOffline.
func offline(ctx context.Context, what string, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errIdle) && errors.Is(cause, context.Canceled) {
		return fmt.Errorf("%s: %w", what, cause)
	}
	var own *syncproto.Error
	if errors.As(err, &own) {
		return fmt.Errorf("%s: %w", what, own) // the wrong server is there: that is not offline
	}
	return fmt.Errorf("%s: %w: %w", what, syncproto.CodeOffline, err)
}

// counter counts what is read through it. It tells the end after the last
// bytes and never with them: err is set only if more was wanted.
type counter struct {
	r     io.Reader
	moved func(int64)
	err   error
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if n > 0 {
		c.moved(int64(n))
		if errors.Is(err, io.EOF) {
			return n, nil // and again at the next Read
		}
	}
	if err != nil {
		c.err = err
	}
	return n, err
}
