package httpapi

import (
	"container/list"
	"context"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sambang-id/sambang/syncproto"
)

// Limits bound what callers may use. Zero fields have their defaults.
type Limits struct {
	// HeaderTimeout is how long a request's headers may take. Default: 5 s.
	HeaderTimeout time.Duration
	// HeaderBytes bounds a request's headers. Default: 16 KiB.
	HeaderBytes int
	// IdleTimeout is how long an idle connection is kept. Default: 75 s.
	IdleTimeout time.Duration
	// BodyGrace is how long a body may take before MinRate holds. Default:
	// 15 s.
	BodyGrace time.Duration
	// MinRate is the least bytes a second that a body must come with. Default:
	// 1024; a weak 2G link gives 4,000.
	MinRate int
	// ReadStall and WriteStall are how long one read, or the write of 32 KiB,
	// may wait. Default: 15 s and 60 s.
	ReadStall, WriteStall time.Duration
	// Exchanges bounds those that run at once; each holds a few frames in
	// memory. Default: 64.
	Exchanges int
	// ExchangeWait is how long one more waits for its turn before it is told to
	// come again. Default: 2 s.
	ExchangeWait time.Duration
	// PerDevice and PerAddress bound requests a second, with a burst of ten
	// times as many. Default: 20 and 200; many phones share one address.
	// Negative: no limit, for simulations.
	PerDevice, PerAddress float64
	// EnrolPerAddress bounds enrolments a second from an address, with a burst
	// of 30. Default: 0.5. Negative: no limit.
	EnrolPerAddress float64
	// Tracked bounds how many devices and addresses are told apart. Default:
	// 20,000 of each; the one not seen for longest is forgotten.
	Tracked int
}

func (l Limits) withDefaults() Limits {
	orDuration(&l.HeaderTimeout, 5*time.Second)
	orDuration(&l.IdleTimeout, 75*time.Second)
	orDuration(&l.BodyGrace, 15*time.Second)
	orDuration(&l.ReadStall, 15*time.Second)
	orDuration(&l.WriteStall, time.Minute)
	orDuration(&l.ExchangeWait, 2*time.Second)
	orInt(&l.HeaderBytes, 16<<10)
	orInt(&l.MinRate, 1024)
	orInt(&l.Exchanges, 64)
	orInt(&l.Tracked, 20_000)
	orFloat(&l.PerDevice, 20)
	orFloat(&l.PerAddress, 200)
	orFloat(&l.EnrolPerAddress, 0.5)
	return l
}

func orDuration(v *time.Duration, or time.Duration) {
	if *v == 0 {
		*v = or
	}
}

func orInt(v *int, or int) {
	if *v == 0 {
		*v = or
	}
}

func orFloat(v *float64, or float64) {
	if *v == 0 {
		*v = or
	}
}

// gates are the limits at work.
type gates struct {
	device, address, enrol *limiter
	exchanges              chan struct{}
	wait                   time.Duration
}

func newGates(l Limits) gates {
	return gates{
		device:    newLimiter(l.PerDevice, int(10*l.PerDevice), l.Tracked),
		address:   newLimiter(l.PerAddress, int(10*l.PerAddress), l.Tracked),
		enrol:     newLimiter(l.EnrolPerAddress, 30, l.Tracked),
		exchanges: make(chan struct{}, l.Exchanges),
		wait:      l.ExchangeWait,
	}
}

// enter takes a place among the exchanges that run at once; leave gives it
// back.
func (g *gates) enter(ctx context.Context) (leave func(), err error) {
	leave = func() { <-g.exchanges }
	select {
	case g.exchanges <- struct{}{}:
		return leave, nil
	default:
	}
	t := time.NewTimer(g.wait)
	defer t.Stop()
	select {
	case g.exchanges <- struct{}{}:
		return leave, nil
	case <-t.C:
		return nil, syncproto.Errorf(syncproto.CodeRateLimited, "the server is busy with other devices")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// limiter limits a rate per key, in bounded memory: the key that was not seen
// for longest is forgotten.
type limiter struct {
	mu    sync.Mutex
	rate  rate.Limit
	burst int
	most  int
	byKey map[string]*list.Element
	order *list.List // most recent first
}

type bucket struct {
	key string
	*rate.Limiter
}

func newLimiter(perSecond float64, burst, most int) *limiter {
	limit := rate.Limit(perSecond)
	if perSecond < 0 {
		limit = rate.Inf
	}
	return &limiter{rate: limit, burst: max(burst, 1), most: most, byKey: map[string]*list.Element{}, order: list.New()}
}

func (l *limiter) allow(key string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.byKey[key]
	if ok {
		l.order.MoveToFront(e)
	} else {
		e = l.order.PushFront(&bucket{key, rate.NewLimiter(l.rate, l.burst)})
		l.byKey[key] = e
		if l.order.Len() > l.most {
			last := l.order.Back()
			delete(l.byKey, l.order.Remove(last).(*bucket).key) //nolint:forcetypeassert // the list holds nothing else
		}
	}
	return e.Value.(*bucket).AllowN(now, 1) //nolint:forcetypeassert // as above
}

// ipKey is the address, of IPv6 the /64: that is what one caller has.
func ipKey(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	if a = a.Unmap(); a.Is6() {
		p, err := a.WithZone("").Prefix(64)
		if err == nil {
			return p.Addr().String()
		}
	}
	return a.String()
}
