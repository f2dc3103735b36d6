package httpapi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// reply reads the frames of an answer, and fails if it does not end well.
func (r *rig) reply(a answer) (all []*wire.ResponseFrame) {
	r.t.Helper()
	if a.status != http.StatusOK || a.err != nil {
		r.t.Fatalf("status %d, error %v, body %.200s", a.status, a.err, a.body)
	}
	format, _ := wire.FormatOf(a.header.Get("Content-Type"))
	body, err := wire.NewBodyReader(bytes.NewReader(a.body), a.header.Get("Content-Encoding"))
	if err != nil {
		r.t.Fatal(err)
	}
	frames := wire.NewFrameReader(body, format)
	for {
		f, err := frames.Response()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, f)
	}
}

func TestExchangeReachesTheEngineAndBack(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	var got struct {
		device string
		items  int
		open   *wire.Open
	}
	r.play(func(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		got.device, got.open = dev.ID, open
		sum, err := echoExchange(ctx, dev, now, open, next, send)
		got.items = sum.Pushed
		return sum, err
	})
	a := r.sync(d, bytes.NewReader(wireBody(t, frames(t, opening(), batch(), batch()))))
	all := r.reply(a)
	if len(all) != 2 || !bytes.Equal(all[0].GetBegin().GetNonce(), bytes.Repeat([]byte{9}, 16)) || all[1].GetEnd() == nil {
		t.Errorf("reply %v", all)
	}
	if got.device != d.ID || got.items != 2 || got.open.GetApp() != "uji/1" {
		t.Errorf("the engine saw %+v", got)
	}
	if a.header.Get("Content-Encoding") != "zstd" || a.header.Get("Content-Length") == "" {
		t.Errorf("a small reply goes in one piece: %v", a.header)
	}
	if len(a.body) > 200 {
		t.Errorf("idle reply of %d bytes", len(a.body))
	}
}

func TestExchangeInJSON(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	a := r.do("POST", "/v1/sync", strings.NewReader(`{"open":{"version":1,"nonce":"CQkJCQkJCQkJCQkJCQkJCQ=="}}`+"\n"),
		"Authorization", "Bearer "+d.Token(r.now()), "Content-Type", wire.ContentTypeJSON, "Accept-Encoding", "identity")
	r.reply(a)
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	if len(lines) != 2 || !json.Valid([]byte(lines[0])) || a.header.Get("Content-Encoding") != "" {
		t.Errorf("%v %s", a.header, a.body)
	}
	a = r.sync(d, bytes.NewReader(wireBody(t, frames(t, opening()))), "Accept", wire.ContentTypeJSON+", */*;q=0.1")
	if r.reply(a); a.header.Get("Content-Type") != wire.ContentTypeJSON {
		t.Errorf("asked for JSON, got %v", a.header)
	}
}

func TestLargeReplyStreams(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	hold := make(chan struct{})
	r.play(func(_ context.Context, _ store.Device, now int64, open *wire.Open, _ func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		err := errors.Join(send(begin(open.GetNonce(), now)), send(feed(200_000)))
		<-hold
		for range 20 {
			err = errors.Join(err, send(feed(200_000)))
		}
		return httpapi.Summary{Delivered: 21}, errors.Join(err, send(end()))
	})
	req, err := http.NewRequestWithContext(t.Context(), "POST", r.url+"/v1/sync", bytes.NewReader(wireBody(t, frames(t, opening()))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.Token(r.now()))
	req.Header.Set("Content-Type", wire.ContentTypeProtobuf)
	req.Header.Set("Content-Encoding", "zstd")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := wire.NewBodyReader(resp.Body, resp.Header.Get("Content-Encoding"))
	if err != nil {
		t.Fatal(err)
	}
	frames := wire.NewFrameReader(body, wire.Protobuf)
	n := 0
	for {
		f, err := frames.Response()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			close(hold) // both arrived while the engine still waited
		}
		if f.GetEnd() != nil && n != 23 {
			t.Errorf("the end is frame %d", n)
		}
	}
	if n != 23 {
		t.Errorf("%d frames", n)
	}
}

func TestRefusalOfTheEngineIsAProblem(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	for _, c := range []struct {
		err  error
		want syncproto.Code
	}{
		{syncproto.Errorf(syncproto.CodeReplicaNotYours, "x"), syncproto.CodeReplicaNotYours},
		{syncproto.CodeClaimInvalid, syncproto.CodeClaimInvalid},
		{store.ErrBusy, syncproto.CodeUnavailable},
		{store.ErrFull, syncproto.CodeUnavailable},
		{store.ErrClosed, syncproto.CodeUnavailable},
		{errors.New("secret: passport X1234567"), syncproto.CodeInternal},
	} {
		r.play(func(context.Context, store.Device, int64, *wire.Open, func() (*wire.Batch, error), func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
			return httpapi.Summary{}, c.err
		})
		a := r.sync(d, bytes.NewReader(wireBody(t, frames(t, opening()))))
		r.want(a, c.want)
		if bytes.Contains(a.body, []byte("passport")) {
			t.Errorf("an internal error is told: %s", a.body)
		}
	}
}

