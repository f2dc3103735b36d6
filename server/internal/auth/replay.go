package auth

import (
	"sync"
	"time"

	"github.com/sambang-id/sambang/internal/ablate"
	"github.com/sambang-id/sambang/syncproto"
)

const (
	// maxRemembered bounds the tokens remembered: 100 bytes each, and 500
	// devices at ten requests a second for two minutes are 600,000.
	maxRemembered = 1 << 20
	// maxPerDevice bounds those of one device, so that it can only shut out
	// itself.
	maxPerDevice = 4096
)

// replays remembers the tokens that were used, until they expire. When it is
// full it refuses new tokens; it never forgets one that is still valid.
type replays struct {
	mu     sync.Mutex
	seen   map[replayKey]struct{}
	count  map[string]int
	bucket map[int64][]replayKey // by the second of their end
	swept  int64                 // all buckets before it are gone
}

type replayKey struct{ device, jti string }

func newReplays() *replays {
	return &replays{seen: map[replayKey]struct{}{}, count: map[string]int{}, bucket: map[int64][]replayKey{}}
}

// use records a token that is valid until end. It fails with token_replayed if
// it was used before, rate_limited if the device has used too many.
func (r *replays) use(device, jti string, end, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sweep(now.Unix())
	k := replayKey{device, jti}
	if _, ok := r.seen[k]; ok && !ablate.Off(ablate.R15ReplayedJTI) {
		return used()
	}
	if r.count[device] >= maxPerDevice {
		return syncproto.Errorf(syncproto.CodeRateLimited, "the device has used %d tokens in two minutes", maxPerDevice)
	}
	if len(r.seen) >= maxRemembered {
		return syncproto.Errorf(syncproto.CodeUnavailable, "too many tokens in use")
	}
	r.seen[k] = struct{}{}
	r.count[device]++
	r.bucket[end.Unix()] = append(r.bucket[end.Unix()], k)
	return nil
}

func used() error {
	return syncproto.Errorf(syncproto.CodeTokenReplayed, "the token was used before")
}

// sweep forgets what ended before now. A clock that was set back keeps tokens
// longer, never shorter.
func (r *replays) sweep(now int64) {
	if now <= r.swept {
		return
	}
	for end, keys := range r.bucket {
		if end >= now {
			continue
		}
		for _, k := range keys {
			delete(r.seen, k)
			if r.count[k.device]--; r.count[k.device] == 0 {
				delete(r.count, k.device)
			}
		}
		delete(r.bucket, end)
	}
	r.swept = now
}
