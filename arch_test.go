// Package sambang_test holds the architecture of the module as a test: who may import what, who may read a
// clock, the environment or a flag, and that every package says what it is for.
//
// It reads and parses the source files of this tree, all of them, whatever their build tags. It does not ask
// `go list`, whose answer a cached test run would not see change.
package sambang_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sambang-id/sambang"

// layers says which folders of this module a folder may import. The entry with the longest matching folder
// decides; a folder may always import what lies below itself, and a folder without entry must get one.
// `x` permits x and what lies below it, `=x` permits x alone.
var layers = []struct {
	folder string
	may    []string
	tests  []string // what its tests may import on top
	why    string
}{
	{"syncproto", nil, nil, "the contract depends on nobody, so that a client in any language can follow it alone"},
	{"client-sdk", []string{"syncproto", "=internal/disk"}, []string{"server"}, "an app that embeds the SDK must not carry the server"},
	{"client-sdk/internal/cache", []string{"syncproto"}, nil, "the cache stores; it knows nothing of the network or of the API above it"},
	{"client-sdk/internal/transport", []string{"syncproto"}, nil, "the transport moves bytes; it knows nothing of the cache"},
	{"server", []string{"syncproto", "=internal/disk"}, []string{"client-sdk"}, "the server must not depend on one of its clients"},
	{"server/internal/engine", []string{"syncproto", "=server/internal/store"}, []string{"server/internal/store/sqlite", "server/internal/store/postgres"}, "the sync rules know the store's contract, not one of its engines, and no HTTP"},
	{"server/internal/auth", []string{"syncproto", "=server/internal/store"}, []string{"server/internal/store/sqlite"}, "who is calling is decided below HTTP"},
	{"server/internal/store", []string{"syncproto"}, nil, "the contract of storage knows nothing of those who use it"},
	{"server/internal/store/tables", []string{"syncproto", "=server/internal/store"}, nil, "what a row is, is the same on every engine, and needs none of them"},
	{"server/internal/store/sqlite", []string{"syncproto", "=server/internal/store", "=server/internal/store/tables"}, []string{"server/internal/store/storetest"}, "engines share the contract, its suite and what a row is, never each other's SQL"},
	{"server/internal/store/postgres", []string{"syncproto", "=server/internal/store", "=server/internal/store/tables"}, []string{"server/internal/store/storetest"}, "engines share the contract, its suite and what a row is, never each other's SQL"},
	{"server/internal/move", []string{"syncproto", "=server/internal/store", "=server/internal/store/tables"}, []string{"server/internal/store/sqlite", "server/internal/store/postgres", "server/internal/store/storetest"}, "a move knows rows, not the engines that keep them"},
	{"server/internal/store/storetest", []string{"syncproto", "=server/internal/store"}, nil, "the suite knows the contract, no engine"},
	{"internal/pgtest", nil, nil, "it runs PostgreSQL, and knows nothing of what is kept in it"},
	{"server/internal/hq/hqtest", []string{"syncproto", "server", "=internal/pgtest"}, nil, "what headquarters' tests share brings its PostgreSQL"},
	{"examples", publicPaths, nil, "what an example needs must be public"},
	{"e2e", publicPaths, nil, "device and server are tested together as an app sees them"},
	{"bench", []string{"syncproto", "client-sdk", "server", "=internal/pgtest", "=internal/byhand"}, nil, "a bench measures the whole, and brings its PostgreSQL"},
	{"sim", append([]string{"=internal/disk", "=internal/byhand"}, publicPaths...), nil, "the checker runs what is shipped: it reaches no deeper than an app does, but for its hand on the disk"},
	{"crash", publicPaths, []string{"internal/byhand"}, "what survives a power cut is what an app and a server wrote through their own APIs"},
	{"kill", publicPaths, nil, "processes that are killed are those that are shipped"},
	{"hostile", publicPaths, nil, "an attacker has no more than the public paths"},
	{"load", append([]string{"=internal/byhand"}, publicPaths...), nil, "load comes from outside"},
	{"internal/byhand", nil, nil, "a device by hand follows the specification, and shares no code with those who implement it"},
	{"internal/disk", nil, nil, "a hand on the disk depends on nobody"},
	{"internal/ablate", nil, nil, "a switch depends on nobody, since everybody may have a seam"},
	{".", nil, nil, "the root holds arch_test.go alone"},
}

