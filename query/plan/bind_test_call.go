package plan

import (
	"strings"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// test binds chi2_test(a, b), its relatives, and the scalars that are one number of them.
func (b *exprBinder) test(c *sql.Call, name string) (*Expr, error) {
	inner, filter, err := b.begin(c)
	if err != nil {
		return nil, err
	}
	if c.Star || c.Distinct {
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "%s takes two categories: %s(a, b)", name, name)
	}
	scalar, isScalar := scalarTests[name]
	a := &Aggregate{Kind: AggTest, Type: Record, Filter: filter, Test: testFunctions[name]}
	if isScalar {
		a.Test = scalar.kind
	}
	if a.A, a.B, err = inner.categories(c, name, a); err != nil {
		return nil, err
	}
	if b.block != nil {
		if b.block.counts() > 1 {
			return nil, b.fail(c.Pos, errcode.AmbiguousColumn, "%s weighs each row by its column count, and the join has more than one", name).
				WithHint("join in a derived table that has one: FROM (SELECT a, b, x.count FROM x JOIN y …) AS s")
		}
		a.Weight = b.block.weight()
	}
	record := b.add(a)
	if !isScalar {
		return record, nil
	}
	value := field(record, scalar.field)
	n := field(record, FieldN)
	switch name {
	case "contingency": // √(X²/(X²+n))
		total, err := b.operator(c.Pos, "+", value, b.float(n))
		if err != nil {
			return nil, err
		}
		share, err := b.operator(c.Pos, "/", value, total)
		if err != nil {
			return nil, err
		}
		return call(resolve("sqrt", []Type{Float8}), Float8, share), nil
	case "mutual_information": // G = 2n·MI
		twice, err := b.operator(c.Pos, "*", b.float(n), Constant(FloatValue(2)))
		if err != nil {
			return nil, err
		}
		return b.operator(c.Pos, "/", value, twice)
	}
	return value, nil
}

// categories binds the two categories of a test and its named arguments.
func (b *exprBinder) categories(c *sql.Call, name string, a *Aggregate) (first, second *Expr, err error) {
	var cats []*Expr
	for i, arg := range c.Args {
		if arg.Name == "correction" || arg.Name == "" && i == 2 && a.Test == Pearson {
			x, err := b.condition(arg.Value)
			if err != nil {
				return nil, nil, err
			}
			if !x.isConst() && x.Kind != exprParam {
				return nil, nil, b.fail(arg.Value.At(), errcode.InvalidOption, "correction must be true or false")
			}
			if x.Value.Bool() {
				if a.Test != Pearson {
					return nil, nil, b.fail(arg.Pos, errcode.InvalidOption, "%s has no continuity correction", name)
				}
				a.Test = Yates
			}
			continue
		}
		if arg.Name != "" {
			return nil, nil, b.fail(arg.Pos, errcode.UnknownFunction, "function %s has no argument %q", name, arg.Name).
				WithHint("the arguments are %s(a, b, correction => true)", name)
		}
		x, err := b.value(arg.Value)
		if err != nil {
			return nil, nil, err
		}
		cats = append(cats, b.settle(x))
	}
	if len(cats) != 2 {
		return nil, nil, b.fail(c.Pos, errcode.UnknownFunction, "function %s takes two categories, not %d", name, len(cats)).
			WithHint("write %s(a, b), where a and b are columns or expressions of columns", name)
	}
	for i, x := range cats {
		if b.block != nil && b.block.table != nil && usesColumn(x, len(b.block.table.Dims)+1) {
			return nil, nil, b.fail(c.Args[i].Value.At(), errcode.TypeMismatch, "%s tests categories; count is what it counts", name)
		}
	}
	return cats[0], cats[1], nil
}

func usesColumn(e *Expr, col int) bool {
	for _, c := range e.Columns() {
		if c == col {
			return true
		}
	}
	return false
}

// field is column i of a test.
func field(record *Expr, i int) *Expr {
	return &Expr{Kind: exprAgg, Type: TestColumns[i].Type, Col: record.Col, Field: i}
}

func (b *exprBinder) field(e *sql.Field) (*Expr, error) {
	x, err := b.bind(e.X)
	if err != nil {
		return nil, err
	}
	if x.Type != Record {
		return nil, b.fail(e.Pos, errcode.TypeMismatch, "column notation .%s applied to type %s, which is not a composite type", e.Name, x.Type)
	}
	var names []string
	for i, c := range TestColumns {
		if c.Name == e.Name {
			return field(x, i), nil
		}
		names = append(names, c.Name)
	}
	fail := b.fail(e.Pos, errcode.UnknownColumn, "a test has no column %q", e.Name)
	if near, ok := Nearest(e.Name, names); ok {
		return nil, fail.WithHint("did you mean %q?", near)
	}
	return nil, fail.WithHint("its columns are %s", strings.Join(names, ", "))
}

// recordJSON is the whole record as one JSON object.
func recordJSON(record *Expr) *Expr {
	var args []*Expr
	for i, c := range TestColumns {
		args = append(args, Constant(TextValue(c.Name)), field(record, i))
	}
	return call(fnObject, JSON, args...)
}
