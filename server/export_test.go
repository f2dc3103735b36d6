package server

import "time"

// WithLocal returns c on a machine with the given clock.
func WithLocal(c Config, now func() time.Time) Config {
	c.local = now
	return c
}
