//go:build ablate

package ablate

import (
	"os"
	"strings"
	"sync/atomic"
)

var off atomic.Pointer[map[Rule]bool] //nolint:gochecknoglobals // this is the switch

func init() { //nolint:gochecknoinits // a child process has no other way
	var rules []Rule
	for _, name := range strings.Split(os.Getenv("SAMBANG_ABLATE"), ",") {
		rules = append(rules, Rule(name))
	}
	Set(rules...)
}

// Off reports whether a rule is switched off.
func Off(r Rule) bool { return (*off.Load())[r] }

// Set switches these rules off, and all others on; none switches all on.
func Set(rules ...Rule) {
	set := make(map[Rule]bool, len(rules))
	for _, r := range rules {
		if r != "" {
			set[r] = true
		}
	}
	off.Store(&set)
}
