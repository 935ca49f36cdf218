package plan

import (
	"fmt"
	"slices"

	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// JoinKind is the kind of a Join.
type JoinKind uint8

// The kinds of joins. A cross join is an inner one without a condition.
const (
	InnerJoin JoinKind = iota
	LeftJoin
	RightJoin
	FullJoin
)

// Join gives pairs of rows: the columns of L, then those of R. LKeys and RKeys, each over its own side, must be equal and not
// NULL; Cond, over both, must be true too. A left, right or full join also gives the rows that found no partner, with NULLs.
type Join struct {
	L, R         Node
	Kind         JoinKind
	LKeys, RKeys []*Expr
	Cond         *Expr // nil: none
	Lateral      *Expr // the subquery that R is, run anew for each row of L; nil: R depends on no row
	cols         []Column
}

func (n *Join) Columns() []Column { return n.cols }
func (n *Join) inputs() []Node    { return []Node{n.L, n.R} }

var joinKinds = map[sql.JoinKind]JoinKind{sql.CrossJoin: InnerJoin, sql.InnerJoin: InnerJoin, sql.LeftJoin: LeftJoin,
	sql.RightJoin: RightJoin, sql.FullJoin: FullJoin}

// fromList joins the entries of a FROM that are separated by commas.
func (b *Binder) fromList(refs []sql.TableRef, blk *block) error {
	if err := b.fromSide(refs[0], blk); err != nil {
		return err
	}
	for _, ref := range refs[1:] {
		if err := b.joinSide(blk, ref, &sql.Join{Pos: ref.At(), Kind: sql.CrossJoin}); err != nil {
			return err
		}
	}
	return nil
}

// joinSide binds the right side of a join, which may read rows of the left one if it is a function or LATERAL.
func (b *Binder) joinSide(l *block, ref sql.TableRef, j *sql.Join) error {
	s := &Subquery{Kind: SubLateral, run: b.runner}
	around := &outerScope{expr: &exprBinder{Binder: b, scope: &l.scope}, sub: s, next: b.outer}
	b.outer = around
	r := &block{}
	err := b.fromSide(ref, r)
	b.outer = around.next
	if err != nil {
		return err
	}
	if len(s.cells) == 0 {
		return b.join(l, r, j, nil)
	}
	r.source = keepInputs(r.source)
	s.Root = r.source
	b.subqueries = append(b.subqueries, s)
	return b.join(l, r, j, &Expr{Kind: exprSubquery, Type: Bool, Sub: s, Args: around.args})
}

// fromSide binds one side of a join. What its rows are filtered by, and which columns are read, is found out above the join.
func (b *Binder) fromSide(ref sql.TableRef, blk *block) error {
	j, ok := ref.(*sql.Join)
	if !ok {
		if err := b.fromOne(ref, blk); err != nil || blk.table == nil {
			return err
		}
		n, err := b.rows(blk, identity(blk.scope.columns()))
		blk.source, blk.table = n, nil
		return err
	}
	if err := b.fromSide(j.L, blk); err != nil {
		return err
	}
	if err := b.joinSide(blk, j.R, j); err != nil || j.Alias.Name == "" {
		return err
	}
	return b.aliasJoin(blk, j)
}

// aliasJoin names a join: in parentheses the name hides its inputs, behind USING it stands for the merged columns beside them.
func (b *Binder) aliasJoin(blk *block, j *sql.Join) error {
	if !j.Paren {
		blk.scope.rels = append(blk.scope.rels, relation{name: j.Alias.Name, columns: len(j.Using), extra: true})
		return nil
	}
	var cols []scopeColumn
	var exprs []*Expr
	for _, r := range blk.scope.rels {
		for i := r.from; i < r.from+r.columns; i++ {
			if c := blk.scope.cols[i]; c.name != "" && !c.merged && !r.extra {
				cols, exprs = append(cols, c), append(exprs, ColumnRef(i, c.typ))
			}
		}
	}
	if len(j.Alias.Columns) > len(cols) {
		return b.fail(j.Alias.Pos, errcode.InvalidReference, "join expression %q has %d columns available but %d columns specified", j.Alias.Name, len(cols), len(j.Alias.Columns))
	}
	for i := range cols {
		cols[i].same = 0
	}
	for i, c := range j.Alias.Columns {
		cols[i].name = c.Name
	}
	blk.scope = scope{}
	blk.scope.add(j.Alias.Name, "", nil, cols)
	blk.source = &Project{Input: blk.source, Exprs: exprs, cols: blk.scope.columns()}
	return nil
}

// usingError says of which side of a join it is that USING names a column which is not there.
func usingError(err error, name, side string) error {
	if e := errcode.From(err); e.Code == errcode.UnknownColumn {
		named := *e
		named.Message = fmt.Sprintf("column %q specified in USING clause does not exist in %s table", name, side)
		return &named
	}
	return err
}

// join makes l the join of l and r.
func (b *Binder) join(l, r *block, j *sql.Join, lateral *Expr) error {
	at := j.Pos
	if j.R != nil {
		at = j.R.At()
	}
	for _, x := range r.scope.rels {
		same := func(y relation) bool {
			return x.name != "" && x.name == y.name && (x.schema == "" || x.schema == y.schema)
		}
		if slices.ContainsFunc(l.scope.rels, same) {
			return b.fail(at, errcode.DuplicateAlias, "table name %q specified more than once", x.name).WithHint("give one of them an alias: … AS other")
		}
	}
	n := &Join{L: l.source, R: r.source, Kind: joinKinds[j.Kind], Lateral: lateral}
	if lateral != nil && n.Kind != InnerJoin && n.Kind != LeftJoin {
		return b.fail(at, errcode.InvalidOption, "a right or full join cannot read rows of its left side").WithHint("the join must be INNER or LEFT for a LATERAL reference")
	}
	width := len(l.scope.cols)
	names := j.Using
	if j.Natural {
		names = commonColumns(&l.scope, &r.scope, j.Pos)
	}
	var merged []*Expr
	var mergedCols []scopeColumn
	var cond *Expr
	for _, name := range names {
		x, err := b.find(&l.scope, &sql.Column{Pos: name.Pos, Name: name.Name})
		if err != nil {
			return usingError(err, name.Name, "left")
		}
		y, err := b.find(&r.scope, &sql.Column{Pos: name.Pos, Name: name.Name})
		if err != nil {
			return usingError(err, name.Name, "right")
		}
		order := x.order
		y = y.shift(width)
		p, q, err := b.match(name.Pos, "=", x, y, name.Pos, name.Pos)
		if err != nil {
			return err
		}
		cond = and(cond, call(fnEq, Bool, p, q))
		merged = append(merged, mergedValue(n.Kind, p, q))
		mergedCols = append(mergedCols, scopeColumn{name: name.Name, typ: p.Type, order: order})
		l.scope.hide(name.Name)
		r.scope.hide(name.Name)
	}
	for _, rel := range r.scope.rels {
		rel.from += width
		l.scope.rels = append(l.scope.rels, rel)
	}
	l.scope.cols = append(l.scope.cols, r.scope.cols...)
	n.cols = l.scope.columns()
	if j.On != nil {
		e := &exprBinder{Binder: b, scope: &l.scope, clause: "JOIN/ON"}
		around := b.outer
		b.outer = b.fromOuter
		x, err := e.condition(j.On)
		b.outer = around
		if err != nil {
			return err
		}
		cond = x
	}
	n.condition(conjuncts(cond), width)
	l.source = n
	if len(merged) > 0 {
		for i, e := range merged {
			if e.Kind == ExprCol {
				mergedCols[i].same = len(merged) + e.Col - i
			}
		}
		l.lead(merged, mergedCols)
	}
	return nil
}

// condition sorts out which parts of a condition are equalities between the sides.
func (n *Join) condition(parts []*Expr, width int) {
	for _, e := range parts {
		if e.Kind == ExprCall && e.Fn == fnEq && n.Lateral == nil {
			x, y := e.Args[0], e.Args[1]
			if x.side(width) > 0 && y.side(width) < 0 {
				x, y = y, x
			}
			if x.side(width) < 0 && y.side(width) > 0 && sameKeys(x.Type, y.Type) {
				n.LKeys, n.RKeys = append(n.LKeys, x), append(n.RKeys, y.shift(-width))
				continue
			}
		}
		n.Cond = and(n.Cond, e)
	}
}

// side says which side of a join of a left one of width columns e reads: −1, 1, or 0 for both or none.
func (e *Expr) side(width int) int {
	cols := e.Columns()
	switch {
	case len(cols) == 0:
		return 0
	case cols[len(cols)-1] < width:
		return -1
	case cols[0] >= width:
		return 1
	}
	return 0
}

// sink puts conditions on rows as far down as they can be tested: into the scan of a table, on one side of a join, among the
// conditions of a join.
func (b *Binder) sink(n Node, conds []*Expr) Node {
	if len(conds) == 0 {
		return n
	}
	var rest []*Expr
	switch n := n.(type) {
	case *Join:
		width := len(n.L.Columns())
		var left, right []*Expr
		for _, c := range conds {
			switch side := c.side(width); {
			case side < 0 && (n.Kind == InnerJoin || n.Kind == LeftJoin):
				left = append(left, c)
			case side > 0 && (n.Kind == InnerJoin || n.Kind == RightJoin):
				right = append(right, c.shift(-width))
			case side == 0 && n.Kind == InnerJoin && len(c.Columns()) > 0:
				n.condition([]*Expr{c}, width)
			default:
				rest = append(rest, c)
			}
		}
		n.L, n.R = b.sink(n.L, left), b.sink(n.R, right)
	case *Scan:
		for _, c := range conds {
			if c.local() {
				rest = append(rest, c)
				continue
			}
			n.Fragment.Filters = append(n.Fragment.Filters, c)
		}
		n.Fragment.Shards = b.prune(n.Fragment, n.table)
	case *Filter:
		n.Input = b.sink(n.Input, conds)
		return n
	case *Project:
		for i, c := range conds {
			conds[i] = c.rewrite(func(x *Expr) *Expr {
				if x.Kind == ExprCol {
					return n.Exprs[x.Col]
				}
				return nil
			})
			if hasSubquery(conds[i]) && !hasSubquery(c) {
				conds[i], rest = Constant(BoolValue(true)), append(rest, c)
			}
		}
		n.Input = b.sink(n.Input, conds)
	default:
		rest = conds
	}
	for _, c := range rest {
		n = &Filter{Input: n, Cond: c}
	}
	return n
}

// narrow makes scans read the columns that are used and no others.
func narrow(n Node, used map[int]bool) {
	mark := func(m map[int]bool, list ...*Expr) {
		for _, e := range list {
			for _, c := range e.Columns() {
				m[c] = true
			}
		}
	}
	switch n := n.(type) {
	case *Filter:
		mark(used, n.Cond)
		narrow(n.Input, used)
	case *Project:
		in := map[int]bool{}
		mark(in, n.Exprs...)
		narrow(n.Input, in)
	case *Join:
		width := len(n.L.Columns())
		if n.Cond != nil {
			mark(used, n.Cond)
		}
		left, right := map[int]bool{}, map[int]bool{}
		for c := range used {
			if c < width {
				left[c] = true
			} else {
				right[c-width] = true
			}
		}
		mark(left, n.LKeys...)
		mark(right, n.RKeys...)
		if n.Lateral != nil {
			mark(left, n.Lateral.Args...)
		}
		narrow(n.L, left)
		narrow(n.R, right)
	case *Scan:
		n.Fragment.Cells = slices.DeleteFunc(slices.Clone(n.Fragment.Cells), func(c int) bool { return !used[c] })
	}
}

// shift is e reading each column by places further on.
func (e *Expr) shift(by int) *Expr {
	return e.rewrite(func(x *Expr) *Expr {
		if x.Kind != ExprCol {
			return nil
		}
		c := *x
		c.Col += by
		return &c
	})
}

func and(a, e *Expr) *Expr {
	if a == nil {
		return e
	}
	return call(fnAnd, Bool, a, e)
}

// mergedValue is the value of a USING column: of the side that is never without a row.
func mergedValue(kind JoinKind, l, r *Expr) *Expr {
	switch kind {
	case RightJoin:
		return r
	case FullJoin:
		return call(fnCoalesce, l.Type, l, r)
	}
	return l
}

// lead puts computed columns before the others. The USING columns of a join come first in *.
func (k *block) lead(exprs []*Expr, cols []scopeColumn) {
	exprs = append(exprs, identity(k.scope.columns())...)
	for i := range k.scope.rels {
		k.scope.rels[i].from += len(cols)
	}
	k.scope.rels = append([]relation{{columns: len(cols)}}, k.scope.rels...)
	k.scope.cols = append(cols, k.scope.cols...)
	k.source = &Project{Input: k.source, Exprs: exprs, cols: k.scope.columns()}
}

// commonColumns are the columns that NATURAL joins by, in the order of the left side.
func commonColumns(l, r *scope, at sql.Pos) []sql.Ident {
	var out []sql.Ident
	for _, c := range l.cols {
		if c.name == "" || c.merged {
			continue
		}
		if slices.ContainsFunc(r.cols, func(d scopeColumn) bool { return d.name == c.name && !d.merged }) {
			out = append(out, sql.Ident{Pos: at, Name: c.name})
		}
	}
	return out
}

// columns are the columns of a node that gives what s describes.
func (s *scope) columns() []Column {
	cols := make([]Column, len(s.cols))
	for i, c := range s.cols {
		cols[i] = Column{Name: c.name, Type: c.typ}
	}
	return cols
}
