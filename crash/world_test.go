//go:build linux

package crash_test

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sambang-id/sambang/server"
	"github.com/sambang-id/sambang/syncproto/pack"
)

const schema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "x-sambang-pack": {"format": 1, "name": "crash", "version": "1.0", "default_class": "D",
    "classes": {"D": {"id": "D", "en": "D"}, "T": {"id": "T", "en": "T"}, "H": {"id": "H", "en": "H"}}},
  "$defs": {"site": {"type": "object", "x-sambang": {"kind": true, "label": {"id": "Tempat", "en": "Site"}},
    "properties": {
      "a": {"type": "string", "x-sambang": {"type": "text", "label": {"id": "A", "en": "A"}, "policy": "review", "class": "D"}}
    }}}
}`

var testPack = sync.OnceValue(func() *pack.Pack {
	p, err := pack.Parse([]byte(schema))
	if err != nil {
		panic(err)
	}
	return p
})

// source is a seeded source of bytes, safe for concurrent use.
type source struct {
	mu sync.Mutex
	r  *rand.ChaCha8
}

func newSource(seed uint64, what string) *source {
	return &source{r: rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, what)))}
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.Read(p)
}

// clockFrom is a clock that goes on by a millisecond whenever it is read.
func clockFrom(ms int64) func() time.Time {
	var now atomic.Int64
	now.Store(ms)
	return func() time.Time { return time.UnixMilli(now.Add(1)).UTC() }
}

func serverConfig(dir string, seed uint64, clock func() time.Time) server.Config {
	return server.Config{
		Data: dir, URL: "http://127.0.0.1:8080", Pack: testPack(), Now: clock, Rand: newSource(seed, "server"),
		Limits: server.Limits{PerDevice: 1e6, PerAddress: 1e6, EnrolPerAddress: 1e6},
	}
}
