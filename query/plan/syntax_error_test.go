package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// TestSyntaxErrorsKeepTheirCode holds that each SQLSTATE of the parser reaches those who ask: one without a row in the table would become 42601.
func TestSyntaxErrorsKeepTheirCode(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../sql/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		state, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		got := errcode.Of(errcode.From(SyntaxError(&sql.Error{Code: state, Message: "no"})).Code).SQLState
		if got != state {
			t.Errorf("%s: %s arrives as %s", spec.Names[0].Name, state, got)
		}
		return true
	})
	if n < 10 {
		t.Errorf("%d codes in ../sql/error.go", n)
	}
}
