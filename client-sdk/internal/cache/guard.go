package cache

import (
	"fmt"
	"runtime/debug"
)

// bbolt answers a damaged page with a panic, or with a fault on an address outside its map. Both are turned into errors here:
// faults become panics while faultsPanic holds, and calls into bbolt are made below a recover.

// faultsPanic makes memory faults of this goroutine panics until the returned function is called. Use: defer faultsPanic()().
func faultsPanic() func() {
	before := debug.SetPanicOnFault(true)
	return func() { debug.SetPanicOnFault(before) }
}

// panicked is what bbolt said before it gave up. It counts as damage: bbolt does not panic on a sound file.
type panicked struct{ value any }

func (p *panicked) Error() string { return fmt.Sprintf("bbolt: %v", p.value) }
func (p *panicked) Unwrap() error { return ErrDamaged }

// guarded calls a function of bbolt.
func guarded(f func() error) (err error) {
	defer faultsPanic()()
	defer func() {
		if p := recover(); p != nil {
			err = &panicked{p}
		}
	}()
	return f()
}
