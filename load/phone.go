package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sambang "github.com/sambang-id/sambang/client-sdk"
	"github.com/sambang-id/sambang/syncproto"
)

// phone is a device of the fleet: a real replica whose requests are timed.
type phone struct {
	replica   *sambang.Replica
	transport *http.Transport
	watched   *watched
}

// deviceTotals gather what became of all phones.
type deviceTotals struct {
	pushes    samples // from the request to the first bytes of the reply, which hold the receipt
	whole     samples // from the reconnect until nothing waits
	done      atomic.Int64
	limited   atomic.Int64
	impatient atomic.Int64
	errors    tally
}

// district is where a device works.
func district(n int) string { return fmt.Sprintf("35.%02d.%02d", 1+n/99, 1+n%99) }

// prepareFleet enrols all devices and writes what they will bring. It returns those that it opened also with an
// error.
func prepareFleet(ctx context.Context, s *site, o pushOptions, dir string) ([]*phone, error) {
	phones := make([]*phone, o.devices)
	var wg sync.WaitGroup
	next := make(chan int)
	failed := make([]error, o.devices)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				phones[i], failed[i] = preparePhone(ctx, s, i, o, dir)
			}
		})
	}
	for i := range o.devices {
		next <- i
	}
	close(next)
	wg.Wait()
	opened := phones[:0]
	for _, p := range phones {
		if p != nil {
			opened = append(opened, p)
		}
	}
	return opened, errors.Join(failed...)
}

func preparePhone(ctx context.Context, s *site, i int, o pushOptions, dir string) (*phone, error) {
	t := transportFrom(loopback(fleet, i))
	w := &watched{next: t}
	name := fmt.Sprintf("phone-%d", i)
	r, err := openReplica(filepath.Join(dir, name), sambang.Options{Transport: w})
	if err != nil {
		return nil, err
	}
	p := &phone{r, t, w}
	region := district(i / o.perDistrict)
	code, err := s.order("enrol", name, region)
	if err == nil {
		err = r.Enrol(ctx, code, name)
	}
	if err != nil {
		return p, fmt.Errorf("enrol %s: %w", name, err)
	}
	t.CloseIdleConnections() // it was away
	for n := range o.changes {
		if _, err := r.Create("site", region, form(i, n)); err != nil {
			return p, fmt.Errorf("%s writes: %w", name, err)
		}
	}
	return p, nil
}

// form is what an officer fills in.
func form(device, n int) sambang.Fields {
	return sambang.Fields{
		"name": fmt.Sprintf("Losmen Rekaan %d-%d", device, n), "address": fmt.Sprintf("Jalan Contoh No. %d, RT 0%d RW 0%d", n, n%9, device%9),
		"rooms": n % 40, "phone": fmt.Sprintf("0800-%04d-%04d", device, n), "visited_on": fmt.Sprintf("2026-%02d-%02d", 1+n%12, 1+n%28),
		"outcome": []string{"in order", "to be followed up", "closed"}[n%3], "guests": []any{n % 7, n % 5, device % 3},
		"note": "Pemilik hadir, buku tamu lengkap dan sesuai. Contoh untuk pengukuran beban, bukan data seseorang.",
	}
}

// reconnect waits, and then syncs as an app does until nothing waits.
func (p *phone) reconnect(ctx context.Context, after time.Duration, totals *deviceTotals) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(after):
	}
	p.watched.begin(totals)
	ctx, done := context.WithCancel(ctx)
	defer done()
	begun := time.Now()
	err := p.replica.Run(ctx, sambang.WithReport(func(rep sambang.Report, err error) {
		switch {
		case err == nil && rep.Waiting == 0:
			totals.whole.add(time.Since(begun))
			totals.done.Add(1)
			done()
		case err == nil || errors.Is(err, syncproto.CodeRateLimited):
		default:
			totals.errors.add(inShort(err))
		}
	}))
	if err != nil && !errors.Is(err, context.Canceled) {
		totals.errors.add(inShort(err))
	}
}

// inShort is an error without what differs from device to device.
func inShort(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		text = text[i+2:]
	}
	return string(syncproto.CodeOf(err)) + ": " + text
}

// watched is a transport that times a device's pushes, and sees to it that the device is as patient as the
// server asks.
type watched struct {
	next http.RoundTripper

	mu     sync.Mutex
	totals *deviceTotals // nil before the reconnect
	pushed bool
	until  time.Time // when the device may come again
}

func (w *watched) begin(totals *deviceTotals) {
	w.mu.Lock()
	w.totals = totals
	w.mu.Unlock()
}

// RoundTrip implements [http.RoundTripper].
func (w *watched) RoundTrip(req *http.Request) (*http.Response, error) {
	begun := time.Now()
	resp, err := w.next.RoundTrip(req)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.totals == nil || err != nil {
		return resp, err
	}
	if begun.Before(w.until) {
		w.totals.impatient.Add(1)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if !w.pushed {
			w.totals.pushes.add(time.Since(begun))
		}
		w.pushed = true
	case http.StatusTooManyRequests:
		w.totals.limited.Add(1)
		seconds, err := strconv.Atoi(resp.Header.Get("Retry-After"))
		if err != nil {
			w.totals.errors.add("429 without Retry-After")
		}
		w.until = time.Now().Add(time.Duration(seconds) * time.Second)
	}
	return resp, nil
}
