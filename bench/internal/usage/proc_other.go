//go:build !linux

package usage

import (
	"errors"
	"time"
)

func selfCPU() (time.Duration, error)       { return 0, errors.ErrUnsupported }
func processCPU(int) (time.Duration, error) { return 0, errors.ErrUnsupported }
func familyCPU(int) (time.Duration, error)  { return 0, errors.ErrUnsupported }
func peakRSS(int) (int64, error)            { return 0, errors.ErrUnsupported }
func resetPeak(int) error                   { return errors.ErrUnsupported }
