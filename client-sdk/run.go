package sambang

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"github.com/sambang-id/sambang/syncproto"
)

// pace holds the pauses of [Replica.Run].
type pace struct {
	// gather is how long a local write waits for more of them.
	gather time.Duration
	// idle is how long a replica with nothing to send waits before it asks for
	// news.
	idle time.Duration
	// After a failure: exponential backoff with full jitter (AWS, 2015), so
	// that a district's phones don't come back all at once.
	first, last time.Duration
}

func usualPace() pace {
	return pace{gather: 2 * time.Second, idle: 5 * time.Minute, first: 2 * time.Second, last: 10 * time.Minute}
}

// Hint says that there may be a network now: the app calls it when the phone
// reports one. A [Replica.Run] syncs at once then, whatever it was waiting for,
// unless the server asked to be left alone. It never blocks.
func (r *Replica) Hint() {
	select {
	case r.hint <- struct{}{}:
	default:
	}
	r.poke()
}

// poke wakes Run after a local write.
func (r *Replica) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run syncs until ctx ends: after local writes, at a [Replica.Hint], now and
// then for news, and after failures with growing pauses. It returns ctx's
// error, or one that no waiting mends: [syncproto.CodeCacheClosed],
// [syncproto.CodeNotEnrolled], [syncproto.CodeDeviceRevoked],
// [syncproto.CodeNoSpace].
func (r *Replica) Run(ctx context.Context, opts ...SyncOption) error {
	o := syncOptions{report: func(Report, error) {}}
	for _, opt := range opts {
		opt(&o)
	}
	failures := 0
	for {
		rep, err := r.Sync(ctx, opts...)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		o.report(rep, err)
		pause, patient := r.pace.idle, false
		switch {
		case err == nil:
			failures = 0
		case hopeless(err):
			return err
		default:
			failures++
			pause = r.backoff(failures)
			var refusal *Refusal
			if errors.As(err, &refusal) && refusal.RetryAfter > 0 {
				pause, patient = refusal.RetryAfter+r.jitter(refusal.RetryAfter/4), true
			}
		}
		if err := r.await(ctx, pause, err == nil, patient); err != nil {
			return err
		}
	}
}

// hopeless reports whether trying again can't help.
func hopeless(err error) bool {
	for _, code := range []syncproto.Code{
		syncproto.CodeCacheClosed, syncproto.CodeCacheDamaged, syncproto.CodeNoSpace, syncproto.CodeNotEnrolled,
		syncproto.CodeDeviceRevoked, syncproto.CodeDeviceUnknown, syncproto.CodeUnsupportedVersion,
	} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// await waits for the pause to pass, for a hint, or, if the last sync went
// well, for a local write. A server that asked for patience gets it.
func (r *Replica) await(ctx context.Context, pause time.Duration, wellAndIdle, patient bool) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return nil
		case <-r.wake:
			if patient {
				continue
			}
			select {
			case <-r.hint:
				return nil
			default:
			}
			if wellAndIdle {
				wellAndIdle = false
				timer.Reset(r.pace.gather)
			}
		}
	}
}

// backoff returns the pause after so many failures in a row.
func (r *Replica) backoff(failures int) time.Duration {
	return r.jitter(min(r.pace.first<<min(failures, 16), r.pace.last))
}

// jitter returns a random part of d.
func (r *Replica) jitter(d time.Duration) time.Duration {
	var b [8]byte
	if _, err := io.ReadFull(r.opts.Rand, b[:]); err != nil || d <= 0 {
		return d
	}
	return time.Duration(binary.BigEndian.Uint64(b[:]) % uint64(d))
}
