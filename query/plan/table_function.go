package plan

import (
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

func (b *Binder) tableFunction(ref *sql.TableFunc) (Node, error) {
	c := ref.Call
	switch c.Name.Name {
	case "crosstab":
		return b.crosstab(c)
	}
	return b.rowFunction(ref)
}

// crosstab binds crosstab('t', 'a', 'b', filter => '…'). The second and third argument are expressions over the table.
func (b *Binder) crosstab(c *sql.Call) (Node, error) {
	args, filter, err := b.crosstabArguments(c)
	if err != nil {
		return nil, err
	}
	name := sql.Name{Pos: args[0].pos, Name: args[0].text}
	if x, err := sql.ParseExpr(args[0].text); err == nil {
		if col, ok := x.(*sql.Column); ok {
			name.Name, name.Schema, name.Database = col.Name, col.Table, col.Schema
		}
	}
	t, err := b.Table(name)
	if err != nil {
		return nil, err
	}
	k := &block{table: t}
	k.scope.add(t.Name.Table, t.Name.Schema, t, tableColumns(t))
	var cats [2]*Expr
	for i := range cats {
		if cats[i], err = b.inside(args[i+1], k, "crosstab"); err != nil {
			return nil, err
		}
		if usesColumn(cats[i], len(t.Dims)+1) || len(cats[i].Columns()) != 1 {
			return nil, b.fail(args[i+1].pos, errcode.TypeMismatch, "crosstab needs a dimension, or an expression of one dimension or of ts")
		}
	}
	if filter != nil {
		cond, err := b.inside(*filter, k, "filter")
		if err != nil {
			return nil, err
		}
		if cond.Type != Bool {
			return nil, b.fail(filter.pos, errcode.TypeMismatch, "filter must be type bool, not type %s", cond.Type)
		}
		k.where = cond
	}
	f, chi2 := b.fragment(k), TestByName("chi2_test")
	f.Aggs = []*Aggregate{{Kind: AggTest, Type: Record, Test: chi2, Options: chi2.defaults(), Cats: cats[:], Mode: ModeCells}}
	f.Mode, f.Why = ModeCells, "crosstab shows every cell"
	return &Crosstab{Fragment: f, RowOrder: cats[0].order, ColOrder: cats[1].order, cols: []Column{
		{"row", cats[0].Type}, {"col", cats[1].Type}, {"count", Int8}, {"expected", Float8}, {"residual", Float8}, {"adjusted_residual", Float8},
	}}, nil
}

// quoted is an argument that is SQL text itself.
type quoted struct {
	text string
	pos  sql.Pos
}

func (b *Binder) crosstabArguments(c *sql.Call) (args []quoted, filter *quoted, err error) {
	for _, a := range c.Args {
		e := &exprBinder{Binder: b, scope: &scope{}, clause: "crosstab"}
		x, err := e.value(a.Value)
		if err != nil {
			return nil, nil, err
		}
		if x, err = b.coerce(x, Text, a.Value.At()); err != nil || !x.isConst() {
			return nil, nil, b.fail(a.Value.At(), errcode.TypeMismatch, "the arguments of crosstab are strings").
				WithHint("write crosstab('table', 'row dimension', 'column dimension', filter => '…')")
		}
		q := quoted{x.Value.Text(), a.Value.At()}
		switch a.Name {
		case "":
			args = append(args, q)
		case "filter":
			filter = &q
		default:
			return nil, nil, b.fail(a.Pos, errcode.UnknownFunction, "crosstab has no argument %q", a.Name).WithHint("it has filter => '…'")
		}
	}
	if len(args) != 3 {
		return nil, nil, b.fail(c.Pos, errcode.UnknownFunction, "crosstab takes a table and two dimensions, not %d arguments", len(args)).
			WithHint("write crosstab('table', 'row dimension', 'column dimension', filter => '…')")
	}
	return args, filter, nil
}

// inside binds the SQL text of an argument. Errors point at the argument.
func (b *Binder) inside(q quoted, k *block, clause string) (*Expr, error) {
	outer := func(err error) error {
		e := *errcode.From(SyntaxError(err))
		e.Message = "in " + clause + ": " + e.Message
		e.Position = sql.CharPos(b.Text, q.pos)
		return &e
	}
	tree, err := sql.ParseExpr(q.text)
	if err != nil {
		return nil, outer(err)
	}
	inner := *b
	inner.Text = q.text
	e := &exprBinder{Binder: &inner, scope: &k.scope, clause: clause}
	x, err := e.value(tree)
	if err != nil {
		return nil, outer(err)
	}
	if clause == "filter" {
		if x, err = inner.coerce(x, Bool, 0); err != nil {
			return nil, outer(err)
		}
	}
	order := x.order
	x = b.settle(x)
	if x.order == nil {
		x.order = order
	}
	return x, nil
}

// SyntaxError is the public form of an error of the parser; other errors pass as they are.
func SyntaxError(err error) error {
	e, ok := err.(*sql.Error)
	if !ok {
		return err
	}
	code := errcode.SyntaxError
	if row, ok := errcode.BySQLState(e.Code); ok {
		code = row.Code
	} else if e.Code == sql.CodeTooComplex || e.Code == sql.CodeTooMany {
		code = errcode.TooLarge
	}
	out := errcode.New(code, "%s", e.Message).At(e.Pos)
	out.Hint = e.Hint
	return out
}
