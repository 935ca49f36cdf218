package counter

import (
	"fmt"

	"github.com/quipudb/quipu/fsm"
	"github.com/quipudb/quipu/proto/command/v1"
	"github.com/quipudb/quipu/storage"
	"github.com/quipudb/quipu/storage/schema"
)

// entry is the scratch memory of one Add; it is kept from one to the next.
type entry struct {
	cmd    command.Add
	cells  []command.Cells
	ready  []bool // cells[i] holds group i
	groups []group
	owned  tristate

	fresh   map[windowKey]*window
	touched []*window
	copies  []*window // next states, reused
	used    int
	view    [][]uint32
}

// group is what the tests found out about one group of cells.
type group struct {
	ts    *storage.TableState
	fresh []freshValue // values to add, in order
}

type freshValue struct {
	dim   int
	value string
	code  uint32
}

func (a *entry) begin() {
	n := len(a.cmd.Groups)
	for len(a.cells) < n {
		a.cells, a.ready, a.groups = append(a.cells, command.Cells{}), append(a.ready, false), append(a.groups, group{})
	}
	clear(a.ready)
	a.owned = unknown
	a.used = 0
	if a.fresh == nil {
		a.fresh = map[windowKey]*window{}
	}
	clear(a.fresh)
}

func (a *entry) scratch() *window {
	if a.used == len(a.copies) {
		a.copies = append(a.copies, &window{})
	}
	a.used++
	return a.copies[a.used-1]
}

// scan decodes the cells of group i. A leader makes groups that decode; anything else is a broken invariant.
func (a *entry) scan(i int) {
	if a.ready[i] {
		return
	}
	if err := a.cmd.Groups[i].Scan(&a.cells[i]); err != nil {
		panic(err)
	}
	a.ready[i] = true
}

// applyAdd tests the whole entry and then applies it whole, or refuses it whole.
func (m *Machine) applyAdd(tx *storage.Tx, index uint64) *AddResult {
	a := &m.add
	a.begin()
	r := &AddResult{Index: index, Parts: make([]PartResult, len(a.cmd.Parts))}
	refused := false
	for i := range a.cmd.Parts {
		r.Parts[i] = m.testPart(tx, &a.cmd.Parts[i])
		refused = refused || r.Parts[i] != PartResult{}
	}
	if refused {
		m.discardParts()
		return m.refusedWhole(r)
	}
	if bad := m.testCells(tx); bad != (PartResult{}) {
		return m.refusedData(r, bad)
	}
	m.commitParts(index)
	for i := range a.cmd.Groups {
		a.apply(i)
	}
	r.Applied = true
	m.stats.applied(len(r.Parts), a)
	return r
}

// refusedWhole tells the parts that had nothing wrong that they were not counted either.
func (m *Machine) refusedWhole(r *AddResult) *AddResult {
	for i := range r.Parts {
		switch {
		case r.Parts[i] == PartResult{}:
			r.Parts[i].Code = fsm.EntryRefused
		case r.Parts[i].Duplicate:
			m.stats.duplicates++
		default:
			m.stats.refused++
		}
	}
	return r
}

// refusedData is the end of an entry whose cells cannot be added. Cells are summed over the parts, so which part is to blame
// shows only when it is alone; then a refusal of the data is the remembered answer to its number.
func (m *Machine) refusedData(r *AddResult, bad PartResult) *AddResult {
	if len(r.Parts) != 1 {
		m.discardParts()
		for i := range r.Parts {
			r.Parts[i].Code = fsm.EntryRefused
		}
		return r
	}
	m.stats.refused++
	r.Parts[0] = bad
	if bad.Code.Data() {
		p := &m.add.cmd.Parts[0]
		m.add.touched[0].next.remember(refusal{seq: p.Seq, code: bad.Code, dim: bad.Dim, value: bad.Value})
		m.commitParts(r.Index)
	} else {
		m.discardParts()
	}
	return r
}

