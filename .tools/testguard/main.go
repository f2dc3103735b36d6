// Command testguard reads `go test -json` from stdin, prints what `go test` would have printed, and fails when
// the run proves less than its green colour says.
//
// It exits with 1 when a test or a build failed, when any test reported SKIP, when a test named in the file
// -require did not PASS, or when nothing ran at all. A suite that is skipped or deleted by mistake looks
// exactly like one that passes; this is where the difference is seen.
//
// With -say it also prints what the required tests logged, which is how much they tried.
//
// A line of the file is `<package, relative to the module> <test>[/subtest]`; # starts a comment.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
)

func main() {
	require := flag.String("require", "", "file of tests that must have passed")
	module := flag.String("module", "github.com/sambang-id/sambang", "module that the packages of -require are relative to")
	say := flag.Bool("say", false, "print what the required tests logged")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *require, *module, *say); err != nil {
		fmt.Fprintln(os.Stderr, "testguard:", err)
		os.Exit(1)
	}
}

func run(stdin io.Reader, stdout io.Writer, requireFile, module string, say bool) error {
	var required []string
	if requireFile != "" {
		text, err := os.ReadFile(requireFile)
		if err != nil {
			return err
		}
		required = parseRequired(string(text), module)
	}
	var told []string
	if say {
		told = required
	}
	result, err := read(stdin, stdout, told)
	if err != nil {
		return err
	}
	problems := result.problems(required)
	fmt.Fprintf(stdout, "tests: %d passed, %d failed, %d skipped; %d of %d required suites passed\n",
		len(result.passed), len(result.failed), len(result.skipped), len(required)-result.missing(required), len(required))
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n\t"))
	}
	return nil
}

func parseRequired(text, module string) []string {
	var required []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		name := module
		if fields[0] != "." {
			name += "/" + fields[0]
		}
		required = append(required, name+" "+fields[1])
	}
	return required
}

// event is one line of `go test -json` (see `go doc cmd/test2json`).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Output     string
}

// result holds full names, `<import path> <test>`; failed also holds packages and builds.
type result struct {
	passed, failed, skipped map[string]bool
	told                    []string
}

// read prints package lines as they come, and the output of a test only once that test has failed, or when it is one of told.
func read(stdin io.Reader, stdout io.Writer, told []string) (result, error) {
	r := result{passed: map[string]bool{}, failed: map[string]bool{}, skipped: map[string]bool{}, told: told}
	held := map[string][]string{}
	lines := bufio.NewReader(stdin)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil || e.Action == "" {
				fmt.Fprint(stdout, string(line)) // not test2json: the go command itself speaks
			} else {
				r.add(e, held, stdout)
			}
		}
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
	}
}

func (r result) add(e event, held map[string][]string, stdout io.Writer) {
	name := strings.TrimSpace(e.Package + e.ImportPath + " " + e.Test)
	switch e.Action {
	case "build-output":
		fmt.Fprint(stdout, e.Output)
	case "output":
		if e.Test == "" && e.Output == "PASS\n" {
			return // -json repeats what plain `go test` leaves out
		}
		held[name] = append(held[name], e.Output)
		if e.Test == "" && isPackageLine(e.Output) {
			flush(name, held, stdout)
		}
	case "build-fail", "fail":
		r.failed[name] = true
		flush(name, held, stdout)
	case "pass":
		if e.Test != "" {
			r.passed[name] = true
		}
		if slices.Contains(r.told, name) {
			tell(name, held[name], stdout)
		}
		delete(held, name)
	case "skip":
		if e.Test != "" {
			r.skipped[name] = true
		}
		flush(name, held, stdout)
	}
}

func isPackageLine(s string) bool {
	return strings.HasPrefix(s, "ok ") || strings.HasPrefix(s, "FAIL") || strings.HasPrefix(s, "?  ") ||
		strings.HasPrefix(s, "\t") || strings.HasPrefix(s, "panic:")
}

// tell prints the log of a test without the lines of the testing package.
func tell(name string, lines []string, stdout io.Writer) {
	fmt.Fprintf(stdout, "passed %s\n", name)
	for _, line := range lines {
		if text := strings.TrimSpace(line); !strings.HasPrefix(text, "===") && !strings.HasPrefix(text, "---") {
			fmt.Fprint(stdout, line)
		}
	}
}

func flush(name string, held map[string][]string, stdout io.Writer) {
	for _, s := range held[name] {
		fmt.Fprint(stdout, s)
	}
	delete(held, name)
}

func (r result) missing(required []string) int {
	n := 0
	for _, name := range required {
		if !r.passed[name] {
			n++
		}
	}
	return n
}

func (r result) problems(required []string) []string {
	var problems []string
	if len(r.passed) == 0 {
		problems = append(problems, "no test passed: nothing was proved")
	}
	for _, name := range slices.Sorted(maps.Keys(r.failed)) {
		problems = append(problems, "failed: "+name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.skipped)) {
		problems = append(problems, "skipped: "+name+" (a skipped test proves nothing; make it run or delete it)")
	}
	for _, name := range required {
		if !r.passed[name] {
			problems = append(problems, "required but did not pass: "+name)
		}
	}
	return problems
}
