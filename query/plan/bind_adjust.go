package plan

import (
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// adjustNames are the functions that correct the p-value of a test for all groups; the place of a name is the column that it gives.
var adjustNames = []string{"p_adjust", "ln_p_adjust"}

// Adjusted is the correction of the ln p in column Col for all rows.
type Adjusted struct {
	Col        int
	Correction stats.Adjustment

	agg, field int // where the column comes from, while binding
}

// adjusted binds p_adjust(p, 'bh'), where p is the p-value or ln p of a test.
func (b *exprBinder) adjusted(c *sql.Call, name string, column int) (*Expr, error) {
	usage := name + "(chi2_p(a, b), 'bh')"
	switch {
	case b.inAgg:
		return nil, b.fail(c.Pos, errcode.GroupingError, "%s corrects tests of groups and cannot stand in an aggregate", name)
	case b.aggs == nil || b.block == nil:
		return nil, b.fail(c.Pos, errcode.GroupingError, "%s is not allowed in %s", name, b.clause)
	case len(c.Args) == 0 || len(c.Args) > 2 || c.Star || c.Distinct || c.Filter != nil:
		return nil, b.fail(c.Pos, errcode.UnknownFunction, "%s takes the p-value of a test and a correction", name).WithHint("write %s", usage)
	}
	x, err := b.bind(c.Args[0].Value)
	if err != nil {
		return nil, err
	}
	if is := x.testColumn(); is != "p_value" && is != "ln_p" || x.test.column("ln_p") < 0 {
		return nil, b.fail(c.Args[0].Value.At(), errcode.TypeMismatch, "%s corrects the p_value or ln_p of a test", name).WithHint("write %s", usage)
	}
	a := Adjusted{Correction: stats.BenjaminiHochberg, agg: x.Col, field: x.test.column("ln_p")}
	if len(c.Args) == 2 {
		at := c.Args[1].Value.At()
		y, err := b.value(c.Args[1].Value)
		if err != nil {
			return nil, err
		}
		if y, err = b.coerce(y, Text, at); err != nil {
			return nil, err
		}
		if y.Kind != exprParam {
			if a.Correction, err = stats.ParseAdjustment(y.Value.Text()); err != nil || !y.isConst() {
				return nil, b.fail(at, errcode.InvalidOption, "there is no such correction").WithHint("it is one of %s", adjustmentNames())
			}
		}
	}
	i := slices.Index(b.block.adjust, a)
	if i < 0 {
		i = len(b.block.adjust)
		b.block.adjust = append(b.block.adjust, a)
	}
	return adjustedRef(i, column), nil
}

// adjustedRef is p (0) or ln p (1) of correction i.
func adjustedRef(i, column int) *Expr {
	return &Expr{Kind: exprAdjusted, Type: Float8, Col: i, Field: column}
}

// adjusting adds the corrections of the block to its groups.
func (k *block) adjusting(n Node) Node {
	at, _ := aggOffsets(len(k.keys), k.aggs)
	out := &Adjust{Input: n, Adjusted: slices.Clone(k.adjust), cols: slices.Clone(n.Columns())}
	for i := range out.Adjusted {
		a := &out.Adjusted[i]
		a.Col = at[a.agg] + a.field
		out.cols = append(out.cols, Column{"", Float8}, Column{"", Float8})
	}
	return out
}

// Adjust puts the corrected p-value and its logarithm behind each row, for each of Adjusted. The family is all rows whose ln p is not NULL.
type Adjust struct {
	Input    Node
	Adjusted []Adjusted
	cols     []Column
}

func (n *Adjust) Columns() []Column { return n.cols }
func (n *Adjust) inputs() []Node    { return []Node{n.Input} }
