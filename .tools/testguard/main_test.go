package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const green = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestX"}
{"Action":"output","Package":"m/a","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"pass","Package":"m/a","Test":"TestX","Elapsed":0}
{"Action":"output","Package":"m/a","Output":"PASS\n"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.01s\n"}
{"Action":"pass","Package":"m/a","Elapsed":0.01}
`

func TestGuard(t *testing.T) {
	for _, c := range []struct{ name, input, require, want string }{
		{"a green run with its required test passes", green, "a TestX # why", ""},
		{"a green run without a required test fails", green, "a TestGone", "required but did not pass: m/a TestGone"},
		{"a required test of the root package is named by a dot", green, ". TestRoot", "required but did not pass: m TestRoot"},
		{"an empty run fails", "", "", "nothing was proved"},
		{"a skipped test fails", green + `{"Action":"skip","Package":"m/a","Test":"TestY"}` + "\n", "", "skipped: m/a TestY"},
		{"a package without tests is no skip", green + `{"Action":"skip","Package":"m/b"}` + "\n", "", ""},
		{"a failed test fails", green + `{"Action":"fail","Package":"m/a","Test":"TestY"}` + "\n", "", "failed: m/a TestY"},
		{"a failed build fails", green + `{"Action":"build-fail","ImportPath":"m/c"}` + "\n", "", "failed: m/c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "require")
			if err := os.WriteFile(file, []byte(c.require), 0o600); err != nil {
				t.Fatal(err)
			}
			err := run(strings.NewReader(c.input), io.Discard, file, "m", false)
			if c.want == "" && err != nil {
				t.Fatalf("unexpected: %v", err)
			}
			if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Fatalf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestOutputIsThatOfGoTest(t *testing.T) {
	var out strings.Builder
	if _, err := read(strings.NewReader(green), &out, nil); err != nil {
		t.Fatal(err)
	}
	if out.String() != "ok  \tm/a\t0.01s\n" {
		t.Fatalf("printed %q", out.String())
	}
}

func TestWhatRequiredTestsLogIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "required")
	if err := os.WriteFile(file, []byte("a TestOne\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	input := `{"Action":"run","Package":"m/a","Test":"TestOne"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"=== RUN   TestOne\n"}
{"Action":"output","Package":"m/a","Test":"TestOne","Output":"    one_test.go:3: 1000 images\n"}
{"Action":"pass","Package":"m/a","Test":"TestOne"}
{"Action":"output","Package":"m/a","Test":"TestTwo","Output":"    two_test.go:3: hush\n"}
{"Action":"pass","Package":"m/a","Test":"TestTwo"}
`
	var out strings.Builder
	if err := run(strings.NewReader(input), &out, file, "m", true); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "1000 images") || strings.Contains(got, "hush") || strings.Contains(got, "=== RUN") {
		t.Errorf("told:\n%s", got)
	}
}