// publicPaths is the public API of this module.
var publicPaths = []string{
	"=syncproto", "=syncproto/wire", "=syncproto/pack", "=client-sdk", "=client-sdk/mobile", "=server",
}

// seams may be anywhere: without the build tag they are nothing.
const (
	seams    = "internal/ablate"
	seamTest = "internal/ablate/ablatetest" // for tests alone
	database = "internal/pgtest"            // for tests alone: they bring their PostgreSQL
)

// forTests tells whether a folder holds what several tests share: its name says so, and only tests and other such
// folders import it. What is for tests carries testing, passwords and processes that no product may.
func forTests(folder string) bool { return strings.HasSuffix(path.Base(folder), "test") }

// measuring folders are no products either: a bench runs what is for tests.
var measuring = []string{"bench"}

// asked folders are for tests, and may ask the environment what a pipeline demands of them.
var asked = []string{database}

// owned names the only folders that may import a package or anything below it, in tests too: a second user
// would be a second place to change.
var owned = []struct {
	imports []string
	folders []string
	why     string
}{
	{[]string{"github.com/labstack/echo"}, []string{"server/internal/httpapi"}, "the HTTP framework stays replaceable"},
	{[]string{"go.etcd.io/bbolt"}, []string{"client-sdk/internal/cache", "bench"}, "the cache's file has one reader and writer; a bench measures the floor below it"},
	{[]string{"database/sql", "github.com/pressly/goose"}, []string{"server/internal/store/sqlite", "server/internal/store/postgres", "bench"}, "SQL stays inside a storage engine; a bench measures the floor below it"},
	{[]string{"modernc.org/sqlite"}, []string{"server/internal/store/sqlite", "bench"}, "a driver is its engine's; a bench measures the floor below it"},
	{[]string{"github.com/jackc"}, []string{"server/internal/store/postgres", "internal/pgtest", "bench"}, "PostgreSQL stays inside its engine, and what its tests run; a bench measures the floor below it"},
}

// forbidden names what the production code of a folder may not import.
var forbidden = []struct {
	folder  string
	imports []string
	why     string
}{
	{"syncproto", []string{"net", "os", "database", "syscall", "io/ioutil", "log"}, "the contract is pure: no I/O"},
}

// clockless folders take time as an argument, so that order never comes from a wall clock and a test needs none.
var clockless = []string{"syncproto", "server/internal/engine", "server/internal/store"}

// clock holds the functions that read the clock; timers only wait, and may.
var clock = map[string][]string{
	"time":                   {"Now", "Since", "Until"},
	"github.com/google/uuid": {"NewV7", "NewV6", "NewUUID"},
}

// environment holds the functions that read the environment; importing flag counts as reading flags.
var environment = map[string][]string{
	"os":      {"Getenv", "LookupEnv", "Environ", "ExpandEnv"},
	"syscall": {"Getenv", "Environ"},
}

// sdkRoots are the packages that apps embed; what they reach within this module is walked, and everything
// reached imports nothing but the standard library and sdkThirdParty: each entry is weight in every app.
var sdkRoots = []string{"client-sdk", "client-sdk/mobile"}

var sdkThirdParty = []string{
	"go.etcd.io/bbolt", "golang.org/x/crypto", "golang.org/x/sys", "golang.org/x/text", "google.golang.org/protobuf",
	"github.com/klauspost/compress", "github.com/golang-jwt/jwt", "github.com/google/uuid",
	"github.com/santhosh-tekuri/jsonschema", // packs are JSON Schema; it needs x/text and nothing else
}

