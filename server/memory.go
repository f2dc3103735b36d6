package server

import (
	"math"
	"runtime/debug"
)

const (
	// goMemory is the soft limit of the Go runtime's memory. With SQLite's caches,
	// which the runtime doesn't count, a process then stays within 256 MiB whatever
	// it is sent.
	goMemory = 144 << 20
	// goPercent is how much of what lives may be added before the collector runs,
	// in percent. A push lives for a moment: at twice Go's own figure the collector
	// takes a tenth of the CPU and not a fifth. Near the limit it runs as often as it must.
	goPercent = 200
)

// BoundMemory sets the memory limit and the garbage collector of a process that
// is a server, for commands to call at their start. GOMEMLIMIT and GOGC in their
// environment go before it.
func BoundMemory() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // no GOMEMLIMIT
		debug.SetMemoryLimit(goMemory)
	}
	const unset = 100
	if was := debug.SetGCPercent(goPercent); was != unset { // GOGC
		debug.SetGCPercent(was)
	}
}
