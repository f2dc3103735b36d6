//go:build !ablate

package ablate_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/sambang-id/sambang/internal/ablate"
)

func TestEveryRuleIsInForce(t *testing.T) {
	for _, r := range []ablate.Rule{"", ablate.A01BaseCheck, ablate.R15ReplayedJTI} {
		if ablate.Off(r) {
			t.Errorf("rule %q is off", r)
		}
	}
}

// A release has no switch: nothing in its binaries could throw one.
func TestAReleaseHasNoSwitch(t *testing.T) {
	for _, command := range []string{"server/cmd/sambangd", "client-sdk/cmd/sambang"} {
		binary := filepath.Join(t.TempDir(), "command")
		build := exec.Command("go", "build", "-o", binary, "github.com/sambang-id/sambang/"+command)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", command, err, out)
		}
		content, err := os.ReadFile(binary)
		if err != nil {
			t.Fatal(err)
		}
		for _, trace := range []string{"SAMBANG_ABLATE", "ablate.Set"} {
			if bytes.Contains(content, []byte(trace)) {
				t.Errorf("%s has %q in it", command, trace)
			}
		}
	}
}
