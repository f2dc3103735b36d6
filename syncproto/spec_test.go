package syncproto_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sambang-id/sambang/syncproto"
	"github.com/sambang-id/sambang/syncproto/vectors"
	"github.com/sambang-id/sambang/syncproto/vectors/gen"
	"github.com/sambang-id/sambang/syncproto/wire"
)

var update = flag.Bool("update", false, "write the tables and examples of SPEC.md anew")

// TestVectorsAndTablesOfTheSpec: what SPEC.md says of codes and examples is
// what the code and the vectors say, word for word. With -update it is
// written.
func TestVectorsAndTablesOfTheSpec(t *testing.T) {
	have, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	want := replace(t, string(have), "codes", codeTable(t))
	want = replace(t, want, "examples", exampleTexts(t))
	if *update {
		if err := os.WriteFile("SPEC.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(have) {
		t.Error("the tables or examples of SPEC.md are not those of the code; run `task vectors`")
	}
}

// replace puts text between two markers.
func replace(t *testing.T, spec, name, text string) string {
	t.Helper()
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->\n"
	before, rest, ok := strings.Cut(spec, begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("SPEC.md has no place for %s", name)
	}
	return before + begin + text + end + after
}

// TestTheLimitsOfTheSpecAreThoseOfTheCode reads both: a limit that is missing
// in the one or the other is found.
func TestTheLimitsOfTheSpecAreThoseOfTheCode(t *testing.T) {
	values := map[string]int64{
		"MaxCounter": syncproto.MaxCounter, "MaxCounterJump": syncproto.MaxCounterJump, "MaxVectorEntries": syncproto.MaxVectorEntries,
		"MaxFields": syncproto.MaxFields, "MaxSiblings": syncproto.MaxSiblings, "MaxPathBytes": syncproto.MaxPathBytes,
		"MaxPathSegments": syncproto.MaxPathSegments, "MaxValueBytes": syncproto.MaxValueBytes, "MaxValueDepth": syncproto.MaxValueDepth,
		"MaxNumberDigits": syncproto.MaxNumberDigits, "MaxRecordBytes": syncproto.MaxRecordBytes, "MaxKindBytes": syncproto.MaxKindBytes,
		"MaxBatchItems": syncproto.MaxBatchItems, "MaxBatchBytes": syncproto.MaxBatchBytes, "MaxBatches": syncproto.MaxBatches,
		"MaxFrameBytes": syncproto.MaxFrameBytes, "MaxBodyBytes": syncproto.MaxBodyBytes, "MaxDecodedBytes": syncproto.MaxDecodedBytes,
		"MaxHistory": syncproto.MaxHistory, "MaxClaims": syncproto.MaxClaims, "MaxRefetch": syncproto.MaxRefetch, "MaxCursors": syncproto.MaxCursors,
		"MaxSkew": syncproto.MaxSkew, "DeviceClockTolerance": syncproto.DeviceClockTolerance, "ServerClockTolerance": syncproto.ServerClockTolerance,
		"ElementBytes": wire.ElementBytes, "MaxFrameElements": wire.MaxFrameElements, "MaxTableEntries": wire.MaxTableEntries,
		"MaxJSONFrameBytes": wire.MaxJSONFrameBytes, "MaxExtraBytes": wire.MaxExtraBytes, "MaxWindow": wire.MaxWindow,
	}
	for _, file := range []string{"limits.go", "wire/limits.go", "wire/compress.go"} {
		for name := range constants(t, file) {
			if strings.HasPrefix(name, "Max") && values[name] == 0 {
				t.Errorf("%s of %s is a limit that this test does not know", name, file)
			}
		}
	}
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(spec), "<!-- limits -->")
	table, _, _ := strings.Cut(rest, "<!-- /limits -->")
	said := map[string]int64{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| (\d+) \|`).FindAllStringSubmatch(table, -1) {
		n, err := strconv.ParseInt(row[2], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		said[row[1]] = n
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if said[name] != values[name] {
			t.Errorf("SPEC.md says %s = %d, it is %d", name, said[name], values[name])
		}
	}
	for name := range said {
		if values[name] == 0 {
			t.Errorf("SPEC.md has a limit %s that the code has not", name)
		}
	}
}

// TestWhatTheSpecNamesExists: files in backquotes.
func TestWhatTheSpecNamesExists(t *testing.T) {
	spec, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("`((?:wire|vectors)/[^` ]*)`").FindAllStringSubmatch(string(spec), -1) {
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("SPEC.md names %s: %v", m[1], err)
		}
	}
}

// codeTable lists the codes of code.go in its order, with their texts and the
// statuses that the server answers with.
func codeTable(t *testing.T) string {
	t.Helper()
	statuses := statuses(t)
	var out strings.Builder
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		whose := strings.Join(strings.Fields(g.Doc.Text()), " ")
		own := strings.Contains(whose, "of the SDK") || strings.Contains(whose, "of the operator's command")
		fmt.Fprintf(&out, "%s\n\n", strings.TrimSuffix(whose, "."))
		if own {
			out.WriteString("| code | text |\n|---|---|\n")
		} else {
			out.WriteString("| code | status | text |\n|---|---|---|\n")
		}
		for _, s := range g.Specs {
			v, _ := s.(*ast.ValueSpec)
			name := v.Names[0].Name
			lit, _ := v.Values[0].(*ast.BasicLit)
			code, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			text := syncproto.Code(code).Text()
			if text == syncproto.Code("no such code").Text() {
				t.Errorf("%s has no text", code)
			}
			if own {
				fmt.Fprintf(&out, "| `%s` | %s |\n", code, text.English)
				continue
			}
			if statuses[name] == 0 {
				t.Errorf("%s has no HTTP status", code)
			}
			fmt.Fprintf(&out, "| `%s` | %d | %s |\n", code, statuses[name], text.English)
		}
		out.WriteString("\n")
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// statuses reads the server's table: the contract may not import it, but what
// both say must agree.
func statuses(t *testing.T) map[string]int {
	t.Helper()
	const name = "../server/internal/httpapi/status.go"
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	byText := map[string]int{}
	for n := 100; n < 600; n++ {
		if s := http.StatusText(n); s != "" {
			byText["Status"+strings.NewReplacer(" ", "", "-", "", "'", "").Replace(s)] = n
		}
	}
	out := map[string]int{}
	ast.Inspect(file, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		k, okK := kv.Key.(*ast.SelectorExpr)
		v, okV := kv.Value.(*ast.SelectorExpr)
		if okK && okV {
			if byText[v.Sel.Name] == 0 {
				t.Fatalf("%s: %s is not a status", name, v.Sel.Name)
			}
			out[k.Sel.Name] = byText[v.Sel.Name]
		}
		return true
	})
	return out
}

func constants(t *testing.T, name string) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, d := range file.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
			for _, s := range g.Specs {
				if v, ok := s.(*ast.ValueSpec); ok {
					for _, n := range v.Names {
						out[n.Name] = true
					}
				}
			}
		}
	}
	return out
}

