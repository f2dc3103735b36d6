package httpapi

import (
	"container/list"
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
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
	// Exchanges bounds those that run at once, from when their body has arrived.
	// Default: 64.
	Exchanges int
	// ExchangeMemory bounds, in bytes, what they take at once by their weight.
	// Who needs more than there is runs alone. Default: 64 MiB.
	ExchangeMemory int64
	// Arriving bounds the bodies that arrive at once, ArrivingMemory their
	// bytes beyond the first 32 KiB of each. Default: 1,024 and 48 MiB.
	Arriving       int
	ArrivingMemory int64
	// Replies bounds the replies above 64 KiB that are sent at once; each has a
	// compressor, for as long as the slowest device takes. Default: 32.
	Replies int
	// DeviceExchanges bounds those of one device: one, and some that a broken
	// link has left behind. Default: 4. Negative: no limit, for simulations.
	DeviceExchanges int
	// ExchangeWait is how long one more waits for its turn before it is told to
	// come again, at each of the gates. Default: 2 s.
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
	orInt(&l.Arriving, 1024)
	orInt(&l.Replies, 32)
	orInt(&l.DeviceExchanges, 4)
	if l.DeviceExchanges < 0 {
		l.DeviceExchanges = math.MaxInt
	}
	if l.ExchangeMemory == 0 {
		l.ExchangeMemory = 64 << 20
	}
	if l.ArrivingMemory == 0 {
		l.ArrivingMemory = 48 << 20
	}
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

	perDevice                *crowd
	arriving                 *gate // bodies
	bytes                    *gate // of them
	smallScales, largeScales *gate // bodies that are weighed
	exchanges                *gate // that run
	memory                   *gate // bytes of them
	replies                  *gate
	wait                     time.Duration
}

// How many bodies are weighed at once: it is work of the processor alone, and
// each takes a decompressor, of up to the largest window.
const (
	smallScales = 3
	largeScales = 1
)

func newGates(l Limits) gates {
	return gates{
		device:      newLimiter(l.PerDevice, int(10*l.PerDevice), l.Tracked),
		address:     newLimiter(l.PerAddress, int(10*l.PerAddress), l.Tracked),
		enrol:       newLimiter(l.EnrolPerAddress, 30, l.Tracked),
		perDevice:   newCrowd(l.DeviceExchanges),
		arriving:    newGate(int64(l.Arriving)),
		bytes:       newGate(l.ArrivingMemory),
		smallScales: newGate(smallScales), largeScales: newGate(largeScales),
		exchanges: newGate(int64(l.Exchanges)),
		memory:    newGate(l.ExchangeMemory),
		replies:   newGate(int64(l.Replies)),
		wait:      l.ExchangeWait,
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

// charge takes n more from a key that was let in, even if it has less: then it
// has to wait longer.
func (l *limiter) charge(key string, now time.Time, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e, ok := l.byKey[key]; ok {
		e.Value.(*bucket).ReserveN(now, min(n, l.burst)) //nolint:forcetypeassert // the list holds nothing else
	}
}

// overLimitCost is how many requests a body beyond a limit counts for, beside
// itself: it may have cost the work of many, and honest devices send none.
const overLimitCost = 20

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
