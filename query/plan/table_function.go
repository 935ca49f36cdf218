package plan

import (
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
	"github.com/quipudb/quipu/storage/schema"
)

func (b *Binder) tableFunction(ref *sql.TableFunc) (Node, error) {
	c := ref.Call
	switch c.Name.Name {
	case "crosstab":
		return b.crosstab(c)
	case "independence_scan":
		return b.independenceScan(c)
	}
	return b.rowFunction(ref)
}

// crosstab binds crosstab('t', 'a', 'b', filter => '…', correction => '…'). The second and third argument are expressions over the table.
func (b *Binder) crosstab(c *sql.Call) (Node, error) {
	args, err := b.tableArguments(c, "crosstab('table', 'row dimension', 'column dimension', filter => '…', correction => 'holm')", 3, "filter", "correction")
	if err != nil {
		return nil, err
	}
	k, err := b.tableBlock(args)
	if err != nil {
		return nil, err
	}
	var cats [2]*Expr
	for i := range cats {
		if cats[i], err = b.oneDimension(args.texts[i+1], k, "crosstab"); err != nil {
			return nil, err
		}
	}
	n := &Crosstab{RowOrder: cats[0].order, ColOrder: cats[1].order, cols: []Column{
		{"row", cats[0].Type}, {"col", cats[1].Type}, {"count", Int8}, {"expected", Float8}, {"residual", Float8}, {"adjusted_residual", Float8},
		{"deviance_residual", Float8}, {"p_value", Float8}, {"ln_p", Float8}, {"p_adjusted", Float8},
	}}
	if n.Correction, err = b.correction(args, stats.Holm); err != nil {
		return nil, err
	}
	chi2 := TestByName("chi2_test")
	n.Fragment = b.fragment(k)
	n.Fragment.Aggs = []*Aggregate{{Kind: AggTest, Type: Record, Test: chi2, Options: chi2.defaults(), Cats: cats[:], Mode: ModeCells}}
	n.Fragment.Mode, n.Fragment.Why = ModeCells, "crosstab shows every cell"
	return n, nil
}

// scanMax bounds the tests of a scan of all dimensions that are shown.
const scanMax = 100_000

// independenceScan binds independence_scan('t', target => '…', top => 20, correction => 'bh', partition => '…', filter => '…'): a test of
// every dimension with the target, in one pass over the table.
func (b *Binder) independenceScan(c *sql.Call) (Node, error) {
	const usage = "independence_scan('table', target => 'dimension', top => 20, correction => 'bh', partition => 'dimension', filter => '…')"
	args, err := b.tableArguments(c, usage, 1, "filter", "correction", "target", "top", "partition")
	if err != nil {
		return nil, err
	}
	k, err := b.tableBlock(args)
	if err != nil {
		return nil, err
	}
	target, ok := args.named["target"]
	if !ok {
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "independence_scan needs a target").WithHint("write %s", usage)
	}
	n := &Screen{Top: scanMax}
	y, err := b.oneDimension(target, k, "target")
	if err != nil {
		return nil, err
	}
	skip := map[int]bool{y.Columns()[0]: true}
	if p, ok := args.named["partition"]; ok {
		key, err := b.oneDimension(p, k, "partition")
		if err != nil {
			return nil, err
		}
		skip[key.Columns()[0]] = true
		k.keys = []*Expr{key}
	}
	if n.Correction, err = b.correction(args, stats.BenjaminiHochberg); err != nil {
		return nil, err
	}
	if t, ok := args.named["top"]; ok {
		v, castOK := castInt(TextValue(t.text))
		if !castOK || v.Int() < 1 || v.Int() > scanMax {
			return nil, b.fail(t.pos, errcode.InvalidOption, "top must be a number from 1 to %d", scanMax)
		}
		n.Top = int(v.Int())
	}
	chi2 := TestByName("chi2_test")
	for d, dim := range k.table.Dims {
		if !skip[d] {
			n.Dims = append(n.Dims, dim.Name)
			k.aggs = append(k.aggs, &Aggregate{Kind: AggTest, Type: Record, Test: chi2, Options: chi2.defaults(), Cats: []*Expr{ColumnRef(d, TypeOf(dim)), y}})
		}
	}
	if len(n.Dims) == 0 {
		return nil, b.fail(c.Pos, errcode.InvalidOption, "table %q has no dimension besides the target", k.table.Name.Table)
	}
	n.Fragment = b.fragment(k)
	n.Fragment.Keys, n.Fragment.Aggs = k.keys, k.aggs
	if err := b.chooseMode(n.Fragment, k.table); err != nil {
		return nil, err
	}
	n.cols = []Column{{"dimension", Text}}
	if len(k.keys) > 0 {
		n.cols = append(n.cols, Column{"partition", k.keys[0].Type})
	}
	n.cols = append(n.cols, Column{"statistic", Float8}, Column{"df", Int8}, Column{"p_value", Float8}, Column{"ln_p", Float8}, Column{"p_adjusted", Float8},
		Column{"ln_p_adjusted", Float8}, Column{"cramers_v", Float8}, Column{"cramers_v_corrected", Float8}, Column{"n", Int8}, Column{"warning", Text})
	return n, nil
}

