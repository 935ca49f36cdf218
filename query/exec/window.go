package exec

import (
	"context"
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// window holds the rows of its input in memory, computes each call over its partitions, and gives the rows in the order of the last one.
func (e *Env) window(ctx context.Context, n *plan.Window, emit Emit) error {
	var rows [][]plan.Value
	width := len(n.Input.Columns())
	held := int64(0)
	defer func() { e.Options.Memory.Shrink(held) }()
	err := e.node(ctx, n.Input, func(row []plan.Value) error {
		out := make([]plan.Value, width+len(n.Calls))
		copy(out, row[:width])
		size := sizeOf(out)
		if err := e.Options.Memory.Grow(size); err != nil {
			return err
		}
		held += size
		rows = append(rows, out)
		return nil
	})
	if err != nil {
		return err
	}
	for i, c := range n.Calls {
		if rows, err = e.windowCall(ctx, c, rows, width+i); err != nil {
			return err
		}
	}
	return emitAll(rows, nil, emit)
}

// windowRow is a row of the input with what it is sorted by.
type windowRow struct {
	row   []plan.Value
	part  string
	parts []plan.Value
	order []plan.Value
}

// windowCall fills in column col of the rows and gives them in the order of the window.
func (e *Env) windowCall(ctx context.Context, c *plan.WindowCall, rows [][]plan.Value, col int) ([][]plan.Value, error) {
	list := make([]windowRow, len(rows))
	for i, row := range rows {
		parts, err := evalAll(c.Partition, row)
		if err != nil {
			return nil, err
		}
		order, err := evalAll(c.Order, row)
		if err != nil {
			return nil, err
		}
		list[i] = windowRow{row, rowKey(parts), parts, order}
	}
	byPart := make([]plan.SortKey, len(c.Partition))
	for i := range byPart {
		byPart[i].Col = i
	}
	slices.SortStableFunc(list, func(a, b windowRow) int {
		if d := compareRows(a.parts, b.parts, byPart); d != 0 {
			return d
		}
		return compareRows(a.order, b.order, c.Sort)
	})
	for from := 0; from < len(list); {
		to := from + 1
		for to < len(list) && list[to].part == list[from].part {
			to++
		}
		p := &partition{e: e, ctx: ctx, c: c, rows: list[from:to], col: col}
		if err := p.compute(); err != nil {
			return nil, err
		}
		from = to
	}
	for i := range list {
		rows[i] = list[i].row
	}
	return rows, nil
}

// partition is the rows of one partition, in order.
type partition struct {
	e    *Env
	ctx  context.Context
	c    *plan.WindowCall
	rows []windowRow
	col  int
	peer []int // first row of each row's peers
	next []int // row behind them
}

func (p *partition) compute() error {
	n := len(p.rows)
	p.peer, p.next = make([]int, n), make([]int, n)
	for i := range p.rows {
		if i > 0 && compareRows(p.rows[i-1].order, p.rows[i].order, p.c.Sort) == 0 {
			p.peer[i] = p.peer[i-1]
		} else {
			p.peer[i] = i
		}
	}
	for i := n - 1; i >= 0; i-- {
		if i < n-1 && p.peer[i+1] == p.peer[i] {
			p.next[i] = p.next[i+1]
		} else {
			p.next[i] = i + 1
		}
	}
	switch {
	case p.c.Aggregate != nil:
		return p.aggregate()
	case p.c.Name == "ntile":
		return p.ntile()
	}
	dense := 0
	for i := range p.rows {
		if p.peer[i] == i {
			dense++
		}
		v, err := p.value(i, dense)
		if err != nil {
			return err
		}
		p.rows[i].row[p.col] = v
	}
	return nil
}

// value is that of a function which is no aggregate, at row i.
func (p *partition) value(i, dense int) (plan.Value, error) {
	n := len(p.rows)
	switch p.c.Name {
	case "row_number":
		return plan.IntValue(int64(i + 1)), nil
	case "rank":
		return plan.IntValue(int64(p.peer[i] + 1)), nil
	case "dense_rank":
		return plan.IntValue(int64(dense)), nil
	case "percent_rank":
		if n == 1 {
			return plan.FloatValue(0), nil
		}
		return plan.FloatValue(float64(p.peer[i]) / float64(n-1)), nil
	case "cume_dist":
		return plan.FloatValue(float64(p.next[i]) / float64(n)), nil
	case "lag", "lead":
		return p.shifted(i)
	}
	at, ok, err := p.place(i)
	if err != nil || !ok {
		return plan.Null, err
	}
	return p.c.Args[0].Eval(p.rows[at].row)
}

// shifted is lag and lead.
func (p *partition) shifted(i int) (plan.Value, error) {
	by, row := int64(1), p.rows[i].row
	if len(p.c.Args) > 1 {
		v, err := p.c.Args[1].Eval(row)
		if err != nil || v.IsNull() {
			return plan.Null, err
		}
		by = v.Int()
	}
	n := int64(len(p.rows))
	if by = max(-n, min(n, by)); p.c.Name == "lag" {
		by = -by
	}
	if at := int64(i) + by; at >= 0 && at < n {
		return p.c.Args[0].Eval(p.rows[at].row)
	}
	if len(p.c.Args) > 2 {
		return p.c.Args[2].Eval(row)
	}
	return plan.Null, nil
}

// place is the row of the frame of i that first_value, last_value or nth_value gives.
func (p *partition) place(i int) (at int, ok bool, err error) {
	from, to, err := p.frame(i)
	if err != nil {
		return 0, false, err
	}
	want := int64(1)
	if p.c.Name == "nth_value" {
		v, err := p.c.Args[1].Eval(p.rows[i].row)
		if err != nil || v.IsNull() {
			return 0, false, err
		}
		if want = v.Int(); want < 1 {
			return 0, false, errcode.New(errcode.InvalidOption, "argument of nth_value must be greater than zero")
		}
	}
	if p.c.Name == "last_value" {
		for at := to - 1; at >= from; at-- {
			if !p.excluded(i, at) {
				return at, true, nil
			}
		}
		return 0, false, nil
	}
	for at := from; at < to; at++ {
		if p.excluded(i, at) {
			continue
		}
		if want--; want == 0 {
			return at, true, nil
		}
	}
	return 0, false, nil
}

func (p *partition) ntile() error {
	v, err := p.c.Args[0].Eval(p.rows[0].row)
	if err != nil {
		return err
	}
	n := int64(len(p.rows))
	if !v.IsNull() && v.Int() < 1 {
		return errcode.New(errcode.InvalidOption, "argument of ntile must be greater than zero")
	}
	for i := range p.rows {
		if v.IsNull() {
			continue
		}
		size, larger := n/v.Int(), n%v.Int() // the first larger buckets have a row more
		bucket := int64(i) / (size + 1)
		if int64(i) >= larger*(size+1) {
			bucket = larger + (int64(i)-larger*(size+1))/max(size, 1)
		}
		p.rows[i].row[p.col] = plan.IntValue(bucket + 1)
	}
	return nil
}

// aggregate computes an aggregate over each row's frame. Frames that begin with the partition and only grow are added up as they do.
func (p *partition) aggregate() error {
	growing := p.c.Frame.Start.Kind == sql.UnboundedPreceding && p.c.Frame.Exclude == sql.ExcludeNothing && p.c.Frame.End.Offset == nil &&
		!p.c.Aggregate.IsList()
	acc, done := &accumulator{}, 0
	defer func() { acc.reset(p.e.Options.Memory) }()
	for i := range p.rows {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		from, to, err := p.frame(i)
		if err != nil {
			return err
		}
		if !growing {
			acc.reset(p.e.Options.Memory)
			done = from
		}
		for ; done < to; done++ {
			if p.excluded(i, done) {
				continue
			}
			if err := p.add(acc, p.rows[done].row); err != nil {
				return err
			}
		}
		v, err := acc.finish(p.c.Aggregate)
		if err != nil {
			return err
		}
		p.rows[i].row[p.col] = v[0]
	}
	return nil
}

func (p *partition) add(acc *accumulator, row []plan.Value) error {
	a := p.c.Aggregate
	if a.Filter != nil {
		if ok, err := a.Filter.True(row); err != nil || !ok {
			return err
		}
	}
	return acc.add(a, row, p.e.Options.Memory)
}

// excluded says whether EXCLUDE takes row at out of the frame of row i.
func (p *partition) excluded(i, at int) bool {
	peers := p.peer[at] == p.peer[i]
	switch p.c.Frame.Exclude {
	case sql.ExcludeCurrentRow:
		return at == i
	case sql.ExcludeGroup:
		return peers
	case sql.ExcludeTies:
		return peers && at != i
	}
	return false
}

// frame is the rows from and before to that row i looks at.
func (p *partition) frame(i int) (from, to int, err error) {
	if from, err = p.bound(i, p.c.Frame.Start, false); err != nil {
		return 0, 0, err
	}
	if to, err = p.bound(i, p.c.Frame.End, true); err != nil {
		return 0, 0, err
	}
	return min(max(from, 0), len(p.rows)), min(max(to, from, 0), len(p.rows)), nil
}

// bound is the first row of a frame, or the one behind its end.
func (p *partition) bound(i int, b plan.WindowBound, end bool) (int, error) {
	switch b.Kind {
	case sql.UnboundedPreceding:
		return 0, nil
	case sql.UnboundedFollowing:
		return len(p.rows), nil
	case sql.CurrentRow:
		switch {
		case p.c.Frame.Mode == sql.FrameRows && end:
			return i + 1, nil
		case p.c.Frame.Mode == sql.FrameRows:
			return i, nil
		case end:
			return p.next[i], nil
		}
		return p.peer[i], nil
	}
	offset, err := b.Offset.Eval(nil)
	if err != nil {
		return 0, err
	}
	if offset.IsNull() || plan.Compare(offset, zeroOf(offset)) < 0 {
		return 0, errcode.New(errcode.InvalidOption, "frame offset must not be null or negative")
	}
	after := b.Kind == sql.Following
	switch p.c.Frame.Mode {
	case sql.FrameRange:
		return p.rangeBound(i, offset, after, end)
	case sql.FrameGroups:
		return p.groupBound(i, offset.Int(), after, end), nil
	}
	by := int(min(offset.Int(), int64(len(p.rows))))
	if !after {
		by = -by
	}
	if end {
		by++
	}
	return i + by, nil
}

func zeroOf(v plan.Value) plan.Value {
	switch v.Type {
	case plan.Interval:
		return plan.IntervalValue(0, 0, 0)
	case plan.Float8:
		return plan.FloatValue(0)
	}
	return plan.IntValue(0)
}

// groupBound walks by groups of peers.
func (p *partition) groupBound(i int, by int64, after, end bool) int {
	at := p.peer[i]
	for ; by > 0; by-- {
		if after {
			if at = p.next[at]; at >= len(p.rows) {
				return len(p.rows)
			}
			continue
		}
		if at == 0 {
			return 0
		}
		at = p.peer[at-1]
	}
	if end {
		return p.next[at]
	}
	return at
}

// rangeBound finds the first row at or behind the value at an offset from row i, or the one behind the last.
func (p *partition) rangeBound(i int, offset plan.Value, after, end bool) (int, error) {
	v := p.rows[i].order[0]
	if v.IsNull() { // NULLs are peers of each other
		if end {
			return p.next[i], nil
		}
		return p.peer[i], nil
	}
	key := p.c.Sort[0]
	edge, err := plan.RangeBound(v, offset, after, key.Desc)
	if err != nil {
		return 0, err
	}
	at := []plan.Value{edge}
	keys := []plan.SortKey{{Desc: key.Desc, NullsFirst: key.NullsFirst}}
	n, _ := slices.BinarySearchFunc(p.rows, at, func(r windowRow, at []plan.Value) int {
		d := compareRows(r.order, at, keys)
		if d == 0 && end {
			return -1
		}
		return d
	})
	return n, nil
}
