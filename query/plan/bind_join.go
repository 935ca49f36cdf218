package plan

import (
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
		r := &block{}
		if err := b.fromSide(ref, r); err != nil {
			return err
		}
		if err := b.join(blk, r, &sql.Join{Pos: ref.At(), Kind: sql.CrossJoin}); err != nil {
			return err
		}
	}
	return nil
}

// fromSide binds one side of a join. The cells of a table are read whole; what its rows are filtered by stands above the join.
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
	if j.Alias.Name != "" {
		return b.unsupported(j.Alias.Pos, "an alias of a join")
	}
	r := &block{}
	if err := b.fromSide(j.L, blk); err != nil {
		return err
	}
	if err := b.fromSide(j.R, r); err != nil {
		return err
	}
	return b.join(blk, r, j)
}

// join makes l the join of l and r.
func (b *Binder) join(l, r *block, j *sql.Join) error {
	at := j.Pos
	if j.R != nil {
		at = j.R.At()
	}
	for _, x := range r.scope.rels {
		same := func(y relation) bool {
			return x.name != "" && x.name == y.name && (x.schema == "" || x.schema == y.schema)
		}
		if slices.ContainsFunc(l.scope.rels, same) {
			return b.fail(at, errcode.Invalid, "table name %q specified more than once", x.name).WithHint("give one of them an alias: … AS other")
		}
	}
	n := &Join{L: l.source, R: r.source, Kind: joinKinds[j.Kind]}
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
			return err
		}
		y, err := b.find(&r.scope, &sql.Column{Pos: name.Pos, Name: name.Name})
		if err != nil {
			return err
		}
		lc, rc := x.Col, y.Col
		y = y.shift(width)
		p, q, err := b.match(name.Pos, "=", x, y, name.Pos, name.Pos)
		if err != nil {
			return err
		}
		cond = and(cond, call(fnEq, Bool, p, q))
		merged = append(merged, mergedValue(n.Kind, p, q))
		mergedCols = append(mergedCols, scopeColumn{name: name.Name, typ: p.Type, order: l.scope.cols[lc].order})
		l.scope.cols[lc].merged, r.scope.cols[rc].merged = true, true
	}
	for _, rel := range r.scope.rels {
		rel.from += width
		l.scope.rels = append(l.scope.rels, rel)
	}
	l.scope.cols = append(l.scope.cols, r.scope.cols...)
	n.cols = l.scope.columns()
	if j.On != nil {
		e := &exprBinder{Binder: b, scope: &l.scope, clause: "JOIN/ON"}
		x, err := e.condition(j.On)
		if err != nil {
			return err
		}
		cond = x
	}
	n.condition(conjuncts(cond), width)
	l.source = n
	if len(merged) > 0 {
		l.lead(merged, mergedCols)
	}
	return nil
}

// condition sorts out which parts of a condition are equalities between the sides.
func (n *Join) condition(parts []*Expr, width int) {
	for _, e := range parts {
		if e.Kind == ExprCall && e.Fn == fnEq {
			x, y := e.Args[0], e.Args[1]
			if x.side(width) > 0 && y.side(width) < 0 {
				x, y = y, x
			}
			if x.side(width) < 0 && y.side(width) > 0 && x.Type == y.Type {
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
