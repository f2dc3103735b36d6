package table

import (
	"fmt"
	"time"

	"github.com/sambang-id/sambang/bench/internal/usage"
)

// Target is what a figure should reach. The zero value is no target. Targets are comparable with ==.
type Target struct {
	of    measure
	least bool
	limit float64
}

type measure int

const (
	none measure = iota
	value
	ratio
)

// RatioAtMost wants the figure at most x times its floor.
func RatioAtMost(x float64) Target { return Target{of: ratio, limit: x} }

// AtMost wants the figure at most x, in its unit.
func AtMost(x float64) Target { return Target{of: value, limit: x} }

// AtLeast wants the figure at least x, in its unit.
func AtLeast(x float64) Target { return Target{of: value, least: true, limit: x} }

// String is such as "≤ 1.30x", "≥ 8,000", or empty.
func (t Target) String() string {
	sign := "≤ "
	if t.least {
		sign = "≥ "
	}
	switch t.of {
	case value:
		return sign + number(t.limit)
	case ratio:
		return sign + times(t.limit)
	default:
		return ""
	}
}

func (t Target) met(v, r float64) bool {
	if t.of == ratio {
		v = r
	}
	if t.least {
		return v >= t.limit
	}
	return v <= t.limit
}

// Took is a time beside its floor, in unit: time.Second, time.Millisecond or time.Microsecond. A floor of
// zero is none.
func Took(name string, unit, took, floor time.Duration, target Target) Figure {
	return Figure{Name: name, Unit: unitName(unit), Target: target,
		Value: float64(took) / float64(unit), Floor: float64(floor) / float64(unit)}
}

// Count is a number of things, such as requests or records a second.
func Count(name, unit string, n float64, target Target) Figure {
	return Figure{Name: name, Unit: unit, Value: n, Target: target}
}

// Bytes is a size in KB of 1,000 bytes, which is what links are rated in. The target is in KB.
func Bytes(name string, n int64, target Target) Figure {
	return Figure{Name: name, Unit: "KB", Value: float64(n) / 1e3, Target: target}
}

// Spent is the CPU time and the peak memory, in MB of 1,000,000 bytes, of one side: "device" or "server".
func Spent(side string, u usage.Usage) []Figure {
	return []Figure{
		{Name: side + " CPU", Unit: unitName(time.Second), Value: u.CPU.Seconds()},
		{Name: side + " peak memory", Unit: "MB", Value: float64(u.PeakRSS) / 1e6},
	}
}

func unitName(d time.Duration) string {
	switch d {
	case time.Second:
		return "s"
	case time.Millisecond:
		return "ms"
	case time.Microsecond:
		return "µs"
	default:
		return fmt.Sprintf("x %v", d)
	}
}
