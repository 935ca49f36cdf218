package integration

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A state machine is a function of (state, command): its code reads no clock and no randomness, starts no goroutine and does
// not depend on the order of a map. machinePackages are held to that, except for what machineExcuses names.
var machinePackages = []string{"fsm", "fsm/row", "fsm/counter", "fsm/meta"}

// machineExcuses are findings that are not the machine's, by file and what was found, with the reason. One that is found no
// longer must go.
var machineExcuses = map[string]string{
	"fsm/snapshots.go: time.Now":  "bounds how long a stream to a follower keeps the log; nothing of it is state",
	"fsm/stream.go: go statement": "receives a leader's stream into files, beside the machine; Restore installs it in the machine's goroutine",
}

// mapMarks are the comments that say why the order of a map does not matter where it is ranged over.
var mapMarks = []string{"sorted below", "any order:"}

// forbiddenImports have no business in a machine.
var forbiddenImports = []string{"crypto/rand", "math/rand", "math/rand/v2", "os", "net", "net/http", "runtime", "hash/maphash", "unsafe"}

// forbiddenFuncs read the clock or the order of a map. maps.Keys and maps.Values are allowed as the argument of slices.Sorted.
var forbiddenFuncs = []string{
	"time.Now", "time.Since", "time.Until", "time.After", "time.AfterFunc", "time.Sleep", "time.NewTimer", "time.NewTicker", "time.Tick",
	"maps.Keys", "maps.Values", "maps.All",
}

// linter finds what makes a machine depend on more than its state and its commands.
type linter struct {
	fset  *token.FileSet
	info  *types.Info
	marks map[int]bool // lines of the file with a mark
	file  string
	found []finding
}

type finding struct {
	file, what string
	pos        token.Position
}

func (l *linter) report(n ast.Node, what string) {
	l.found = append(l.found, finding{l.file, what, l.fset.Position(n.Pos())})
}

func (l *linter) lintFile(name string, f *ast.File) {
	l.file, l.marks = name, map[int]bool{}
	for _, group := range f.Comments {
		for _, c := range group.List {
			if slices.ContainsFunc(mapMarks, func(m string) bool { return strings.Contains(c.Text, m) }) {
				l.marks[l.fset.Position(c.Pos()).Line] = true
			}
		}
	}
	for _, imp := range f.Imports {
		if path := strings.Trim(imp.Path.Value, `"`); slices.Contains(forbiddenImports, path) {
			l.report(imp, "import of "+path)
		}
	}
	sorted := map[ast.Node]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			l.report(n, "go statement")
		case *ast.RangeStmt:
			if _, isMap := l.info.TypeOf(n.X).Underlying().(*types.Map); isMap && !l.marks[l.fset.Position(n.Pos()).Line] {
				l.report(n, "range of map")
			}
		case *ast.CallExpr:
			if l.name(n.Fun) == "slices.Sorted" && len(n.Args) == 1 {
				if inner, ok := n.Args[0].(*ast.CallExpr); ok {
					sorted[inner.Fun] = true
				}
			}
		case *ast.SelectorExpr:
			if name := l.name(n); slices.Contains(forbiddenFuncs, name) && !sorted[n] {
				l.report(n, name)
			}
		}
		return true
	})
}

// name is "package.Function" if e names a function of another package.
func (l *linter) name(e ast.Expr) string {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	fn, ok := l.info.Uses[sel.Sel].(*types.Func)
	if !ok || fn.Pkg() == nil || fn.Signature().Recv() != nil {
		return ""
	}
	return fn.Pkg().Path() + "." + fn.Name()
}

// lint parses and type-checks the files of one package.
func lint(fset *token.FileSet, imp types.Importer, path string, names []string, sources map[string]string) ([]finding, error) {
	l := &linter{fset: fset, info: &types.Info{Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}}
	var files []*ast.File
	for _, name := range names {
		var src any
		if s, ok := sources[name]; ok {
			src = s
		}
		f, err := parser.ParseFile(fset, filepath.Join("..", name), src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	if _, err := (&types.Config{Importer: imp}).Check(path, fset, files, l.info); err != nil {
		return nil, err
	}
	for i, f := range files {
		l.lintFile(names[i], f)
	}
	return l.found, nil
}

// exportImporter imports from the export data that the go command has in its cache.
func exportImporter(fset *token.FileSet, packages []goPackage) types.Importer {
	exports := map[string]string{}
	for _, p := range packages {
		exports[p.ImportPath] = p.Export
	}
	return importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data of %s", path)
		}
		return os.Open(exports[path])
	})
}

// TestMachinesAreDeterministic lints the state machines.
func TestMachinesAreDeterministic(t *testing.T) {
	var patterns []string
	for _, p := range machinePackages {
		patterns = append(patterns, "./"+p)
	}
	packages := goList(t, append([]string{"-export", "-deps"}, patterns...)...)
	fset := token.NewFileSet()
	imp := exportImporter(fset, packages)
	used := map[string]bool{}
	for _, p := range packages {
		short := strings.TrimPrefix(p.ImportPath, module+"/")
		if !slices.Contains(machinePackages, short) {
			continue
		}
		names := make([]string, len(p.GoFiles))
		for i, name := range p.GoFiles {
			names[i] = short + "/" + name
		}
		found, err := lint(fset, imp, p.ImportPath, names, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			key := f.file + ": " + f.what
			if machineExcuses[key] == "" {
				t.Errorf("%s:%d: %s in a state machine", f.file, f.pos.Line, f.what)
			}
			used[key] = true
		}
	}
	for key := range machineExcuses {
		if !used[key] {
			t.Errorf("the excuse for %q is not needed any more", key)
		}
	}
}

// TestMachineLintBites: the lint finds each kind of thing that it is there for.
func TestMachineLintBites(t *testing.T) {
	const source = `package bad

import (
	"maps"
	"math/rand"
	"slices"
	"time"
)

func Bad(m map[int]int) (n int64) {
	go func() {}()
	for k := range m {
		n += int64(k)
	}
	for k := range m { // any order: a sum
		n += int64(k)
	}
	_ = slices.Sorted(maps.Keys(m))
	_ = slices.Collect(maps.Keys(m))
	later := time.Until
	_ = later
	return n + time.Now().Unix() + rand.Int63()
}
`
	packages := goList(t, "-export", "-deps", "maps", "math/rand", "slices", "time")
	fset := token.NewFileSet()
	found, err := lint(fset, exportImporter(fset, packages), "bad", []string{"bad/bad.go"}, map[string]string{"bad/bad.go": source})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, fmt.Sprintf("%d %s", f.pos.Line, f.what))
	}
	want := []string{"5 import of math/rand", "11 go statement", "12 range of map", "19 maps.Keys", "20 time.Until", "22 time.Now"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}
