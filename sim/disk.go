package sim

import (
	"errors"
	"io"

	"github.com/sambang-id/sambang/internal/disk"
)

// faultyDisk is what one process has of its machine: randomness, and a disk
// that may fill up, or whose machine may end the process before or after any
// step that makes something durable. What a dead process still tries has no
// effect.
type faultyDisk struct {
	io.Reader
	plan  *diskPlan
	apart bool
	dead  bool
}

// diskPlan is what is going to happen to the disk of a phone or of the server.
// It outlives the process.
type diskPlan struct {
	steps   int  // that were made durable so far
	crashIn int  // at which of the coming steps the process ends; 0 for none
	after   bool // then the step itself is still made
	*room
	crashed func() // hears of the crash
	between func() // what happens elsewhere after a step; nil for nothing
}

// room is what is left on a disk, which several servers may share.
type room struct {
	full   bool
	roomy  bool  // it can't fill up now: the checker's own requests go through
	fullIn int   // before which of the coming steps the disk fills up; 0 for none
	noRoom error // of a step on a full disk, as the engine has it
}

var errCrashed = errors.New("the process has ended")

// Durably implements [disk.Hand].
func (d *faultyDisk) Durably(op disk.Op, do func() error) error {
	p := d.plan
	if d.dead {
		return errCrashed
	}
	if p.fullIn > 0 && !p.roomy {
		p.fullIn--
		p.full = p.fullIn == 0
	}
	if p.full && !p.roomy && (op == "commit" || op == "mark") {
		return p.noRoom
	}
	if p.crashIn > 0 {
		if p.crashIn--; p.crashIn == 0 {
			d.dead = true
			if p.after {
				p.steps++
				_ = do()
			}
			p.crashed()
			return errCrashed
		}
	}
	p.steps++
	err := do()
	if p.between != nil {
		p.between()
	}
	return err
}

// Apart is what [disk.Apart] asks.
func (d *faultyDisk) Apart() bool { return d.apart }

// withRoom runs something that a full disk must not stop.
func (p *diskPlan) withRoom(fn func()) {
	was := p.roomy
	p.roomy = true
	fn()
	p.roomy = was
}

// mend ends every fault that is planned.
func (p *diskPlan) mend() { p.crashIn, p.fullIn, p.full = 0, 0, false }