// examples are the vectors that stand in SPEC.md, in this order.
var examples = []string{
	"first-push", "idle", "reconnect", "conflict", "delete-against-edit", "need-full", "quarantine", "left-marker", "verdict", "purged",
	"tripwire", "absorb", "chain-challenge", "epoch-change",
}

func exampleTexts(t *testing.T) string {
	t.Helper()
	files, err := gen.Files()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for i, name := range examples {
		var x vectors.Exchange
		if err := json.Unmarshal(files["exchanges/"+name+".json"], &x); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if i > 0 {
			out.WriteString("\n")
		}
		fmt.Fprintf(&out, "### 12.%d %s\n\n%s Device %s", i+1, name, x.Says, x.Device)
		if len(x.Before) > 0 {
			fmt.Fprintf(&out, ", after %s", strings.Join(x.Before, ", "))
		}
		out.WriteString(".\n\n```json\n")
		for _, f := range x.Request.Frames {
			out.WriteString(pretty(t, f) + "\n")
		}
		out.WriteString("```\n\nanswers\n\n```json\n")
		for _, f := range x.Response.Frames {
			out.WriteString(pretty(t, f) + "\n")
		}
		out.WriteString("```\n")
	}
	return out.String()
}

// pretty breaks JSON into lines where it is too long for one.
func pretty(t *testing.T, raw json.RawMessage) string {
	t.Helper()
	var out strings.Builder
	if err := appendPretty(&out, raw, ""); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func appendPretty(out *strings.Builder, raw json.RawMessage, indent string) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, raw); err != nil {
		return err
	}
	raw = compact.Bytes()
	if len(indent)+len(raw) <= 130 || raw[0] != '{' && raw[0] != '[' {
		out.Write(raw)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if _, err := d.Token(); err != nil {
		return err
	}
	out.WriteByte(raw[0])
	for first := true; d.More(); first = false {
		if !first {
			out.WriteByte(',')
		}
		out.WriteString("\n" + indent + "  ")
		if raw[0] == '{' {
			k, err := d.Token()
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%q: ", k)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return err
		}
		if err := appendPretty(out, v, indent+"  "); err != nil {
			return err
		}
	}
	out.WriteString("\n" + indent + string(raw[len(raw)-1]))
	return nil
}
