package exec

import (
	"context"
	"math"
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// bucket is one group of an aggregation at the coordinator.
type bucket struct {
	keys []plan.Value
	accs []accumulator
}

// accumulator is one aggregate of one group.
type accumulator struct {
	ints   int64
	floats *stats.Sum // exact, so that the order of the rows does not matter
	odd    bool       // NaN or an infinity is in floats
	some   bool
	ends   plan.Value
	seen   map[plan.Value]struct{}
	spread *spread
	cats   []*interner
	cells  map[cellCode]int64
	null   int64
	list   []listed
	held   int64 // bytes taken from the budget
}

// grow takes bytes from the budget.
func (c *accumulator) grow(mem *Budget, bytes int64) error {
	err := mem.Grow(bytes)
	if err == nil {
		c.held += bytes
	}
	return err
}

// reset makes c empty and gives its memory back.
func (c *accumulator) reset(mem *Budget) {
	mem.Shrink(c.held)
	*c = accumulator{}
}

// listed is one element of a list: its value, the separator in front of it, and what it is sorted by.
type listed struct {
	value, separator plan.Value
	order            []plan.Value
}

// cellCode is the codes of the categories of a test, with 0 for those that it does not have.
type cellCode [plan.CatsMax]uint32

// buckets are the groups of one grouping set, in the order in which they were met.
type buckets struct {
	set   plan.GroupingSet
	index map[string]*bucket
	order []*bucket
}

func (e *Env) aggregate(ctx context.Context, n *plan.Aggregation, emit Emit) error {
	sets := make([]buckets, max(1, len(n.Sets)))
	for i := range sets {
		sets[i].index = map[string]*bucket{}
		if n.Sets != nil {
			sets[i].set = n.Sets[i]
		} else {
			sets[i].set.Keys = places(len(n.Keys))
		}
		if len(sets[i].set.Keys) == 0 { // one group, of no rows if there are none
			if _, err := sets[i].open(make([]plan.Value, len(n.Keys)), n, e.Options.Memory); err != nil {
				return err
			}
		}
	}
	err := e.node(ctx, n.Input, func(row []plan.Value) error {
		all, err := evalAll(n.Keys, row)
		if err != nil {
			return err
		}
		for i := range sets {
			if err := ctx.Err(); i > 0 && err != nil {
				return err
			}
			keys := all
			if n.Sets != nil {
				keys = make([]plan.Value, len(all))
				for _, k := range sets[i].set.Keys {
					keys[k] = all[k]
				}
			}
			b, err := sets[i].open(keys, n, e.Options.Memory)
			if err != nil {
				return err
			}
			if err := b.add(n.Aggs, row, e.Options.Memory); err != nil {
				return err
			}
		}
		return nil
	})
	for i := 0; err == nil && i < len(sets); i++ {
		err = e.finish(n, &sets[i], emit)
	}
	return err
}

func places(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// open finds the group of keys, or makes it.
func (s *buckets) open(keys []plan.Value, n *plan.Aggregation, mem *Budget) (*bucket, error) {
	k := rowKey(keys)
	b := s.index[k]
	if b == nil {
		if err := mem.Grow(sizeOf(keys) + int64(len(k)) + 128*int64(len(n.Aggs))); err != nil {
			return nil, err
		}
		b = &bucket{keys: keys, accs: make([]accumulator, len(n.Aggs))}
		s.index[k] = b
		s.order = append(s.order, b)
	}
	return b, nil
}

// add takes in one row.
func (b *bucket) add(aggs []*plan.Aggregate, row []plan.Value, mem *Budget) error {
	for i, a := range aggs {
		if a.Filter != nil {
			if ok, err := a.Filter.True(row); err != nil || !ok {
				if err != nil {
					return err
				}
				continue
			}
		}
		if err := b.accs[i].add(a, row, mem); err != nil {
			return err
		}
	}
	return nil
}

// finish gives the groups of a set.
func (e *Env) finish(n *plan.Aggregation, s *buckets, emit Emit) error {
	for _, b := range s.order {
		row := append(b.keys[:len(b.keys):len(b.keys)], s.set.Levels...)
		for i, a := range n.Aggs {
			vals, err := b.accs[i].finish(a)
			if err != nil {
				return err
			}
			if a.Kind == plan.AggTest {
				if w := a.Warning(vals); w != "" {
					e.warn(w)
				}
			}
			row = append(row, vals...)
		}
		if err := emit(row); err != nil {
			return err
		}
	}
	return nil
}

func (c *accumulator) add(a *plan.Aggregate, row []plan.Value, mem *Budget) error {
	if a.Kind == plan.AggCells {
		c.ints++
		return nil
	}
	if a.Kind == plan.AggTest {
		return c.observe(a, row, mem)
	}
	v, err := a.Arg.Eval(row)
	switch {
	case err != nil:
		return err
	case v.IsNull() && a.Kind != plan.AggArray:
		return nil
	}
	if a.Distinct || a.Kind == plan.AggDistinct {
		if first, err := c.first(v, mem); err != nil || !first {
			return err
		}
	}
	switch a.Kind {
	case plan.AggArray, plan.AggString, plan.AggOrdered:
		return c.collect(a, v, row, mem)
	case plan.AggCount:
		c.ints++
	case plan.AggSum:
		return c.sum(a, v, mem)
	case plan.AggVarPop, plan.AggVarSamp:
		if c.spread == nil {
			c.spread = &spread{}
			if err := c.grow(mem, spreadBytes); err != nil {
				return err
			}
		}
		return c.spread.add(v)
	case plan.AggBitAnd, plan.AggBitOr, plan.AggBitXor:
		c.bits(a.Kind, v.Int())
	case plan.AggMin:
		if c.ends.IsNull() || plan.Compare(v, c.ends) < 0 {
			c.ends = v
		}
	case plan.AggMax:
		if c.ends.IsNull() || plan.Compare(v, c.ends) > 0 {
			c.ends = v
		}
	}
	return nil
}

// groupingSets gives the groups of each set with a place for every key.
func (e *Env) groupingSets(ctx context.Context, n *plan.GroupingSets, emit Emit) error {
	for i, set := range n.Sets {
		aggs := len(n.Inputs[i].Columns()) - len(set.Keys)
		keys := len(n.Columns()) - aggs - len(set.Levels)
		err := e.node(ctx, n.Inputs[i], func(row []plan.Value) error {
			out := make([]plan.Value, keys, len(n.Columns()))
			for from, to := range set.Keys {
				out[to] = row[from]
			}
			out = append(append(out, set.Levels...), row[len(set.Keys):]...)
			return emit(out)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// first says whether c has not been given v before.
func (c *accumulator) first(v plan.Value, mem *Budget) (bool, error) {
	if _, ok := c.seen[v.Key()]; ok {
		return false, nil
	}
	if c.seen == nil {
		c.seen = map[plan.Value]struct{}{}
	}
	c.seen[v.Key()] = struct{}{}
	return true, c.grow(mem, valueBytes+v.Size())
}

func (c *accumulator) bits(kind plan.AggKind, v int64) {
	switch {
	case !c.some:
		c.ints = v
	case kind == plan.AggBitAnd:
		c.ints &= v
	case kind == plan.AggBitOr:
		c.ints |= v
	default:
		c.ints ^= v
	}
	c.some = true
}

// collect adds an element to a list.
func (c *accumulator) collect(a *plan.Aggregate, v plan.Value, row []plan.Value, mem *Budget) error {
	e := listed{value: v}
	var err error
	if a.Separator != nil {
		if e.separator, err = a.Separator.Eval(row); err != nil {
			return err
		}
	}
	if e.order, err = evalAll(a.Order, row); err != nil {
		return err
	}
	c.list = append(c.list, e)
	if len(c.list) > plan.ArrayMax && a.Kind != plan.AggOrdered { // of which no value is made
		return errcode.New(errcode.TooLarge, "a list of more than %d values", plan.ArrayMax)
	}
	return c.grow(mem, v.Size()+sizeOf(e.order)+2*valueBytes)
}

// finishList makes the array or text of a list; DISTINCT ones are in order.
func (c *accumulator) finishList(a *plan.Aggregate) plan.Value {
	if len(c.list) == 0 {
		return plan.Null
	}
	if a.Distinct && len(a.Sort) == 0 {
		for i := range c.list {
			c.list[i].order = []plan.Value{c.list[i].value}
		}
		slices.SortStableFunc(c.list, func(x, y listed) int { return compareRows(x.order, y.order, []plan.SortKey{{}}) })
	}
	slices.SortStableFunc(c.list, func(x, y listed) int { return compareRows(x.order, y.order, a.Sort) })
	if a.Kind == plan.AggArray {
		values := make([]plan.Value, len(c.list))
		for i, e := range c.list {
			values[i] = e.value
		}
		return plan.ArrayValue(a.Type.Elem(), values)
	}
	var b strings.Builder
	for i, e := range c.list {
		if i > 0 {
			b.WriteString(e.separator.Text())
		}
		b.WriteString(e.value.Text())
	}
	return plan.TextValue(b.String())
}

func (c *accumulator) sum(a *plan.Aggregate, v plan.Value, mem *Budget) error {
	c.some = true
	if a.Type == plan.Float8 {
		if c.floats == nil {
			c.floats = &stats.Sum{}
			if err := c.grow(mem, spreadBytes/2); err != nil {
				return err
			}
		}
		x := v.Float()
		c.odd = c.odd || math.IsInf(x, 0) || math.IsNaN(x)
		c.floats.Add(x)
		return nil
	}
	sum := c.ints + v.Int()
	if (sum > c.ints) != (v.Int() > 0) && v.Int() != 0 {
		return errcode.New(errcode.NumericOutOfRange, "int8 out of range: a sum leaves the range of 64-bit integers")
	}
	c.ints = sum
	return nil
}

// observe adds one row to a crosstab.
func (c *accumulator) observe(a *plan.Aggregate, row []plan.Value, mem *Budget) error {
	n := int64(1)
	if a.Weight != nil {
		w, err := a.Weight.Eval(row)
		if err != nil {
			return err
		}
		if w.IsNull() {
			return nil
		}
		if n = w.Int(); n < 0 {
			return errcode.New(errcode.NumericOutOfRange, "a test counts observations: the weight %d is negative", n)
		}
	}
	if c.cells == nil {
		c.cells = map[cellCode]int64{}
		for range a.Cats {
			c.cats = append(c.cats, newInterner())
		}
	}
	var k cellCode
	for d, e := range a.Cats {
		v, err := e.Eval(row)
		if err != nil {
			return err
		}
		if v.IsNull() {
			c.null += n
			return nil
		}
		k[d] = c.cats[d].code(v)
	}
	old, ok := c.cells[k]
	if !ok {
		if err := c.grow(mem, 80); err != nil {
			return err
		}
	}
	if old > old+n {
		return errcode.New(errcode.NumericOutOfRange, "int8 out of range: the counts of a test's cell")
	}
	c.cells[k] = old + n
	return nil
}

func (c *accumulator) finish(a *plan.Aggregate) ([]plan.Value, error) {
	switch a.Kind {
	case plan.AggCells, plan.AggCount:
		return []plan.Value{plan.IntValue(c.ints)}, nil
	case plan.AggSum:
		switch {
		case !c.some:
			return []plan.Value{plan.Null}, nil
		case a.Type != plan.Float8:
			return []plan.Value{plan.IntValue(c.ints)}, nil
		}
		sum := c.floats.Float()
		if math.IsInf(sum, 0) && !c.odd {
			return nil, errcode.New(errcode.NumericOutOfRange, "float8 out of range: a sum")
		}
		return []plan.Value{plan.FloatValue(sum)}, nil
	case plan.AggVarPop, plan.AggVarSamp:
		if c.spread == nil {
			return []plan.Value{plan.Null}, nil
		}
		v, err := c.spread.variance(a.Kind == plan.AggVarSamp)
		return []plan.Value{v}, err
	case plan.AggBitAnd, plan.AggBitOr, plan.AggBitXor:
		if !c.some {
			return []plan.Value{plan.Null}, nil
		}
		return []plan.Value{plan.IntValue(c.ints)}, nil
	case plan.AggDistinct:
		return []plan.Value{plan.IntValue(int64(len(c.seen)))}, nil
	case plan.AggMin, plan.AggMax:
		return []plan.Value{c.ends}, nil
	case plan.AggOrdered:
		slices.SortStableFunc(c.list, func(x, y listed) int { return compareRows(x.order, y.order, a.Sort) })
		values := make([]plan.Value, len(c.list))
		for i, e := range c.list {
			values[i] = e.value
		}
		return []plan.Value{a.FinishOrdered(values)}, nil
	case plan.AggArray, plan.AggString:
		return []plan.Value{c.finishList(a)}, nil
	}
	t := plan.NewCells(len(a.Cats))
	t.Null = c.null
	for d, in := range c.cats {
		t.Values[d] = in.values[1:]
	}
	for k, n := range c.cells { // any order: sums are exact
		if n == 0 {
			continue
		}
		for d := range t.At {
			t.At[d] = append(t.At[d], k[d]-1)
		}
		t.Count = append(t.Count, n)
	}
	return a.FinishCells(a.Reshape(t))
}
