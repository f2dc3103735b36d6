package engine

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
)

// fewJobs is below what starting goroutines is worth.
const fewJobs = 32

// parallel runs do(0) to do(n-1) on all processors and returns their errors.
func parallel(n int, do func(int) error) error {
	workers := min(runtime.GOMAXPROCS(0), n/fewJobs)
	if workers < 2 {
		for i := range n {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	errs := make([]error, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for errs[w] == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				errs[w] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
