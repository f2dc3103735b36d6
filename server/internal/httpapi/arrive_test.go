package httpapi_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sambang-id/sambang/server/internal/httpapi"
	"github.com/sambang-id/sambang/server/internal/store"
	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/wire"
)

// large is a batch whose frame weighs a few MiB.
func large() *wire.RequestFrame {
	return &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: &wire.Batch{Tables: &wire.Tables{Paths: []string{strings.Repeat("x", 900_000)}}}}}
}

// held makes every exchange wait; running hears of each that begins.
func (r *rig) held() (running chan struct{}, release func()) {
	hold, running := make(chan struct{}), make(chan struct{}, 100)
	r.play(func(ctx context.Context, dev store.Device, now int64, open *wire.Open, next func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		running <- struct{}{}
		<-hold
		return echoExchange(ctx, dev, now, open, next, send)
	})
	return running, sync.OnceFunc(func() { close(hold) })
}

func TestBodiesThatNeverEndTakeNoPlaceFromOthers(t *testing.T) {
	r := newRig(t, httpapi.Limits{Exchanges: 1, ExchangeWait: 50 * time.Millisecond})
	slow, honest := r.enrol(), r.enrol()
	head := frames(t, opening(), batch())
	for range 3 {
		r.dial(r.head(slow.Token(r.now()), len(head)+1000) + string(head))
	}
	for range 5 {
		if a := r.sync(honest, bytes.NewReader(wireBody(t, head))); a.status != http.StatusOK {
			t.Fatalf("an honest device gets %d %s", a.status, a.body)
		}
	}
}

func TestADeviceHasAFewExchangesAtOnceAndOthersAreNotTouched(t *testing.T) {
	r := newRig(t, httpapi.Limits{DeviceExchanges: 2, BodyGrace: time.Second})
	many, honest := r.enrol(), r.enrol()
	running, release := r.held()
	defer release()
	body := wireBody(t, frames(t, opening()))
	var wait sync.WaitGroup
	for range 2 {
		wait.Go(func() {
			if a := r.sync(many, bytes.NewReader(body)); a.status != http.StatusOK {
				t.Errorf("one of the two: %d %s", a.status, a.body)
			}
		})
	}
	<-running
	<-running
	a := r.sync(many, bytes.NewReader(body))
	r.want(a, syncproto.CodeRateLimited)
	if a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	release()
	wait.Wait()
	for _, d := range []struct {
		name string
		a    answer
	}{{"another device", r.sync(honest, bytes.NewReader(body))}, {"afterwards", r.sync(many, bytes.NewReader(body))}} {
		if d.a.status != http.StatusOK {
			t.Errorf("%s: %d %s", d.name, d.a.status, d.a.body)
		}
	}
}

func TestExchangesTakeTurnsWithTheirMemory(t *testing.T) {
	r := newRig(t, httpapi.Limits{ExchangeMemory: 1 << 20, ExchangeWait: 50 * time.Millisecond})
	running, release := r.held()
	defer release()
	heavy, other := wireBody(t, frames(t, opening(), large())), wireBody(t, frames(t, opening()))
	first, second := r.enrol(), r.enrol()
	var wait sync.WaitGroup
	wait.Go(func() {
		if a := r.sync(first, bytes.NewReader(heavy)); a.status != http.StatusOK {
			t.Errorf("one that needs more than there is, alone: %d %s", a.status, a.body)
		}
	})
	<-running
	r.want(r.sync(second, bytes.NewReader(heavy)), syncproto.CodeRateLimited)
	r.want(r.sync(second, bytes.NewReader(other)), syncproto.CodeRateLimited)
	release()
	wait.Wait()
	if a := r.sync(second, bytes.NewReader(heavy)); a.status != http.StatusOK {
		t.Errorf("when it is its turn: %d %s", a.status, a.body)
	}
}

func TestBodiesBeyondTheMemoryForThemAreToldToWaitAndSmallOnesPass(t *testing.T) {
	r := newRig(t, httpapi.Limits{ArrivingMemory: 64 << 10, DeviceExchanges: 8})
	d := r.enrol()
	filler := frames(t, opening(), large())
	for range 2 { // each holds the first 32 KiB for nothing and 32 more
		c := r.dial(r.head(d.Token(r.now()), len(filler)))
		if _, err := c.Write(filler[:64<<10]); err != nil {
			t.Fatal(err)
		}
	}
	small := frames(t, opening(), batch())
	for range 50 { // until both have arrived that far
		a := r.do("POST", "/v1/sync", bytes.NewReader(filler), "Authorization", "Bearer "+d.Token(r.now()), "Content-Type", wire.ContentTypeProtobuf)
		if s := r.sync(d, bytes.NewReader(wireBody(t, small))); s.status != http.StatusOK {
			t.Fatalf("a small one: %d %s", s.status, s.body)
		}
		if a.code == syncproto.CodeRateLimited {
			return
		}
	}
	t.Error("bodies arrive beyond the memory for them")
}

