package known

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quipudb/quipu/server/errcode"
)

func TestFrom(t *testing.T) {
	for _, e := range table {
		got := From(fmt.Errorf("shard 3: %w", e.err))
		if got.Code != e.code || !strings.HasPrefix(got.Message, "shard 3: ") {
			t.Errorf("%s: %v, want %s", e.name, got, e.code)
		}
		if errcode.Of(e.code).Code != e.code {
			t.Errorf("%s: code %s has no row", e.name, e.code)
		}
	}
	if own := errcode.New(errcode.Late, "late: %w", table[0].err); From(own) != own {
		t.Error("the public error of the chain does not go first")
	}
	if From(nil) != nil {
		t.Error("From(nil) is not nil")
	}
}

// TestEveryExportedErrorHasARow reads the source of the server: an exported error is one that a caller acts on, and so has a code.
func TestEveryExportedErrorHasARow(t *testing.T) {
	rows := map[string]bool{}
	for _, e := range table {
		rows[e.name] = true
	}
	for _, dir := range []string{"storage", "fsm", "query", "server", "proto/command"} {
		err := filepath.WalkDir(filepath.Join("../../..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			for _, name := range exportedErrors(file) {
				if !rows[name] {
					t.Errorf("%s exports %s, which has no row in server/errcode/known", path, name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// exportedErrors are the package-level variables of a file that are called Err….
func exportedErrors(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.VAR {
			continue
		}
		for _, spec := range gen.Specs {
			for _, name := range spec.(*ast.ValueSpec).Names {
				if strings.HasPrefix(name.Name, "Err") {
					names = append(names, file.Name.Name+"."+name.Name)
				}
			}
		}
	}
	return names
}
