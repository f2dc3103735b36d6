package sambang_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// network answers an enrolment, and to everything else what a test says.
type network struct {
	mu     sync.Mutex
	times  []time.Time
	answer func(n int) (*http.Response, error)
}

func reply(status int, header map[string]string, body string) *http.Response {
	h := http.Header{}
	for k, v := range header {
		h.Set(k, v)
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	if r.URL.Path == "/v1/enrol" {
		return reply(http.StatusCreated, nil, `{"device":"dev-x","server_id":"srv-x","receipt_keys":[{"id":"rk-x","algorithm":"EdDSA","public_key":"AAAA"}],"officer":"budi"}`), nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.times = append(n.times, time.Now())
	return n.answer(len(n.times))
}

func (n *network) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.times)
}

const testCode = "sambang:1?u=http%3A%2F%2F127.0.0.1%3A1&p=&e=a&s=AAECAwQFBgcICQoLDA0ODw"

// running starts Run with pauses of at most last after failures.
func running(t *testing.T, n *network, last time.Duration) (r *sambang.Replica, errs chan error, stop func() error) {
	t.Helper()
	r = open(t, t.TempDir(), func(o *sambang.Options) { o.Transport = n })
	if err := r.Enrol(t.Context(), testCode, "x"); err != nil {
		t.Fatal(err)
	}
	r.SetPace(time.Millisecond, time.Hour, last, last)
	ctx, cancel := context.WithCancel(t.Context())
	errs = make(chan error, 1)
	go func() { errs <- r.Run(ctx) }()
	return r, errs, func() error {
		cancel()
		return <-errs
	}
}

// eventually waits for what another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

func TestRunTriesAgainWhileThereIsNoNetwork(t *testing.T) {
	n := &network{answer: func(int) (*http.Response, error) { return nil, errors.New("no route") }}
	r, _, stop := running(t, n, 20*time.Millisecond)
	eventually(t, "no attempts", func() bool { return n.count() > 5 && r.Status().Offline })
	if err := stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestAHintEndsALongPause(t *testing.T) {
	n := &network{answer: func(int) (*http.Response, error) { return nil, errors.New("no route") }}
	r, _, stop := running(t, n, 100*time.Hour)
	for range 3 {
		before := n.count()
		eventually(t, "a hint did not wake it", func() bool { r.Hint(); return n.count() > before })
	}
	_ = stop()
}

func TestRunWaitsAsLongAsTheServerAsks(t *testing.T) {
	n := &network{answer: func(i int) (*http.Response, error) {
		after := "1"
		if i > 1 {
			after = "3600"
		}
		return reply(http.StatusTooManyRequests, map[string]string{"Retry-After": after}, ""), nil
	}}
	r, _, stop := running(t, n, 20*time.Millisecond)
	eventually(t, "no attempt", func() bool { return n.count() == 1 })
	eventually(t, "no attempt after the pause", func() bool { r.Hint(); return n.count() == 2 })
	if gap := n.times[1].Sub(n.times[0]); gap < time.Second {
		t.Errorf("a hint cut the server's pause to %v", gap)
	}
	_ = stop()
}

func TestRunEndsWhenNoWaitingHelps(t *testing.T) {
	n := &network{answer: func(int) (*http.Response, error) {
		return reply(http.StatusForbidden, map[string]string{"Content-Type": "application/problem+json"}, `{"code":"device_revoked","status":403}`), nil
	}}
	r, errs, _ := running(t, n, 20*time.Millisecond)
	if err := <-errs; !errors.Is(err, syncproto.CodeDeviceRevoked) {
		t.Errorf("ended with %v", err)
	}
	if !r.Status().Revoked {
		t.Error("the status does not say so")
	}
}

func TestAPortalInBetweenIsNotTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		resp *http.Response
		want syncproto.Code
	}{
		"a page instead of frames":  {reply(http.StatusOK, map[string]string{"Content-Type": "text/html"}, "<html>"), syncproto.CodeBadResponse},
		"a redirect":                {reply(http.StatusFound, map[string]string{"Location": "http://portal/"}, ""), syncproto.CodeBadResponse},
		"a balancer without server": {reply(http.StatusBadGateway, nil, "bad gateway"), syncproto.CodeUnavailable},
		"a proxy's size limit":      {reply(http.StatusRequestEntityTooLarge, nil, ""), syncproto.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			n := &network{answer: func(int) (*http.Response, error) { return c.resp, nil }}
			r := open(t, t.TempDir(), func(o *sambang.Options) { o.Transport = n })
			if err := r.Enrol(t.Context(), testCode, "x"); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Sync(t.Context()); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestAUsedTokenIsDrawnAnewOnce(t *testing.T) {
	tokens := map[string]bool{}
	n := &network{}
	n.answer = func(int) (*http.Response, error) {
		return reply(http.StatusUnauthorized, nil, `{"code":"token_replayed","status":401}`), nil
	}
	r := open(t, t.TempDir(), func(o *sambang.Options) { o.Transport = recorder{n, tokens} })
	if err := r.Enrol(t.Context(), testCode, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Sync(t.Context()); !errors.Is(err, syncproto.CodeTokenReplayed) {
		t.Errorf("got %v", err)
	}
	if n.count() != 2 || len(tokens) != 2 {
		t.Errorf("%d attempts with %d tokens", n.count(), len(tokens))
	}
}

type recorder struct {
	next   http.RoundTripper
	tokens map[string]bool
}

func (r recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	if a := req.Header.Get("Authorization"); a != "" {
		r.tokens[a] = true
	}
	return r.next.RoundTrip(req)
}
