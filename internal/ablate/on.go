//go:build ablate

package ablate

import (
	"os"
	"sync/atomic"
)

var off atomic.Pointer[Rule] //nolint:gochecknoglobals // this is the switch

func init() { Set(Rule(os.Getenv("SAMBANG_ABLATE"))) } //nolint:gochecknoinits // a child process has no other way

// Off reports whether a rule is switched off.
func Off(r Rule) bool { return *off.Load() == r }

// Set switches one rule off, and the one before on again; "" switches all on.
func Set(r Rule) { off.Store(&r) }
