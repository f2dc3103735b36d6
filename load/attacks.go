package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sambang-id/sambang/syncproto/wire"
)

// attackRegion is where the attackers have a right to write.
const attackRegion = "35.24.13"

// attack is one kind of hostility. run goes on until ctx ends, or until there is nothing left to hold.
type attack struct {
	name string
	cut  time.Duration // by when each connection must have been ended by the server; 0: it is no slow one
	run  func(ctx context.Context, t target, o *outcome)
}

// target is what is attacked, and with whose keys.
type target struct {
	site    *site
	devices []*raw
	size    size
}

// size is how large an attack is.
type size struct {
	slow     int // connections at once
	parallel int // requests at once
	window   time.Duration
	rest     time.Duration // between two requests of one attacker
}

// outcome is what became of an attack. It is safe for concurrent use.
type outcome struct {
	connections atomic.Int64
	codes       tally // status and code, or how it ended
	cuts        samples
}

// refused tells the most frequent answers.
func (o *outcome) refused() string {
	var parts []string
	for _, name := range o.codes.most() {
		parts = append(parts, name+" x"+strconv.Itoa(o.codes.get(name)))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// attacks are all kinds, each alone.
func attacks() ([]attack, error) {
	zero, err := zeros()
	if err != nil {
		return nil, err
	}
	inflate, err := inflating()
	if err != nil {
		return nil, err
	}
	kinds := 0
	body := func(name string, shots ...shot) attack {
		first := kinds // so that each kind begins with other devices
		kinds++
		return attack{name: name, run: func(ctx context.Context, t target, o *outcome) { fire(ctx, t, first*t.size.parallel, shots, o) }}
	}
	claimed := syncShot("", frames(opening()))
	claimed.declared = 1<<63 - 1
	headers := shot{path: "/v1/time", header: map[string]string{"X-A": strings.Repeat("a", 64<<10)}}
	return []attack{
		{"slow headers", 10 * time.Second, func(ctx context.Context, t target, o *outcome) {
			hold(ctx, t.site.address, t.size.slow, slowHeader, o)
		}},
		{"slow bodies", 20 * time.Second, func(ctx context.Context, t target, o *outcome) {
			hold(ctx, t.site.address, t.size.slow, slowBody(t.devices), o)
		}},
		body("zstd bomb, 2 GiB of zeros", syncShot(wire.EncodingZstd, zero)),
		body("zstd bomb, 2 GiB of frames", syncShot(wire.EncodingZstd, inflate)),
		body("a batch of 2^63 bytes", syncShot("", huge()), claimed),
		body("20,000 tiny frames", syncShot("", tiny(20_000))),
		body("a frame of 196,000 empty items", syncShot("", crowded())),
		body("a vector of 10,000 entries", syncShot("", longVector(10_000))),
		body("headers of 64 KB", headers),
		body("JSON 200 deep", deep()...),
	}, nil
}

// together is all of them at once.
func together(all []attack) attack {
	return attack{name: "all at once", cut: 20 * time.Second, run: func(ctx context.Context, t target, o *outcome) {
		window, end := context.WithTimeout(ctx, t.size.window)
		defer end()
		var wg sync.WaitGroup
		for _, a := range all {
			wg.Go(func() {
				if a.cut > 0 {
					a.run(ctx, t, o)
				} else {
					a.run(window, t, o)
				}
			})
		}
		wg.Wait()
	}}
}

// fire sends shots from many callers until ctx ends. first is the first of their devices.
func fire(ctx context.Context, t target, first int, shots []shot, o *outcome) {
	var wg sync.WaitGroup
	for i := range t.size.parallel {
		wg.Go(func() {
			client := clientFrom(loopback(attacker, first+i))
			defer client.CloseIdleConnections()
			device := t.devices[(first+i)%len(t.devices)]
			for n := i; ctx.Err() == nil; n++ {
				o.connections.Add(1)
				code, err := shoot(ctx, client, t.site, device, shots[n%len(shots)])
				switch {
				case ctx.Err() != nil:
					return
				case err != nil:
					code = "cut"
				}
				o.codes.add(code)
				select {
				case <-ctx.Done():
				case <-time.After(t.size.rest):
				}
			}
		})
	}
	wg.Wait()
}

// shoot sends one hostile request and tells what the server thought of it.
func shoot(ctx context.Context, client *http.Client, s *site, device *raw, x shot) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url()+x.path, bytes.NewReader(x.body))
	if err != nil {
		return "", err
	}
	if x.declared != 0 {
		req.ContentLength = x.declared
		req.GetBody = nil
	}
	if x.path == "/v1/sync" {
		req.Header.Set("Authorization", "Bearer "+device.token())
	}
	for k, v := range x.header {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	reply, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		var problem struct{ Code string }
		_ = json.Unmarshal(reply, &problem) // a refusal without a code is told by its status
		return strings.TrimSpace(fmt.Sprintf("%d %s", resp.StatusCode, problem.Code)), nil
	}
	return "200 " + verdict(reply, resp.Header.Get("Content-Type")), nil
}

// verdict reads what became of the items of an exchange that was accepted as such.
func verdict(reply []byte, kind string) string {
	format, ok := wire.FormatOf(kind)
	if !ok {
		return "of another kind"
	}
	f, err := wire.NewFrameReader(bytes.NewReader(reply), format).Response()
	if err != nil {
		return "unreadable"
	}
	for _, x := range f.GetBegin().GetOutcomes() {
		return strings.ToLower(strings.TrimPrefix(x.GetResult().String(), "RESULT_")) + " " + x.GetCode()
	}
	return "taken"
}