// What fails after the reply began must look cut, whatever its size: a device
// that takes it for whole would count its records as received.
func TestReplyThatFailsIsCut(t *testing.T) {
	for name, size := range map[string]int{"small": 0, "streaming": 300_000} {
		for how, fail := range map[string]func() error{
			"by an error": func() error { return errors.New("disk gone") },
			"by a panic":  func() error { panic("bug") },
		} {
			for _, h2 := range []bool{false, true} {
				t.Run(name+" "+how+map[bool]string{false: " over HTTP/1.1", true: " over HTTP/2"}[h2], func(t *testing.T) {
					r := newRig(t, httpapi.Limits{})
					d := r.enrol()
					r.play(func(_ context.Context, _ store.Device, now int64, open *wire.Open, _ func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
						err := send(begin(open.GetNonce(), now))
						if size > 0 {
							err = errors.Join(err, send(feed(size)), send(feed(size)))
						}
						return httpapi.Summary{}, errors.Join(err, fail())
					})
					via, url := http.DefaultTransport, r.url
					if h2 {
						via, url = overTLS(t, r)
					}
					req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/sync", bytes.NewReader(wireBody(t, frames(t, opening()))))
					if err != nil {
						t.Fatal(err)
					}
					req.Header.Set("Authorization", "Bearer "+d.Token(r.now()))
					req.Header.Set("Content-Type", wire.ContentTypeProtobuf)
					req.Header.Set("Content-Encoding", "zstd")
					a := r.send(via, req)
					panicked := how == "by a panic" && size == 0
					if a.err == nil && (!panicked || a.code != syncproto.CodeInternal) {
						t.Errorf("status %d, %d bytes, and a clean end", a.status, len(a.body))
					}
					if a.status == http.StatusOK && h2 != (a.proto == "HTTP/2.0") {
						t.Errorf("spoke %s", a.proto)
					}
				})
			}
		}
	}
}

// overTLS serves the rig's API with TLS and HTTP/2.
func overTLS(t *testing.T, r *rig) (http.RoundTripper, string) {
	t.Helper()
	s := httptest.NewUnstartedServer(r.api)
	s.Config.ErrorLog = r.api.Server().ErrorLog
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Client().Transport, s.URL
}

func TestExchangeOverHTTP2(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	via, url := overTLS(t, r)
	req, err := http.NewRequestWithContext(t.Context(), "POST", url+"/v1/sync", bytes.NewReader(wireBody(t, frames(t, opening(), batch()))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.Token(r.now()))
	req.Header.Set("Content-Type", wire.ContentTypeProtobuf)
	req.Header.Set("Content-Encoding", "zstd")
	a := r.send(via, req)
	if len(r.reply(a)) != 2 || a.proto != "HTTP/2.0" {
		t.Errorf("%s %d", a.proto, a.status)
	}
}

func TestPanicIsAnInternalProblem(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	r.play(func(context.Context, store.Device, int64, *wire.Open, func() (*wire.Batch, error), func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		panic("bug")
	})
	r.want(r.sync(d, bytes.NewReader(wireBody(t, frames(t, opening())))), syncproto.CodeInternal)
	if log := r.log.String(); !strings.Contains(log, `"msg":"panic"`) || !strings.Contains(log, "exchange_test.go") {
		t.Error("the panic is not in the log with its stack")
	}
	r.play(echoExchange)
	if a := r.sync(d, bytes.NewReader(wireBody(t, frames(t, opening())))); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

// A device that goes away while its batches are stored must not undo them.
func TestExchangeGoesOnWithoutTheDevice(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	started, ended := make(chan struct{}), make(chan error, 1)
	r.play(func(ctx context.Context, _ store.Device, _ int64, _ *wire.Open, next func() (*wire.Batch, error), _ func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		_, _ = next()
		close(started)
		select {
		case <-ctx.Done():
			ended <- ctx.Err()
		case <-time.After(300 * time.Millisecond):
			ended <- nil
		}
		return httpapi.Summary{}, errors.New("nobody listens")
	})
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", r.url+"/v1/sync", bytes.NewReader(wireBody(t, frames(t, opening()))))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+d.Token(r.now()))
	req.Header.Set("Content-Type", wire.ContentTypeProtobuf)
	req.Header.Set("Content-Encoding", "zstd")
	go func() { <-started; cancel() }()
	r.send(&http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}, req)
	if err := <-ended; err != nil {
		t.Errorf("the engine was interrupted: %v", err)
	}
}
