package sambang

import "time"

// SetPace makes the pauses of Run short enough for a test.
func (r *Replica) SetPace(gather, idle, first, last time.Duration) {
	r.pace = pace{gather: gather, idle: idle, first: first, last: last}
}
