package httpapi

import (
	"bytes"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sambang-id/sambang/syncproto/wire"
)

func TestAGateServesInOrderAndWhoGivesUpMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(10)
		if n, ok := g.take(t.Context(), 100, time.Second); !ok || n != 10 {
			t.Fatalf("who needs more than there is got %d, %t", n, ok)
		}
		order := make(chan string, 3)
		ask := func(name string, n int64, patience time.Duration) {
			go func() {
				if _, ok := g.take(t.Context(), n, patience); ok {
					order <- name
				} else {
					order <- "no " + name
				}
			}()
			synctest.Wait()
		}
		ask("much", 10, time.Second)
		ask("little", 1, time.Minute)
		g.give(5)
		synctest.Wait()
		select {
		case who := <-order:
			t.Errorf("%s was served before its turn", who)
		default:
		}
		if a, b := <-order, <-order; a != "no much" || b != "little" {
			t.Errorf("first %s, then %s", a, b)
		}
		if g.taken != 6 {
			t.Errorf("%d taken, want 6", g.taken)
		}
	})
}

func TestAGateNeverGivesMoreThanItHas(t *testing.T) {
	const seed = 11
	g := newGate(100)
	var held atomic.Int64
	var wg sync.WaitGroup
	for worker := range 16 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(worker)))
			for range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if rng.IntN(4) == 0 {
					cancel()
				}
				n, ok := g.take(ctx, int64(1+rng.IntN(60)), time.Duration(rng.IntN(300))*time.Microsecond)
				cancel()
				if !ok {
					continue
				}
				if now := held.Add(n); now > 100 {
					t.Errorf("seed %d: %d are held of 100", seed, now)
				}
				held.Add(-n)
				g.give(n)
			}
		})
	}
	wg.Wait()
	if g.taken != 0 || g.waiting.Len() != 0 {
		t.Errorf("%d taken and %d waiting in the end", g.taken, g.waiting.Len())
	}
}

func TestACrowdForgetsWhoHasLeft(t *testing.T) {
	c := newCrowd(2)
	for i, want := range []bool{true, true, false} {
		if c.join("a") != want {
			t.Errorf("number %d of two", i+1)
		}
	}
	if !c.join("b") {
		t.Error("another one may not come")
	}
	c.leave("a")
	if !c.join("a") {
		t.Error("one left, and the next may not come")
	}
	for range 2 {
		c.leave("a")
	}
	c.leave("b")
	if len(c.byKey) != 0 {
		t.Errorf("%d keys are kept", len(c.byKey))
	}
}

func TestSmallBodiesAreNotWeighedBehindLargeOnes(t *testing.T) {
	g := newGates(Limits{ExchangeWait: time.Millisecond}.withDefaults())
	body := func(size int) *arrived {
		var b bytes.Buffer
		frame := &wire.RequestFrame{Frame: &wire.RequestFrame_Batch{Batch: &wire.Batch{Tables: &wire.Tables{Paths: []string{string(make([]byte, size))}}}}}
		if err := wire.NewFrameWriter(&b, wire.Protobuf).Request(frame); err != nil {
			t.Fatal(err)
		}
		a, err := g.arrive(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	g.largeScales.take(t.Context(), largeScales, 0) // a large one is being weighed, and takes its time
	small, large := body(100), body(smallBody)
	if w, err := g.weigh(t.Context(), small, "", wire.Protobuf); err != nil || w < leastWeight || !small.decoded {
		t.Errorf("the small one: %d, %v, decoded %t", w, err, small.decoded)
	}
	if _, err := g.weigh(t.Context(), large, "", wire.Protobuf); err == nil {
		t.Error("a large one was weighed beside the large one")
	}
	g.largeScales.give(largeScales)
	if w, err := g.weigh(t.Context(), large, "", wire.Protobuf); err != nil || w < merging*smallBody || large.decoded {
		t.Errorf("the large one: %d, %v, decoded %t", w, err, large.decoded)
	}
	small.free()
	large.free()
	if g.bytes.taken != 0 {
		t.Errorf("%d bytes are still taken", g.bytes.taken)
	}
}
