package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto/pack"
)

// phone is one officer's device: a replica with its own cache file, a clock
// that somebody may have set by hand, and a link that comes and goes.
type phone struct {
	officer officer
	replica *sambang.Replica
	skew    atomic.Int64 // what the clock is ahead, in nanoseconds
	link    *link
}

func openPhone(dir string, o officer, clock func() time.Time) (*phone, error) {
	key, err := dataKey(filepath.Join(dir, "keystore"))
	if err != nil {
		return nil, err
	}
	p := &phone{officer: o, link: &link{}}
	p.replica, err = sambang.Open(dir, sambang.Options{
		Key: key, Pack: pack.Timpora(), App: "timpora-example/1", Transport: p.link,
		Clock: func() time.Time { return clock().Add(time.Duration(p.skew.Load())) },
	})
	return p, err
}

// dataKey stands for the phone's keystore: a key that outlives the process.
func dataKey(path string) ([]byte, error) {
	key, err := os.ReadFile(path)
	if err == nil || !errors.Is(err, os.ErrNotExist) {
		return key, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	key = make([]byte, sambang.KeySize)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	return key, os.WriteFile(path, key, 0o600)
}

// link is a village's network: there or not, and sometimes the reply is lost
// after the server has done its work.
type link struct {
	cut         atomic.Bool
	loseReplies atomic.Int32
}

var errNoSignal = errors.New("no signal")

// RoundTrip implements http.RoundTripper.
func (l *link) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.cut.Load() {
		return nil, errNoSignal
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && l.loseReplies.Load() > 0 && r.URL.Path == "/v1/sync" {
		l.loseReplies.Add(-1)
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		return nil, errNoSignal
	}
	return resp, err
}

// same reports whether two field values are equal as JSON.
func same(a, b any) bool {
	var x, y any
	ja, errA := json.Marshal(a)
	jb, errB := json.Marshal(b)
	if errA != nil || errB != nil || json.Unmarshal(ja, &x) != nil || json.Unmarshal(jb, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

func str(v any) string {
	s, _ := v.(string)
	return s
}
