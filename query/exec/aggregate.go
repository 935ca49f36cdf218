package exec

import (
	"context"
	"slices"
	"strings"

	"github.com/quipudb/quipu/query/plan"
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
	floats float64
	some   bool
	isF    bool
	ends   plan.Value
	seen   map[plan.Value]struct{}
	cats   []*interner
	cells  map[cellCode]int64
	null   int64
	list   []listed
}

// listed is one element of a list: its value, the separator in front of it, and what it is sorted by.
type listed struct {
	value, separator plan.Value
	order            []plan.Value
}

// cellCode is the codes of the categories of a test, with 0 for those that it does not have.
type cellCode [plan.CatsMax]uint32

func (e *Env) aggregate(ctx context.Context, n *plan.Aggregation, emit Emit) error {
	var order []*bucket
	index := map[string]*bucket{}
	open := func(keys []plan.Value) (*bucket, error) {
		k := rowKey(keys)
		b := index[k]
		if b == nil {
			if err := e.Options.Memory.Grow(sizeOf(keys) + int64(len(k)) + 128*int64(len(n.Aggs))); err != nil {
				return nil, err
			}
			b = &bucket{keys: keys, accs: make([]accumulator, len(n.Aggs))}
			index[k] = b
			order = append(order, b)
		}
		return b, nil
	}
	if len(n.Keys) == 0 {
		if _, err := open(nil); err != nil {
			return err
		}
	}
	err := e.node(ctx, n.Input, func(row []plan.Value) error {
		keys, err := evalAll(n.Keys, row)
		if err != nil {
			return err
		}
		b, err := open(keys)
		if err != nil {
			return err
		}
		for i, a := range n.Aggs {
			if a.Filter != nil {
				if ok, err := a.Filter.True(row); err != nil || !ok {
					if err != nil {
						return err
					}
					continue
				}
			}
			if err := b.accs[i].add(a, row, e.Options.Memory); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, b := range order {
		row := b.keys[:len(b.keys):len(b.keys)]
		for i, a := range n.Aggs {
			vals, err := b.accs[i].finish(a)
			if err != nil {
				return err
			}
			if a.Kind == plan.AggTest {
				if w := a.Warning(vals); w != "" {
					e.Warn(w)
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
	if err == nil && a.Kind >= plan.AggArray {
		return c.collect(a, v, row, mem)
	}
	if err != nil || v.IsNull() {
		return err
	}
	switch a.Kind {
	case plan.AggCount:
		c.ints++
	case plan.AggSum:
		return c.sum(v)
	case plan.AggDistinct:
		if c.seen == nil {
			c.seen = map[plan.Value]struct{}{}
		}
		if _, ok := c.seen[v.Key()]; !ok {
			c.seen[v.Key()] = struct{}{}
			return mem.Grow(valueBytes)
		}
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

// collect adds an element to a list.
func (c *accumulator) collect(a *plan.Aggregate, v plan.Value, row []plan.Value, mem *Budget) error {
	if v.IsNull() && a.Kind == plan.AggString {
		return nil
	}
	if a.Distinct {
		if c.seen == nil {
			c.seen = map[plan.Value]struct{}{}
		}
		if _, ok := c.seen[v.Key()]; ok {
			return nil
		}
		c.seen[v.Key()] = struct{}{}
	}
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
	if len(c.list) > plan.ArrayMax {
		return errcode.New(errcode.TooLarge, "a list of more than %d values", plan.ArrayMax)
	}
	return mem.Grow(v.Size() + sizeOf(e.order) + 2*valueBytes)
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

func (c *accumulator) sum(v plan.Value) error {
	c.some = true
	if v.Type == plan.Float8 {
		c.isF = true
		c.floats += v.Float()
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
		if err := mem.Grow(80); err != nil {
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
		case c.isF || a.Type == plan.Float8:
			return []plan.Value{plan.FloatValue(c.floats + float64(c.ints))}, nil
		}
		return []plan.Value{plan.IntValue(c.ints)}, nil
	case plan.AggDistinct:
		return []plan.Value{plan.IntValue(int64(len(c.seen)))}, nil
	case plan.AggMin, plan.AggMax:
		return []plan.Value{c.ends}, nil
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