// testCells tests all groups against tables, time, dictionaries and bounds. It changes nothing but scratch.
func (m *Machine) testCells(tx *storage.Tx) PartResult {
	a := &m.add
	for i := range a.cmd.Groups {
		g := &a.cmd.Groups[i]
		for j := range i {
			if a.cmd.Groups[j].Table == g.Table {
				panic(fmt.Errorf("%w: table %d stands twice in an entry", command.ErrMalformed, g.Table))
			}
		}
		ts := tx.Table(g.Table)
		if ts == nil {
			return PartResult{Code: fsm.UnknownTable}
		}
		if ts.Schema().Version != g.Version {
			return PartResult{Code: fsm.SchemaChanged}
		}
		if len(g.Dims) != len(ts.Schema().Dims) {
			panic(fmt.Errorf("%w: %d dimensions for table %d, which has %d in version %d", command.ErrMalformed, len(g.Dims), g.Table, len(ts.Schema().Dims), g.Version))
		}
		a.scan(i)
		a.groups[i].ts = ts
		r := m.testTime(ts.Schema(), &a.cells[i])
		if r == (PartResult{}) {
			r = testValues(&a.groups[i], g, &a.cells[i])
		}
		if r == (PartResult{}) {
			r = testBounds(ts, &a.cells[i])
		}
		if r != (PartResult{}) {
			return r
		}
	}
	return PartResult{}
}

func (m *Machine) testTime(t *schema.Table, c *command.Cells) PartResult {
	ahead := t.MaxFuture.Milliseconds()
	if ahead == 0 {
		ahead = schema.MaxFuture.Milliseconds()
	}
	cutoff, cut := m.cutoffs[t.ID]
	for _, w := range c.Windows {
		switch {
		case t.Bucket(w.Start*1000) != w.Start || w.Start > windowStartMax || w.Start < -windowStartMax:
			return PartResult{Code: fsm.ValueInvalid, Value: w.Start}
		case t.Window == 0:
		case cut && w.Start < cutoff:
			return PartResult{Code: fsm.Late, Value: w.Start}
		case w.Start*1000 > m.clock.Now+ahead:
			return PartResult{Code: fsm.Early, Value: w.Start}
		}
	}
	return PartResult{}
}

// windowStartMax keeps milliseconds within int64: 292 million years.
const windowStartMax = 1<<63/1000 - 1

// testBounds makes sure that no cell leaves 0 … 2⁶³−1. The table knows an upper bound of its cells, so that cells are looked up
// only where a count goes down or that bound is near the end.
func testBounds(ts *storage.TableState, c *command.Cells) PartResult {
	near := ts.Positive()+c.Positive > 1<<63-1 || ts.Positive() > 1<<63-1
	if !near && c.Negative == 0 {
		return PartResult{}
	}
	var codes [schema.DimensionsMax]uint32
	for _, w := range c.Windows {
		for i := w.From; i < w.To; i++ {
			delta := c.Deltas[i]
			if delta > 0 && !near {
				continue
			}
			for d, col := range c.Cols {
				codes[d] = col[i]
			}
			count := ts.Get(w.Start, codes[:len(c.Cols)])
			switch {
			case delta > 0 && count > 1<<63-1-delta:
				return PartResult{Code: fsm.Overflow}
			case count+delta < 0:
				return PartResult{Code: fsm.BelowZero, Value: count + delta}
			}
		}
	}
	return PartResult{}
}

// apply adds the cells of group i, which was tested.
func (a *entry) apply(i int) {
	x, c := &a.groups[i], &a.cells[i]
	for _, v := range x.fresh {
		if code := x.ts.Intern(v.dim, v.value); code != v.code {
			panic(fmt.Errorf("dimension %d of table %d: value %q got code %d, was to get %d", v.dim, x.ts.Schema().ID, v.value, code, v.code))
		}
	}
	for _, w := range c.Windows {
		a.view = a.view[:0]
		for _, col := range c.Cols {
			a.view = append(a.view, col[w.From:w.To])
		}
		x.ts.AddColumns(w.Start, a.view, c.Deltas[w.From:w.To])
	}
	x.ts = nil
}