func TestArchitecture(t *testing.T) {
	files, err := readTree(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 2 {
		t.Fatalf("found %d files: this test must run at the module's root", len(files))
	}
	for _, v := range check(files) {
		t.Error(v)
	}
}

// TestArchitectureCheckFindsViolations is the positive control: a rule that cannot fail protects nothing.
func TestArchitectureCheckFindsViolations(t *testing.T) {
	const doc = "// Package x does a thing.\npackage x\n"
	imports := func(paths ...string) string {
		s := doc
		for _, p := range paths {
			s += "import _ " + strconv.Quote(p) + "\n"
		}
		return s
	}
	for _, c := range []struct{ name, file, source, want string }{
		{"the contract imports the SDK", "syncproto/a.go", imports(module + "/client-sdk"), "imports client-sdk"},
		{"the contract imports the SDK in a test", "syncproto/a_test.go", imports(module + "/client-sdk"), "imports client-sdk"},
		{"the contract opens files", "syncproto/a.go", imports("os"), "imports os"},
		{"a part of the contract does HTTP", "syncproto/pack/a.go", imports("net/http"), "imports net/http"},
		{"the SDK imports the server", "client-sdk/a.go", imports(module + "/server"), "imports server"},
		{"the server imports the SDK", "server/internal/hq/a.go", imports(module + "/client-sdk"), "imports client-sdk"},
		{"the engine imports a storage engine", "server/internal/engine/a.go", imports(module + "/server/internal/store/sqlite"), "imports server/internal/store/sqlite"},
		{"the store imports the engine", "server/internal/store/a.go", imports(module + "/server/internal/engine"), "imports server/internal/engine"},
		{"echo outside httpapi", "server/a.go", imports("github.com/labstack/echo/v4"), "imports github.com/labstack/echo/v4"},
		{"echo in a test outside httpapi", "server/a_test.go", imports("github.com/labstack/echo/v4"), "imports github.com/labstack/echo/v4"},
		{"bbolt outside the cache", "client-sdk/a.go", imports("go.etcd.io/bbolt"), "imports go.etcd.io/bbolt"},
		{"SQL outside its engine", "server/internal/store/a.go", imports("database/sql"), "imports database/sql"},
		{"a driver outside its engine", "server/a.go", imports("modernc.org/sqlite/lib"), "imports modernc.org/sqlite/lib"},
		{"PostgreSQL outside its engine", "server/a.go", imports("github.com/jackc/pgx/v5/pgxpool"), "imports github.com/jackc/pgx/v5/pgxpool"},
		{"the product starts a PostgreSQL", "server/internal/store/postgres/a.go", imports(module + "/internal/pgtest"), "which is for tests"},
		{"the product carries a suite", "server/a.go", imports(module + "/server/internal/store/storetest"), "which is for tests"},
		{"a suite knows an engine's server", "server/internal/store/storetest/a.go", imports(module + "/internal/pgtest"), "imports internal/pgtest"},
		{"the environment in what tests share", "server/internal/store/storetest/a.go", doc + "import \"os\"\nvar _ = os.Getenv(\"X\")\n", "reads the environment"},
		{"a clock in what tests share", "server/internal/store/storetest/a.go", doc + "import \"time\"\nvar _ = time.Now\n", "reads the clock"},
		{"an example reaches behind the public paths", "examples/q/a.go", imports(module + "/syncproto/vectors"), "imports syncproto/vectors"},
		{"a folder without layer", "misc/a.go", imports(), "misc has no entry in layers"},
		{"a flag in a library", "client-sdk/a.go", imports("flag"), "reads flags"},
		{"the environment in a library", "server/a.go", doc + "import \"os\"\nvar _ = os.Getenv(\"X\")\n", "reads the environment"},
		{"a clock in the contract", "syncproto/a.go", doc + "import \"time\"\nvar _ = time.Now\n", "reads the clock"},
		{"a clock under another name", "server/internal/store/sqlite/a.go", doc + "import tm \"time\"\nvar _ = tm.Since(tm.Time{})\n", "reads the clock"},
		{"a clock hidden in an identifier", "server/internal/engine/a.go", doc + "import \"github.com/google/uuid\"\nvar _ = uuid.NewV7\n", "reads the clock"},
		{"a dot import, which hides all of that", "server/a.go", doc + "import . \"time\"\n", "dot import"},
		{"a package without comment", "server/a.go", "package x\n", "server: no package comment"},
		{"a package comment that says nothing", "server/a.go", "// x\npackage x\n", "server: no package comment"},
		{"another Go file in the root", "a.go", doc, "the root holds arch_test.go alone"},
		{"a third party in the SDK", "client-sdk/a.go", imports("github.com/prometheus/client_golang/prometheus"), "client-sdk -> github.com/prometheus"},
		{"a test that skips", "server/a_test.go", doc + "import \"testing\"\nfunc TestX(t *testing.T) { t.Skip() }\n", "skips"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := check([]file{mustParse(t, c.file, c.source)})
			if !slices.ContainsFunc(got, func(v string) bool { return strings.Contains(v, c.want) }) {
				t.Errorf("want a violation with %q, got %q", c.want, got)
			}
		})
	}
	t.Run("a third party that the SDK reaches through the contract", func(t *testing.T) {
		got := check([]file{
			mustParse(t, "client-sdk/a.go", imports(module+"/syncproto/pack")),
			mustParse(t, "syncproto/pack/a.go", imports("example.com/heavy")),
		})
		if len(got) != 1 || !strings.Contains(got[0], "client-sdk -> syncproto/pack -> example.com/heavy") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("clean code has no violation", func(t *testing.T) {
		got := check([]file{
			mustParse(t, "client-sdk/a.go", imports(module+"/syncproto", module+"/client-sdk/internal/cache", "net/http", "golang.org/x/text/unicode/norm")),
			mustParse(t, "client-sdk/a_test.go", imports(module+"/server", "github.com/google/go-cmp/cmp", "os", "flag")),
			mustParse(t, "client-sdk/internal/cache/a.go", imports(module+"/syncproto", "go.etcd.io/bbolt")),
			mustParse(t, "client-sdk/cmd/sambang/main.go", "// Command sambang is one.\npackage main\nimport _ \"flag\"\n"),
			mustParse(t, "syncproto/a.go", doc+"import \"time\"\nvar _ = time.Second\n"),
			mustParse(t, "syncproto/a_test.go", imports("os")),
			mustParse(t, "server/a.go", imports(module+"/server/internal/store/sqlite")),
			mustParse(t, "server/a_test.go", imports(module+"/internal/pgtest")),
			mustParse(t, "internal/pgtest/a.go", doc+"import \"os\"\nimport _ \"github.com/jackc/pgx/v5\"\nvar _ = os.Getenv(\"X\")\n"),
			mustParse(t, "examples/q/main.go", "// Command q is one.\npackage main\nimport _ \""+module+"/client-sdk\"\n"),
		})
		if len(got) > 0 {
			t.Errorf("got %q", got)
		}
	})
}

// file is one parsed Go source file; folder is "." for the module's root.
type file struct {
	name, folder string
	test         bool
	ast          *ast.File
	fset         *token.FileSet
}

func (f file) imports() []string {
	var paths []string
	for _, spec := range f.ast.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			panic(err) // go/parser accepts string literals only
		}
		paths = append(paths, p)
	}
	return paths
}

