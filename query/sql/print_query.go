package sql

func (p *printer) query(q *Query) {
	p.with(q.With)
	p.body(q.Body, q.OrderBy != nil || q.Limit != nil || q.Offset != nil)
	if q.OrderBy != nil {
		p.put(" ")
		p.orderBy(q.OrderBy)
	}
	switch {
	case q.Limit == nil:
	case q.WithTies:
		p.put(" FETCH FIRST ")
		p.guarded(q.Limit)
		p.put(" ROWS WITH TIES")
	default:
		p.put(" LIMIT ")
		p.expr(q.Limit, 0)
	}
	if q.Offset != nil {
		p.put(" OFFSET ")
		p.expr(q.Offset, 0)
	}
}

// guarded writes e where only a constant may stand without parentheses.
func (p *printer) guarded(e Expr) {
	switch e.(type) {
	case *Literal, *Param:
		p.bare(e)
	default:
		p.expr(e, powerPostfix+1)
	}
}

func (p *printer) with(w *With) {
	if w == nil {
		return
	}
	p.put("WITH ")
	p.when(w.Recursive, "RECURSIVE ")
	for i, c := range w.CTEs {
		p.comma(i)
		p.name(c.Name)
		p.columns(" ", c.Columns)
		p.put(" AS ", [...]string{MaterializeDefault: "", Materialized: "MATERIALIZED ", NotMaterialized: "NOT MATERIALIZED "}[c.Materialize], "(")
		p.query(c.Query)
		p.put(")")
	}
	p.put(" ")
}

func (p *printer) parens(b QueryBody) {
	p.put("(")
	p.body(b, false)
	p.put(")")
}

// body writes the body of a query; clauses says whether more of the query follows.
func (p *printer) body(b QueryBody, clauses bool) {
	switch b := b.(type) {
	case *Query:
		p.put("(")
		p.query(b)
		p.put(")")
	case *Select:
		p.selectBlock(b)
	case *Values:
		p.values(b)
	case *SetOp:
		p.setOp(b)
	}
}

// setOp puts parentheses around operands that would otherwise be read in another order.
func (p *printer) setOp(s *SetOp) {
	if l, ok := s.L.(*SetOp); ok && s.Op == Intersect && l.Op != Intersect {
		p.parens(l)
	} else {
		p.body(s.L, true)
	}
	p.put([...]string{Union: " UNION ", Intersect: " INTERSECT ", Except: " EXCEPT "}[s.Op])
	p.when(s.All, "ALL ")
	if r, ok := s.R.(*SetOp); ok && (s.Op == Intersect || r.Op != Intersect) {
		p.parens(r)
	} else {
		p.body(s.R, true)
	}
}

func (p *printer) values(v *Values) {
	p.put("VALUES ")
	for i, row := range v.Rows {
		p.comma(i)
		p.put("(")
		p.list(row)
		p.put(")")
	}
}

func (p *printer) selectBlock(s *Select) {
	p.put("SELECT")
	switch {
	case s.DistinctOn != nil:
		p.put(" DISTINCT ON (")
		p.list(s.DistinctOn)
		p.put(")")
	case s.Distinct:
		p.put(" DISTINCT")
	}
	p.items(s.Items)
	for i, t := range s.From {
		if i == 0 {
			p.put(" FROM ")
		}
		p.comma(i)
		p.tableRef(t)
	}
	if s.Where != nil {
		p.put(" WHERE ")
		p.expr(s.Where, 0)
	}
	if s.GroupBy != nil {
		p.put(" GROUP BY ")
		p.when(s.GroupDistinct, "DISTINCT ")
		p.groupItems(s.GroupBy)
	}
	if s.Having != nil {
		p.put(" HAVING ")
		p.expr(s.Having, 0)
	}
	for i, w := range s.Windows {
		if i == 0 {
			p.put(" WINDOW ")
		}
		p.comma(i)
		p.name(w.Name)
		p.put(" AS ")
		p.windowParens(w.Spec)
	}
}

func (p *printer) items(list []SelectItem) {
	for i, it := range list {
		if i > 0 {
			p.put(",")
		}
		p.put(" ")
		p.expr(it.Expr, 0)
		if it.Alias.Name != "" {
			p.put(" AS ")
			p.name(it.Alias.Name)
		}
	}
}

func (p *printer) groupItems(list []GroupItem) {
	for i, g := range list {
		p.comma(i)
		switch g.Kind {
		case GroupEmpty:
			p.put("()")
		case Rollup, Cube:
			p.put([...]string{Rollup: "ROLLUP (", Cube: "CUBE ("}[g.Kind])
			p.list(g.Exprs)
			p.put(")")
		case GroupingSets:
			p.put("GROUPING SETS (")
			p.groupItems(g.Sets)
			p.put(")")
		default:
			p.expr(g.Exprs[0], 0)
		}
	}
}

func (p *printer) tableRef(t TableRef) {
	switch t := t.(type) {
	case *TableName:
		p.put(t.Name.String())
		p.alias(t.Alias)
	case *Derived:
		p.when(t.Lateral, "LATERAL ")
		p.put("(")
		p.query(t.Query)
		p.put(")")
		p.alias(t.Alias)
	case *TableFunc:
		p.when(t.Lateral, "LATERAL ")
		p.call(t.Call)
		p.when(t.Ordinality, " WITH ORDINALITY")
		p.alias(t.Alias)
	case *Join:
		if t.Paren {
			p.put("(")
			p.join(t)
			p.put(")")
			p.alias(t.Alias)
			return
		}
		p.join(t)
	}
}

func (p *printer) alias(a Alias) {
	if a.Name != "" {
		p.put(" AS ")
		p.name(a.Name)
		p.columns(" ", a.Columns)
	}
}

func (p *printer) join(j *Join) {
	p.tableRef(j.L)
	p.when(j.Natural, " NATURAL")
	p.put([...]string{CrossJoin: " CROSS JOIN ", InnerJoin: " JOIN ", LeftJoin: " LEFT JOIN ", RightJoin: " RIGHT JOIN ", FullJoin: " FULL JOIN "}[j.Kind])
	if r, ok := j.R.(*Join); ok && !r.Paren {
		p.put("(")
		p.join(r)
		p.put(")")
	} else {
		p.tableRef(j.R)
	}
	switch {
	case j.On != nil:
		p.put(" ON ")
		p.expr(j.On, 0)
	case j.Using != nil:
		p.columns(" USING ", j.Using)
		if !j.Paren {
			p.alias(j.Alias)
		}
	}
}
