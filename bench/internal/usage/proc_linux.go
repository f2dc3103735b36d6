package usage

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// tick is the unit of the times in /proc/PID/stat: USER_HZ is 100 on every architecture that Go runs on.
const tick = time.Second / 100

func selfCPU() (time.Duration, error) {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), nil
}

func processCPU(pid int) (time.Duration, error) {
	ticks, err := statTicks(pid, own)
	return time.Duration(ticks) * tick, err
}

// statFields returns what /proc/PID/stat has after the command's name, which is the second field, in
// brackets, and may hold spaces and brackets.
func statFields(pid int) ([]string, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(f) < 15 {
		return nil, fmt.Errorf("/proc/%d/stat has %d fields after the name", pid, len(f))
	}
	return f, nil
}

// What statTicks adds up, from the field 14 on, the 12th after the name: utime and stime; and of the
// children that were waited for, cutime and cstime.
const (
	own          = 2
	ownAndReaped = 4
)

func statTicks(pid, fields int) (ticks int64, err error) {
	f, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	for _, s := range f[11 : 11+fields] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return ticks, nil
}

func peakRSS(pid int) (int64, error) {
	path := fmt.Sprintf("/proc/%d/status", pid)
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		value, ok := strings.CutPrefix(line, "VmHWM:")
		if !ok {
			continue
		}
		kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", path, err)
		}
		return kib << 10, nil
	}
	return 0, fmt.Errorf("%s has no VmHWM: the process has ended", path)
}

func resetPeak(pid int) error {
	// 5 resets the peak and nothing else: proc_pid_clear_refs(5).
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// familyCPU adds up a process, its children, and those that have ended.
func familyCPU(pid int) (time.Duration, error) {
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	sum, err := statTicks(pid, ownAndReaped)
	if err != nil {
		return 0, err
	}
	for _, e := range all {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		f, err := statFields(child)
		if err != nil || f[1] != strconv.Itoa(pid) {
			continue // it has just ended, or is somebody else's
		}
		if n, err := statTicks(child, own); err == nil {
			sum += n
		}
	}
	return time.Duration(sum) * tick, nil
}