// command tells whether the file belongs to a program, which alone may read flags and the environment.
func (f file) command() bool {
	if strings.Contains(f.folder+"/", "/cmd/") {
		return true
	}
	return f.ast.Name.Name == "main" && (anyWithin(f.folder, []string{"examples", "bench", "load"}))
}

// readTree parses every Go file of this module; folders that the go command ignores are left out.
func readTree(tree fs.FS) ([]file, error) {
	var files []file
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			base := path.Base(name)
			ignored := name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules")
			if _, err := fs.Stat(tree, path.Join(name, "go.mod")); ignored || name != "." && err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".go" {
			return nil
		}
		source, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		f, err := parse(name, string(source))
		files = append(files, f)
		return err
	})
	return files, err
}

func parse(name, source string) (file, error) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	return file{name: name, folder: path.Dir(name), test: strings.HasSuffix(name, "_test.go"), ast: tree, fset: fset}, err
}

func mustParse(t *testing.T, name, source string) file {
	t.Helper()
	f, err := parse(name, source)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// check returns each violation once, sorted.
func check(files []file) []string {
	found := map[string]bool{}
	report := func(format string, args ...any) { found[fmt.Sprintf(format, args...)] = true }
	for _, f := range files {
		checkLayers(f, report)
		checkImports(f, report)
		checkCalls(f, report)
	}
	checkComments(files, report)
	checkSDK(files, report)
	return slices.Sorted(maps.Keys(found))
}

func checkLayers(f file, report func(string, ...any)) {
	layer := -1
	for i, l := range layers {
		if within(f.folder, l.folder) && (layer < 0 || len(l.folder) > len(layers[layer].folder)) {
			layer = i
		}
	}
	if layer < 0 {
		report("%s: folder %s has no entry in layers", f.name, f.folder)
		return
	}
	l := layers[layer]
	if l.folder == "." && f.name != "arch_test.go" {
		report("%s: %s", f.name, l.why)
	}
	for _, p := range f.imports() {
		target, ours := strings.CutPrefix(p, module+"/")
		may := append(slices.Clone(l.may), "="+seams)
		if f.test {
			may = append(append(may, l.tests...), seamTest, database)
		}
		if ours && !within(target, l.folder) && !slices.ContainsFunc(may, func(m string) bool { return permits(m, target) }) {
			report("%s imports %s: %s", f.name, target, l.why)
		}
		if ours && forTests(target) && !f.test && !forTests(f.folder) && !anyWithin(f.folder, measuring) {
			report("%s imports %s, which is for tests", f.name, target)
		}
	}
}

// permits tells whether an entry of layers covers a folder.
func permits(entry, target string) bool {
	if exact, ok := strings.CutPrefix(entry, "="); ok {
		return target == exact
	}
	return within(target, entry)
}

func checkImports(f file, report func(string, ...any)) {
	for _, spec := range f.ast.Imports {
		if spec.Name != nil && spec.Name.Name == "." {
			report("%s: dot import of %s hides what the code uses", f.name, spec.Path.Value)
		}
	}
	for _, p := range f.imports() {
		for _, o := range owned {
			if anyWithin(p, o.imports) && !anyWithin(f.folder, o.folders) {
				report("%s imports %s, which only %s may: %s", f.name, p, strings.Join(o.folders, " and "), o.why)
			}
		}
		if f.test {
			continue
		}
		for _, r := range forbidden {
			if within(f.folder, r.folder) && anyWithin(p, r.imports) {
				report("%s imports %s: %s", f.name, p, r.why)
			}
		}
		if p == "flag" && !f.command() {
			report("%s reads flags: only commands do, libraries take options", f.name)
		}
	}
}

func checkCalls(f file, report func(string, ...any)) {
	names := map[string]string{} // local name -> import path
	for i, p := range f.imports() {
		name := path.Base(p)
		if n := f.ast.Imports[i].Name; n != nil {
			name = n.Name
		}
		names[name] = p
	}
	ast.Inspect(f.ast, func(node ast.Node) bool {
		selector, ok := node.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		at, name := f.fset.Position(selector.Pos()), selector.Sel.Name
		switch {
		case f.test:
			if names[from.Name] == "" && (name == "Skip" || name == "Skipf" || name == "SkipNow") {
				report("%s: skips: a skipped test proves nothing", at)
			}
		case anyWithin(f.folder, clockless) && slices.Contains(clock[names[from.Name]], name):
			report("%s: %s.%s reads the clock: time comes in as an argument here", at, from.Name, name)
		case !f.command() && !within(f.folder, seams) && !anyWithin(f.folder, asked) && slices.Contains(environment[names[from.Name]], name):
			report("%s: %s.%s reads the environment: only commands do, libraries take options", at, from.Name, name)
		}
		return true
	})
}

func checkComments(files []file, report func(string, ...any)) {
	commented := map[string]bool{}
	for _, f := range files {
		folder := f.folder
		doc := f.ast.Doc.Text()
		says := strings.HasPrefix(doc, "Package "+f.ast.Name.Name+" ") || strings.HasPrefix(doc, "Command ")
		commented[folder] = commented[folder] || says
	}
	for folder, ok := range commented {
		if !ok {
			report("%s: no package comment: begin one file with `// Package <name> ...` or `// Command <name> ...`", folder)
		}
	}
}

func checkSDK(files []file, report func(string, ...any)) {
	uses := map[string][]string{}
	for _, f := range files {
		if !f.test {
			uses[f.folder] = append(uses[f.folder], f.imports()...)
		}
	}
	seen := map[string]bool{}
	var walk func(folder, trail string)
	walk = func(folder, trail string) {
		if seen[folder] {
			return
		}
		seen[folder] = true
		for _, p := range uses[folder] {
			if target, ours := strings.CutPrefix(p, module+"/"); ours {
				walk(target, trail+" -> "+target)
				continue
			}
			if first, _, _ := strings.Cut(p, "/"); strings.Contains(first, ".") && !anyWithin(p, sdkThirdParty) {
				report("%s -> %s: not among the few dependencies that every app may carry", trail, p)
			}
		}
	}
	for _, root := range sdkRoots {
		walk(root, root)
	}
}

// within tells whether p is folder or lies below it. "." is the root alone.
func within(p, folder string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

func anyWithin(p string, folders []string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return within(p, folder) })
}
