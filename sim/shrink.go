package sim

import "slices"

// Shrink leaves out steps of a failing run as long as it still fails, and
// returns what it needs: the steps in order, and the last failure. run runs a
// configuration in a folder of its own; at most tries runs are made.
func Shrink(cfg Config, run func(Config) Result, tries int) ([]int, *Failure) {
	first := run(cfg)
	if first.Failure == nil {
		return nil, nil
	}
	failure := first.Failure
	cfg.Steps = min(cfg.Steps, failure.Step+1)
	var steps []int
	for n := range cfg.Steps {
		if !cfg.Without[n] {
			steps = append(steps, n)
		}
	}
	for size := len(steps) / 2; size > 0 && tries > 0; size /= 2 {
		for at := 0; at < len(steps) && tries > 0; tries-- {
			fewer := slices.Delete(slices.Clone(steps), at, min(len(steps), at+size))
			without := cfg
			without.Without = make(map[int]bool, cfg.Steps)
			for n := range cfg.Steps {
				without.Without[n] = !slices.Contains(fewer, n)
			}
			if res := run(without); res.Failure != nil {
				steps, failure = fewer, res.Failure
			} else {
				at += size
			}
		}
	}
	return steps, failure
}
