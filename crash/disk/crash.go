package disk

import (
	"fmt"
	"maps"
	"math/rand/v2"
)

// Crash is a moment at which the power may go.
type Crash struct {
	// After is the index in Log.Ops of the last operation that was done.
	After int
	// Notes are the texts of all notes up to the next operation: what was said
	// before the disk changed again was said in front of this very disk.
	Notes []string
	// Images makes the states that the disk may then be in, different ones. It
	// is good until the function that was given the crash returns.
	Images func() []*Image
}

// torn are the sizes in bytes at which the last write may have stopped.
var torn = []int{1, 512, 2048} //nolint:gochecknoglobals // a table

// random is how many random subsets of the lost operations are tried.
const random = 4

// Images calls fn with every crash from the operation with index from on, in
// order, until fn returns false. The random subsets come from rng.
func (l *Log) Images(from int, rng *rand.Rand, fn func(Crash) bool) {
	d := newDurable(l)
	for i, op := range l.Ops {
		if op.Kind == Note {
			d.notes = append(d.notes, op.Text)
			continue
		}
		d.do(i, op)
		if i < from {
			continue
		}
		c := Crash{After: i, Notes: l.notesUntilNext(d.notes, i), Images: func() []*Image { return d.images(rng) }}
		if !fn(c) {
			return
		}
	}
}

func (l *Log) notesUntilNext(notes []string, i int) []string {
	notes = notes[:len(notes):len(notes)]
	for _, op := range l.Ops[i+1:] {
		if op.Kind != Note {
			break
		}
		notes = append(notes, op.Text)
	}
	return notes
}

// durable is what is on the disk for sure, and what may be.
type durable struct {
	log     *Log
	files   map[Node]File
	dirs    map[Node]map[string]Node
	pending []int // operations that may be on the disk, in order
	notes   []string
}

func newDurable(l *Log) *durable {
	return &durable{log: l, files: map[Node]File{}, dirs: map[Node]map[string]Node{Root: {}}}
}

func (d *durable) do(i int, op Op) {
	switch op.Kind {
	case Write, Truncate, Link, Unlink, Rename:
		d.pending = append(d.pending, i)
	case Sync:
		d.settle(true, func(o Op) bool { return o.onFile() && o.Node == op.Node })
	case SyncDir:
		d.settle(true, func(o Op) bool { return !o.onFile() && o.Dir == op.Dir })
	case Dropped:
		d.settle(false, func(o Op) bool { return o.onFile() && o.Node == op.Node })
	case Refused, Note:
	}
}

func (o Op) onFile() bool { return o.Kind == Write || o.Kind == Truncate }

// settle ends the doubt about some operations: they are on the disk, or lost.
func (d *durable) settle(kept bool, which func(Op) bool) {
	var left []int
	for _, i := range d.pending {
		op := d.log.Ops[i]
		switch {
		case !which(op):
			left = append(left, i)
		case kept:
			apply(op, d.files, d.dirs)
		}
	}
	d.pending = left
}

func apply(op Op, files map[Node]File, dirs map[Node]map[string]Node) {
	switch op.Kind {
	case Write:
		files[op.Node] = files[op.Node].Write(op.Off, op.Data)
	case Truncate:
		files[op.Node] = files[op.Node].Truncate(op.Size)
	case Link, Unlink, Rename:
		names := maps.Clone(dirs[op.Dir]) // images share it
		if names == nil {
			names = map[string]Node{}
		}
		if op.Kind != Link {
			delete(names, op.Name)
		}
		switch op.Kind {
		case Link:
			names[op.Name] = op.Node
		case Rename:
			names[op.To] = op.Node
		}
		dirs[op.Dir] = names
	}
}

// images makes the different images of this moment.
func (d *durable) images(rng *rand.Rand) []*Image {
	var out []*Image
	seen := map[[16]byte]bool{}
	add := func(variant string, has func(n int) bool, last []byte) {
		img := d.image(variant, has, last)
		if !seen[img.hash] {
			seen[img.hash] = true
			out = append(out, img)
		}
	}
	n := len(d.pending)
	add("none", func(int) bool { return false }, nil)
	if n == 0 {
		return out
	}
	add("all", func(int) bool { return true }, nil)
	add("first", func(i int) bool { return i == 0 }, nil)
	add("last", func(i int) bool { return i == n-1 }, nil)
	add("all but first", func(i int) bool { return i != 0 }, nil)
	add("all but last", func(i int) bool { return i != n-1 }, nil)
	if last := d.log.Ops[d.pending[n-1]]; last.Kind == Write {
		for _, size := range torn {
			if size < len(last.Data) {
				add(fmt.Sprintf("torn at %d", size), func(int) bool { return true }, last.Data[:size])
			}
		}
	}
	for i := range random {
		bits := make([]bool, n)
		for j := range bits {
			bits[j] = rng.IntN(2) == 0
		}
		add(fmt.Sprintf("random %d", i), func(j int) bool { return bits[j] }, nil)
	}
	return out
}

// image makes the image that has some of the pending operations. last, if not
// nil, is what there is of the last one's data.
func (d *durable) image(variant string, has func(n int) bool, last []byte) *Image {
	files, dirs := maps.Clone(d.files), maps.Clone(d.dirs)
	for n, i := range d.pending {
		if !has(n) {
			continue
		}
		op := d.log.Ops[i]
		if last != nil && n == len(d.pending)-1 {
			op.Data = last
		}
		apply(op, files, dirs)
	}
	return d.log.collect(variant, files, dirs)
}
