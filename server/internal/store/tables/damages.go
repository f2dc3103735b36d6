package tables

import (
	"sync"

	"github.com/sambang-id/sambang/server/internal/store"
)

// Damages remembers the damaged rows that were come upon, so that each is told
// once however often it is read. It is safe for concurrent use; nil remembers
// nothing.
type Damages struct {
	tell func(*store.Damage)

	mu    sync.Mutex
	known map[store.Damage]bool
}

// maxDamages bounds what is remembered. A store with more of them needs a
// backup, not a longer list.
const maxDamages = 10_000

// NewDamages returns a memory that tells of each row once; tell may be nil.
func NewDamages(tell func(*store.Damage)) *Damages {
	return &Damages{tell: tell, known: map[store.Damage]bool{}}
}

// Add remembers a row, and tells of it if it is new.
func (d *Damages) Add(x *store.Damage) {
	if d == nil {
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

// Count returns how many rows are remembered.
func (d *Damages) Count() uint64 {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return uint64(len(d.known))
}
