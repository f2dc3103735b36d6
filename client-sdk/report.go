package sambang

import (
	"sync/atomic"
	"time"
)

// Report says what one [Replica.Sync] did.
type Report struct {
	Pushed      int // records that the server took, each time it was sent
	Pulled      int // entries of the feed
	Evicted     int // records that left this device
	Conflicts   int // records that got new conflicts
	Quarantined int // records that the server received and put aside
	Poisoned    int // entries that could not be read and will be asked for again
	Repairs     int // rounds or records that needed a repair
	Requests    int
	BytesUp     int64 // bodies, as on the wire
	BytesDown   int64
	Waiting     int // records that wait after it
	Took        time.Duration
}

// Progress is how far a running sync is.
type Progress struct {
	Pushed, ToPush int // records
	Pulled, ToPull int // entries; ToPull is about, and 0 until the server has told
	BytesUp        int64
	BytesDown      int64
}

// progress counts for one sync and tells the app.
type progress struct {
	now  *Progress
	tell func(Progress)
}

func (p *progress) pushed(n int) {
	p.now.Pushed += n
	p.now.ToPush = max(p.now.ToPush, p.now.Pushed)
	p.tell(*p.now)
}

func (p *progress) pulled(n int) {
	p.now.Pulled += n
	p.now.ToPull = max(p.now.ToPull, p.now.Pulled)
	p.tell(*p.now)
}

func (p *progress) expect(n int) {
	p.now.ToPull = max(p.now.ToPull, p.now.Pulled+n)
	p.tell(*p.now)
}

func (p *progress) moved(up, down int64) {
	p.now.BytesUp += up
	p.now.BytesDown += down
	p.tell(*p.now)
}

// onlineState is what the network was last seen to be.
type onlineState struct {
	offline atomic.Bool
	syncing atomic.Bool
}
