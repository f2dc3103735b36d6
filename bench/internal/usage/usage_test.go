package usage_test

import (
	"errors"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/sambang-id/sambang/bench/internal/usage"
)

func TestUsageIsWhatTheKernelCounts(t *testing.T) {
	before, err := usage.Self()
	if usage.IsUnsupported(err) && runtime.GOOS != "linux" {
		return // the other systems promise nothing
	}
	if err != nil {
		t.Fatal(err)
	}
	const size = 64 << 20
	block := make([]byte, size)
	var after usage.Usage
	for after.Since(before).CPU < 20*time.Millisecond { // until it is seen, however slow the machine
		for i := 0; i < size; i += 64 {
			block[i]++
		}
		if after, err = usage.Self(); err != nil {
			t.Fatal(err)
		}
	}
	runtime.KeepAlive(block)
	if after.PeakRSS < size {
		t.Errorf("peak of %d bytes with %d touched", after.PeakRSS, size)
	}
	other, err := usage.Of(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if other.CPU <= 0 || other.PeakRSS < size {
		t.Errorf("read from outside: %+v, from inside: %+v", other, after)
	}
}

func TestAProcessThatIsNotThereIsAnError(t *testing.T) {
	if u, err := usage.Of(1 << 30); err == nil {
		t.Errorf("usage %+v of no process", u)
	}
	if err := usage.ResetPeak(1 << 30); err == nil {
		t.Error("a peak of no process was reset")
	}
}

func TestResetPeakForgetsWhatWasGivenBack(t *testing.T) {
	const size = 64 << 20
	block := make([]byte, size)
	for i := 0; i < size; i += 64 {
		block[i]++
	}
	runtime.KeepAlive(block)
	before, err := usage.Self()
	if usage.IsUnsupported(err) && runtime.GOOS != "linux" {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory() // block is not used any more
	if err := usage.ResetPeak(os.Getpid()); errors.Is(err, os.ErrPermission) {
		return // a container may forbid it
	} else if err != nil {
		t.Fatal(err)
	}
	after, err := usage.Self()
	if err != nil {
		t.Fatal(err)
	}
	if after.PeakRSS > before.PeakRSS-size/2 {
		t.Errorf("peak of %d bytes after %d were given back from a peak of %d", after.PeakRSS, size, before.PeakRSS)
	}
}
