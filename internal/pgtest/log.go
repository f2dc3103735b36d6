package pgtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// logShown is how much of the server's log a failed test prints; the whole is in its artifacts.
const logShown = 16 << 10

func (c *Cluster) logFile() string { return filepath.Join(c.folder, "log") }

func (c *Cluster) logSize() int64 {
	info, err := os.Stat(c.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

// logSince returns what the server has logged since its log had that size.
func (c *Cluster) logSince(size int64) string {
	text, err := os.ReadFile(c.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[min(size, int64(len(text))):])
}

// showLog prints what the server logged during the test if that fails, and
// keeps it whole as an artifact (`go test -artifacts`).
func (c *Cluster) showLog(tb testing.TB) {
	if c.folder == "" {
		return
	}
	before := c.logSize()
	tb.Cleanup(func() {
		if !tb.Failed() {
			return
		}
		text := c.logSince(before)
		if err := os.WriteFile(filepath.Join(tb.ArtifactDir(), "postgres.log"), []byte(text), 0o600); err != nil {
			tb.Log(err)
		}
		if cut := len(text) - logShown; cut > 0 {
			text = "... " + strings.ToValidUTF8(text[cut:], "")
		}
		tb.Logf("PostgreSQL's log since this test began:\n%s", text)
	})
}