// correction is the option of that name.
func (b *Binder) correction(args *tableArgs, byDefault stats.Adjustment) (stats.Adjustment, error) {
	q, ok := args.named["correction"]
	if !ok {
		return byDefault, nil
	}
	a, err := stats.ParseAdjustment(q.text)
	if err != nil {
		return 0, b.fail(q.pos, errcode.InvalidOption, "there is no correction %q", clipText(q.text)).WithHint("it is one of %s", adjustmentNames())
	}
	return a, nil
}

func adjustmentNames() string {
	var names []string
	for a := stats.Bonferroni; a <= stats.BenjaminiYekutieli; a++ {
		names = append(names, a.String())
	}
	return strings.Join(names, ", ")
}

// quoted is an argument that is SQL text itself.
type quoted struct {
	text string
	pos  sql.Pos
}

// tableArgs are the arguments of a table function: texts, the first of which names a table.
type tableArgs struct {
	texts []quoted
	named map[string]quoted
}

// tableArguments reads count texts and options with these names; numbers are taken for their text.
func (b *Binder) tableArguments(c *sql.Call, usage string, count int, names ...string) (*tableArgs, error) {
	name := c.Name.Name
	out := &tableArgs{named: map[string]quoted{}}
	for _, a := range c.Args {
		e := &exprBinder{Binder: b, scope: &scope{}, clause: name}
		x, err := e.value(a.Value)
		if err != nil {
			return nil, err
		}
		if x.Type == Int8 && x.isConst() {
			x = Constant(TextValue(x.Value.String()))
		}
		if x, err = b.coerce(x, Text, a.Value.At()); err != nil || !x.isConst() {
			return nil, b.fail(a.Value.At(), errcode.TypeMismatch, "the arguments of %s are strings", name).WithHint("write %s", usage)
		}
		q := quoted{x.Value.Text(), a.Value.At()}
		switch _, twice := out.named[a.Name]; {
		case a.Name == "":
			out.texts = append(out.texts, q)
		case !slices.Contains(names, a.Name):
			return nil, b.fail(a.Pos, errcode.UnknownFunction, "%s has no argument %q", name, a.Name).WithHint("write %s", usage)
		case twice:
			return nil, b.fail(a.Pos, errcode.InvalidOption, "%s has argument %q twice", name, a.Name)
		default:
			out.named[a.Name] = q
		}
	}
	if len(out.texts) != count {
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "%s takes %d arguments without a name, not %d", name, count, len(out.texts)).WithHint("write %s", usage)
	}
	return out, nil
}

// tableBlock is the block of the table that the arguments name, with the condition of their filter.
func (b *Binder) tableBlock(args *tableArgs) (*block, error) {
	q := args.texts[0]
	name := sql.Name{Pos: q.pos, Name: q.text}
	if x, err := sql.ParseExpr(q.text); err == nil {
		if col, ok := x.(*sql.Column); ok {
			name.Name, name.Schema, name.Database = col.Name, col.Table, col.Schema
		}
	}
	t, err := b.Table(name, schema.Select)
	if err != nil {
		return nil, err
	}
	k := &block{table: t}
	k.scope.add(t.Name.Table, t.Name.Schema, t, tableColumns(t))
	if filter, ok := args.named["filter"]; ok {
		cond, err := b.inside(filter, k, "filter")
		if err != nil {
			return nil, err
		}
		if cond.Type != Bool {
			return nil, b.fail(filter.pos, errcode.TypeMismatch, "filter must be type bool, not type %s", cond.Type)
		}
		k.where = cond
	}
	return k, nil
}

// oneDimension binds an argument that is an expression of one dimension or of ts.
func (b *Binder) oneDimension(q quoted, k *block, clause string) (*Expr, error) {
	x, err := b.inside(q, k, clause)
	if err != nil {
		return nil, err
	}
	if usesColumn(x, len(k.table.Dims)+1) || len(x.Columns()) != 1 {
		return nil, b.fail(q.pos, errcode.TypeMismatch, "%s needs a dimension, or an expression of one dimension or of ts", clause)
	}
	return x, nil
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
	}
	out := errcode.New(code, "%s", e.Message).At(e.Pos)
	out.Hint = e.Hint
	return out
}
