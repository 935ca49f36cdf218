package plan

import (
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// test binds a call of t; column names the one column that a scalar function gives, or is empty.
func (b *exprBinder) test(c *sql.Call, t *Test, column string) (*Expr, error) {
	inner, filter, err := b.begin(c)
	if err != nil {
		return nil, err
	}
	name := strings.ToLower(c.Name.Name)
	if c.Star || c.Distinct {
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "%s takes categories: %s", name, t.Signature())
	}
	a := &Aggregate{Kind: AggTest, Type: Record, Filter: filter, Test: t}
	if err := inner.testArguments(c, name, a); err != nil {
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
	if column == "" {
		return record, nil
	}
	return field(record, t.column(column)), nil
}

// testArguments binds the categories of a test and its options. Options may stand behind the categories without their names.
func (b *exprBinder) testArguments(c *sql.Call, name string, a *Aggregate) error {
	t := a.Test
	a.Options = t.defaults()
	given := map[int]bool{}
	place := 0
	for _, arg := range c.Args {
		option := -1
		switch {
		case arg.Name != "" && place < len(t.Cats) && arg.Name == t.Cats[place].Name:
			place++
			if err := b.category(arg.Value, name, a); err != nil {
				return err
			}
			continue
		case arg.Name != "":
			option = slices.IndexFunc(t.Options, func(o Option) bool { return o.Name == arg.Name })
			if option < 0 {
				return b.noOption(arg, name, t)
			}
		case place < len(t.Cats) || t.More && len(a.Cats) < CatsMax:
			place++
			if err := b.category(arg.Value, name, a); err != nil {
				return err
			}
			continue
		default:
			if option = place - len(t.Cats); t.More || option >= len(t.Options) {
				return b.fail(arg.Value.At(), errcode.UnknownFunction, "function %s takes no more than %d arguments", name, place).
					WithHint("it is called %s", t.Signature())
			}
			place++
		}
		if given[option] {
			return b.fail(arg.Pos, errcode.InvalidOption, "option %q of %s is given twice", t.Options[option].Name, name)
		}
		given[option] = true
		if err := b.option(arg.Value, t, option, a); err != nil {
			return err
		}
	}
	if len(a.Cats) < len(t.Cats) {
		return b.fail(c.Pos, errcode.UnknownFunction, "function %s takes %s, not %s", name, categories(len(t.Cats)), categories(len(a.Cats))).
			WithHint("it is called %s, where categories are columns or expressions of columns", t.Signature())
	}
	return nil
}

// CatsMax bounds the categories of one test.
const CatsMax = 8

func categories(n int) string {
	switch n {
	case 0:
		return "none"
	case 1:
		return "1 category"
	}
	return itoa(n) + " categories"
}

func (b *exprBinder) noOption(arg sql.Arg, name string, t *Test) error {
	err := b.fail(arg.Pos, errcode.UnknownFunction, "function %s has no argument %q", name, arg.Name)
	var names []string
	for _, o := range t.Options {
		names = append(names, o.Name)
	}
	if near, ok := Nearest(arg.Name, names); ok {
		return err.WithHint("did you mean %s?", near)
	}
	return err.WithHint("it is called %s", t.Signature())
}

// category binds one category.
func (b *exprBinder) category(e sql.Expr, name string, a *Aggregate) error {
	want := a.Test.Cats[min(len(a.Cats), len(a.Test.Cats)-1)]
	x, err := b.value(e)
	if err != nil {
		return err
	}
	if want.Kind == Condition && x.Type != Bool && x.Type != Unknown {
		return b.fail(e.At(), errcode.TypeMismatch, "%s of %s is a condition, not of type %s", want.Name, name, x.Type).
			WithHint("compare it with a value, as in admitted = 'yes'")
	}
	order := x.order
	x = b.settle(x)
	if b.block != nil && b.block.table != nil && usesColumn(x, len(b.block.table.Dims)+1) {
		return b.fail(e.At(), errcode.TypeMismatch, "%s tests categories; count is what it counts", name)
	}
	ranked := order != nil && x.Type == Text
	switch {
	case want.Kind == Nominal || want.Kind == Condition:
	case ranked:
		x = rank(x, order)
	case want.Kind == Sided || x.Type == Int8 || x.Type == Bool || x.Type == Timestamptz || x.Type == Float8 && want.Kind == Ordered:
	case x.Type == Float8:
		return b.fail(e.At(), errcode.TypeMismatch, "%s of %s has whole numbers as scores", want.Name, name).WithHint("multiply it and cast it: (10 * x)::int8")
	default:
		return b.fail(e.At(), errcode.TypeMismatch, "%s of %s needs an order, which type %s does not have", want.Name, name, x.Type).
			WithHint("declare the order of the dimension (text ORDER ('low', 'high')), cast numbers to int8, or give scores by CASE")
	}
	a.Cats = append(a.Cats, x)
	return nil
}

// option binds one option, which must be known before any row is read.
func (b *exprBinder) option(e sql.Expr, t *Test, i int, a *Aggregate) error {
	o := t.Options[i]
	x, err := b.value(e)
	if err != nil {
		return err
	}
	if x, err = b.coerce(x, o.Type, e.At()); err != nil {
		return b.fail(e.At(), errcode.TypeMismatch, "option %s of %s is of type %s", o.Name, t.Name, o.Type).WithHint("it is called %s", t.Signature())
	}
	if len(x.Columns()) > 0 {
		return b.fail(e.At(), errcode.InvalidOption, "option %s of %s must be the same for all rows", o.Name, t.Name)
	}
	if x.Kind == exprParam {
		return nil
	}
	v, err := x.Eval(nil)
	switch {
	case err != nil:
		return b.locate(err, e.At())
	case v.IsNull():
		return nil
	case o.Words != nil && !slices.Contains(o.Words, v.Text()):
		err := b.fail(e.At(), errcode.InvalidOption, "%s of %s cannot be %q", o.Name, t.Name, clipText(v.Text()))
		return err.WithHint("it is one of %s", strings.Join(o.Words, ", "))
	case o.check != nil:
		if err := o.check(v); err != nil {
			return b.locate(err, e.At())
		}
	}
	a.Options[i] = v
	return nil
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
	return &Expr{Kind: exprAgg, Type: record.test.columns[i].Type, Col: record.Col, Field: i, test: record.test}
}

// testColumn is the name of the column of a test that e is, or nothing.
func (e *Expr) testColumn() string {
	if e.Kind != exprAgg || e.test == nil || e.Field < 0 {
		return ""
	}
	return e.test.columns[e.Field].Name
}

func (b *exprBinder) field(e *sql.Field) (*Expr, error) {
	if c, ok := e.X.(*sql.Column); ok { // a record of a derived table is its columns, name_field
		whole := sql.Column{Pos: c.Pos, Schema: c.Schema, Table: c.Table, Name: c.Name + "_" + e.Name}
		if x, err := b.findOrNot(b.scope, &whole); err == nil && x != nil && !x.isConst() {
			return x, nil
		}
	}
	x, err := b.bind(e.X)
	if err != nil {
		return nil, err
	}
	if x.Kind == exprRecord {
		if i := slices.Index(x.names, e.Name); i >= 0 {
			return x.Args[i], nil
		}
		return nil, b.fail(e.Pos, errcode.UnknownColumn, "column %q not found in the record", e.Name).WithHint("its columns are %s", strings.Join(x.names, ", "))
	}
	if x.Type != Record {
		return nil, b.fail(e.Pos, errcode.TypeMismatch, "column notation .%s applied to type %s, which is not a composite type", e.Name, x.Type)
	}
	if i := x.test.column(e.Name); i >= 0 {
		return field(x, i), nil
	}
	var names []string
	for _, c := range x.test.columns {
		names = append(names, c.Name)
	}
	fail := b.fail(e.Pos, errcode.UnknownColumn, "%s has no column %q", x.test.Name, e.Name)
	if near, ok := Nearest(e.Name, names); ok {
		return nil, fail.WithHint("did you mean %q?", near)
	}
	return nil, fail.WithHint("its columns are %s", strings.Join(names, ", "))
}

// recordJSON is the whole record as one JSON object.
func recordJSON(record *Expr, name string) *Expr {
	var args []*Expr
	for i, c := range record.test.columns {
		args = append(args, Constant(TextValue(c.Name)), field(record, i))
	}
	if name == "to_jsonb" {
		return call(resolve("jsonb_build_object", nil), JSON, args...)
	}
	return call(fnObject, JSON, args...)
}
