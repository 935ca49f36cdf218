package exec

import (
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage"
)

// table is one table of a snapshot as a fragment sees it.
type table struct {
	view storage.TableView
	dims int // dimensions of the fragment's version
}

// value is the value of a code of a dimension.
func (t *table) value(dim int, code uint32) plan.Value {
	if code == 0 {
		return plan.Null
	}
	return plan.FromSchema(t.view.Value(dim, code), plan.TypeOf(t.view.Schema().Dims[dim]))
}

// row is an empty row of the table: the dimensions, ts, count.
func (t *table) row() []plan.Value { return make([]plan.Value, t.dims+2) }

func windowValue(start int64) plan.Value { return plan.MicrosValue(start * 1_000_000) }

// windowNow is the value of ts in a table without time.
func (t *table) ts(start int64) plan.Value {
	if t.view.Schema().Window == 0 {
		return plan.Null
	}
	return windowValue(start)
}

// predicate is a condition, prepared for cells of one table.
type predicate struct {
	expr *plan.Expr
	cols []int
	// For one dimension: the codes that pass.
	dim int // −1 otherwise
	set storage.CodeSet
	// For ts alone: the windows that pass.
	windows map[int64]bool
	// For no column at all.
	constant bool
	always   bool
}

// predicate evaluates e once for each value where it looks at one column.
func (s *scan) predicate(e *plan.Expr) (*predicate, error) {
	p, dims := s.room.predicates.one(), s.t.dims
	p.expr, p.cols, p.dim = e, e.ColumnsIn(s.room.ints.take(4)[:0]), -1
	switch {
	case len(p.cols) == 0:
		ok, err := e.True(nil)
		p.constant, p.always = true, ok
		return p, err
	case len(p.cols) == 1 && p.cols[0] < dims:
		p.dim = p.cols[0]
		var err error
		p.set, err = s.codeSet(p.dim, e)
		return p, err
	case len(p.cols) == 1 && p.cols[0] == dims:
		p.windows = map[int64]bool{}
		row := s.t.row()
		for _, w := range s.t.view.Windows() {
			row[dims] = s.t.ts(w)
			ok, err := e.True(row)
			if err != nil {
				return nil, err
			}
			p.windows[w] = ok
		}
	}
	return p, nil
}

// codeSet is the set of codes of dim for which e is true. Equality with constants looks the codes up instead.
func (s *scan) codeSet(dim int, e *plan.Expr) (storage.CodeSet, error) {
	n := s.t.view.DictLen(dim)
	set := s.room.codeSet(n)
	var room [4]plan.Value
	if values, ok := e.Equals(room[:0]); ok {
		for _, v := range values {
			if code, ok := s.t.view.Code(dim, plan.SchemaValue(v).Text); ok {
				set.Add(code)
			}
		}
		return set, nil
	}
	row := s.t.row()
	for code := uint32(0); code <= n; code++ {
		row[dim] = s.t.value(dim, code)
		ok, err := e.True(row)
		if err != nil {
			return nil, err
		}
		if ok {
			set.Add(code)
		}
	}
	return set, nil
}

// intersect is the codes in both sets.
func (s *scan) intersect(a, b storage.CodeSet) storage.CodeSet {
	if a == nil {
		return b
	}
	out := storage.CodeSet(s.room.words.take(min(len(a), len(b))))
	for i := range out {
		out[i] = a[i] & b[i]
	}
	return out
}

// tester evaluates predicates over the cells of chunks; it belongs to one goroutine.
type tester struct {
	t    *table
	at   []int        // column of the chunk for each dimension, −1 if not there
	row  []plan.Value // of the cell that is looked at; nil before the first
	memo map[*predicate]map[uint64]bool
}

func (s *scan) tester() tester {
	x := tester{t: s.t, at: s.room.ints.take(s.t.dims)}
	for i := range x.at {
		x.at[i] = -1
	}
	for i, d := range s.dims {
		x.at[d] = i
	}
	return x
}

// memoMax bounds the remembered pairs of codes.
const memoMax = 1 << 16

// keep overwrites sel, a list of rows of c, with those for which p holds.
func (x *tester) keep(p *predicate, c *storage.Chunk, sel []int32) ([]int32, error) {
	switch {
	case p.constant:
		if p.always {
			return sel, nil
		}
		return sel[:0], nil
	case p.windows != nil:
		if p.windows[c.Window] {
			return sel, nil
		}
		return sel[:0], nil
	}
	n := 0
	if p.dim >= 0 {
		col := c.Codes(x.at[p.dim])
		for _, i := range sel {
			sel[n] = i
			if p.set.Has(col[i]) {
				n++
			}
		}
		return sel[:n], nil
	}
	for _, i := range sel {
		ok, err := x.holds(p, c, int(i))
		if err != nil {
			return nil, err
		}
		if ok {
			sel[n] = i
			n++
		}
	}
	return sel[:n], nil
}

// holds evaluates a condition over several columns for one cell; what two dimensions say is remembered.
func (x *tester) holds(p *predicate, c *storage.Chunk, i int) (bool, error) {
	pair := len(p.cols) == 2 && p.cols[1] < x.t.dims
	var key uint64
	if pair {
		key = uint64(c.Codes(x.at[p.cols[0]])[i])<<32 | uint64(c.Codes(x.at[p.cols[1]])[i])
		if hit, ok := x.memo[p][key]; ok {
			return hit, nil
		}
	}
	if x.row == nil {
		x.row, x.memo = x.t.row(), map[*predicate]map[uint64]bool{}
	}
	for _, col := range p.cols {
		switch {
		case col < x.t.dims:
			x.row[col] = x.t.value(col, c.Codes(x.at[col])[i])
		case col == x.t.dims:
			x.row[col] = x.t.ts(c.Window)
		default:
			x.row[col] = plan.IntValue(c.Counts[i])
		}
	}
	ok, err := p.expr.True(x.row)
	if pair && err == nil {
		m := x.memo[p]
		if m == nil || len(m) >= memoMax {
			m = map[uint64]bool{}
			x.memo[p] = m
		}
		m[key] = ok
	}
	return ok, err
}
