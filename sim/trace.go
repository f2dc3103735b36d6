package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
)

// tracer hashes what happens in a run, and keeps the lines when asked.
type tracer struct {
	hash  hash.Hash
	keep  bool
	lines []string
	step  int
	depth int
}

func newTracer(keep bool) *tracer { return &tracer{hash: sha256.New(), keep: keep} }

func (t *tracer) log(format string, args ...any) {
	line := fmt.Sprintf("%4d %s", t.step, strings.Repeat("  ", t.depth)) + fmt.Sprintf(format, args...)
	t.hash.Write([]byte(line))
	t.hash.Write([]byte{'\n'})
	if t.keep {
		t.lines = append(t.lines, line)
	}
}

func (t *tracer) sum() string { return hex.EncodeToString(t.hash.Sum(nil)[:8]) }

// about returns the kept lines that name something, and the notable ones.
func (t *tracer) about(what string) []string {
	var out []string
	for _, l := range t.lines {
		if what == "" || strings.Contains(l, what) || strings.Contains(l, "! ") {
			out = append(out, l)
		}
	}
	return out
}
