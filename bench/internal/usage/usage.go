// Package usage reads what a process has taken of the machine: CPU time and its peak of resident memory.
//
// What is always true of it:
//   - it reports what the kernel counts, and nothing of the Go runtime's own view: memory that was
//     given back to the allocator but not to the kernel is still resident;
//   - a figure that the system does not offer is an error that is errors.ErrUnsupported, not a zero.
package usage

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Usage is what a process has taken since it started, or since its peak was reset.
type Usage struct {
	CPU     time.Duration // user and system time of all threads
	PeakRSS int64         // bytes
}

// Since returns the CPU time taken after an earlier reading of the same process, and the later peak.
func (u Usage) Since(earlier Usage) Usage {
	return Usage{CPU: u.CPU - earlier.CPU, PeakRSS: u.PeakRSS}
}

// Self reads this process: CPU by getrusage(2), to the microsecond, the peak as in Of.
func Self() (Usage, error) {
	cpu, err := selfCPU()
	if err != nil {
		return Usage{}, fmt.Errorf("usage of this process: %w", err)
	}
	peak, err := peakRSS(os.Getpid())
	if err != nil {
		return Usage{}, fmt.Errorf("usage of this process: %w", err)
	}
	return Usage{CPU: cpu, PeakRSS: peak}, nil
}

// Of reads a running process: CPU from /proc/PID/stat, to a hundredth of a second, the peak from VmHWM of
// /proc/PID/status (proc(5)). Linux only.
func Of(pid int) (Usage, error) {
	cpu, err := processCPU(pid)
	if err != nil {
		return Usage{}, fmt.Errorf("usage of process %d: %w", pid, err)
	}
	peak, err := peakRSS(pid)
	if err != nil {
		return Usage{}, fmt.Errorf("usage of process %d: %w", pid, err)
	}
	return Usage{CPU: cpu, PeakRSS: peak}, nil
}

// Family reads the CPU time of a process with all the children that it has and had, such as those of a
// database server. Linux only.
func Family(pid int) (time.Duration, error) {
	cpu, err := familyCPU(pid)
	if err != nil {
		return 0, fmt.Errorf("usage of process %d and its children: %w", pid, err)
	}
	return cpu, nil
}

// ResetPeak makes a process's peak its present size, so that the next reading is of what came between.
// It needs Linux and the right to write to /proc/PID/clear_refs.
func ResetPeak(pid int) error {
	if err := resetPeak(pid); err != nil {
		return fmt.Errorf("reset peak memory of process %d: %w", pid, err)
	}
	return nil
}

// IsUnsupported reports whether the system does not offer the figure.
func IsUnsupported(err error) bool { return errors.Is(err, errors.ErrUnsupported) }
