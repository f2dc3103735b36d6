//go:build ablate

// Package ablatetest shows that a test notices when a rule is gone.
package ablatetest

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sambang-id/sambang/internal/ablate"
)

// Caught runs tests of the calling package again, in a process in which the
// rule is off, and fails unless one of them fails, by itself and not by a
// panic or a timeout. run is a pattern as of go test -run; args are further
// arguments of the test binary.
func Caught(t *testing.T, rule ablate.Rule, run string, args ...string) {
	t.Helper()
	if out, err := again(t, "", run, args); err != nil {
		t.Fatalf("with every rule in force: %v\n%s", err, tail(out))
	}
	out, err := again(t, rule, run, args)
	failed := regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`).FindAllStringSubmatch(out, -1)
	switch {
	case err == nil:
		t.Fatalf("nothing notices that rule %s is gone\n%s", rule, tail(out))
	case len(failed) == 0:
		t.Fatalf("without rule %s the process ends with %v, and no test says why\n%s", rule, err, tail(out))
	}
	t.Logf("without rule %s: %s fails", rule, failed[0][1])
}

func again(t *testing.T, rule ablate.Rule, run string, args []string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"-test.run=" + run, "-test.v", "-test.count=1"}, args...)...) //nolint:gosec // this very test binary
	cmd.Env = append(os.Environ(), "SAMBANG_ABLATE="+string(rule))
	out, err := cmd.CombinedOutput()
	if !strings.Contains(string(out), "=== RUN") {
		t.Fatalf("-run %s finds no test\n%s", run, tail(string(out)))
	}
	return string(out), err
}

func tail(s string) string { return s[max(0, len(s)-2000):] }