func TestWhatArrivedBeforeACutIsWorkedOn(t *testing.T) {
	r := newRig(t, quick())
	d := r.enrol()
	got := make(chan int, 1)
	r.play(func(_ context.Context, _ store.Device, _ int64, _ *wire.Open, next func() (*wire.Batch, error), _ func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		for n := 0; ; n++ {
			if _, err := next(); err != nil {
				if errors.Is(err, io.EOF) {
					t.Error("the cut body ends well")
				}
				got <- n
				return httpapi.Summary{}, err
			}
		}
	})
	head := frames(t, opening(), batch(), batch())
	c := r.dial(r.head(d.Token(r.now()), len(head)+1000) + string(head))
	_ = c.Close()
	select {
	case n := <-got:
		if n != 2 {
			t.Errorf("%d of the 2 batches that arrived", n)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is worked on")
	}
}

func TestBodiesBeyondALimitAreRefusedBeforeTheyReachTheEngine(t *testing.T) {
	r := newRig(t, httpapi.Limits{})
	d := r.enrol()
	r.play(func(context.Context, store.Device, int64, *wire.Open, func() (*wire.Batch, error), func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		t.Error("it reached the engine")
		return httpapi.Summary{}, nil
	})
	many := []*wire.RequestFrame{opening()}
	for range syncproto.MaxBatches + 1 {
		many = append(many, batch())
	}
	items := &wire.Batch{}
	for range syncproto.MaxBatchItems + 1 {
		items.Items = append(items.Items, &wire.Item{})
	}
	for name, body := range map[string][]byte{
		"batches": frames(t, many...),
		"items":   frames(t, opening(), &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: items}}),
	} {
		t.Run(name, func(t *testing.T) { r.want(r.sync(d, bytes.NewReader(wireBody(t, body))), syncproto.CodeTooMany) })
	}
}

func TestDevicesThatDoNotReadTakeNoPlaceFromOthers(t *testing.T) {
	r := newRig(t, httpapi.Limits{Exchanges: 1, Replies: 1, ExchangeWait: 200 * time.Millisecond, ReadStall: 30 * time.Second})
	slow, honest := r.enrol(), r.enrol()
	sending := make(chan struct{}, 100)
	r.play(func(ctx context.Context, dev store.Device, now int64, open *wire.Open, _ func() (*wire.Batch, error), send func(*wire.ResponseFrame) error) (httpapi.Summary, error) {
		err := send(begin(open.GetNonce(), now))
		for i := 0; err == nil && dev.ID == slow.ID && i < 100; i++ {
			if err = send(feed(500_000)); i == 0 {
				sending <- struct{}{}
			}
		}
		return httpapi.Summary{}, errors.Join(err, send(end()))
	})
	open := frames(t, opening())
	r.dial(r.head(slow.Token(r.now()), len(open)) + string(open)) // and never reads
	<-sending
	if a := r.sync(honest, bytes.NewReader(wireBody(t, open))); a.status != http.StatusOK {
		t.Errorf("a small reply: %d %s", a.status, a.body)
	}
	r.want(r.sync(slow, bytes.NewReader(wireBody(t, open))), syncproto.CodeRateLimited) // nothing of it was sent, so it can be told
}

func TestBodiesBeyondALimitCostTheirDeviceMoreThanOthers(t *testing.T) {
	r := newRig(t, httpapi.Limits{PerDevice: 3}) // a burst of 30
	bomber, honest := r.enrol(), r.enrol()
	body := []*wire.RequestFrame{opening()}
	for range syncproto.MaxBatches + 1 {
		body = append(body, batch())
	}
	many, one := wireBody(t, frames(t, body...)), wireBody(t, frames(t, opening()))
	refused := 0
	for range 10 {
		if r.sync(bomber, bytes.NewReader(many)).code == syncproto.CodeTooMany {
			refused++
		}
	}
	if refused < 1 || refused > 4 {
		t.Errorf("%d of 10 bombs were looked at", refused)
	}
	for range 10 {
		if a := r.sync(honest, bytes.NewReader(one)); a.status != http.StatusOK {
			t.Fatalf("another device: %d %s", a.status, a.body)
		}
	}
}
