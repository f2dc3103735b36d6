package sqlite

import (
	"sync"

	"github.com/sambang-id/sambang/server/internal/store"
)

// damages remembers the damaged rows that were come upon, so that each is told
// once however often it is read.
type damages struct {
	tell func(*store.Damage)

	mu    sync.Mutex
	known map[store.Damage]bool
}

// maxDamages bounds what is remembered. A file with more of them needs a
// backup, not a longer list.
const maxDamages = 10_000

func newDamages(tell func(*store.Damage)) *damages {
	return &damages{tell: tell, known: map[store.Damage]bool{}}
}

func (d *damages) add(x *store.Damage) {
	if d == nil { // of a connection that is no store's
		return
	}
	d.mu.Lock()
	fresh := !d.known[*x] && len(d.known) < maxDamages
	if fresh {
		d.known[*x] = true
	}
	d.mu.Unlock()
	if fresh && d.tell != nil {
		d.tell(x)
	}
}

func (d *damages) count() uint64 {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(len(d.known))
}
