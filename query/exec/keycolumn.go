package exec

import (
	"slices"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage"
)

// keyColumn turns one column of cells into key codes: 0 is NULL, the others are below card.
type keyColumn struct {
	dim    int      // dimension that is read; −1 for ts or nothing
	codes  []uint32 // key code of each dictionary code; nil: they are the same
	window map[int64]uint32
	fixed  uint32       // key code where nothing is read
	card   uint32       // highest key code + 1
	values []plan.Value // of the key codes; nil: those of the dictionary
	t      *table
}

// valueBytes is what a decoded value is counted as in the budget.
const valueBytes = 64

// keyColumn prepares the key expression e.
func (s *scan) keyColumn(e *plan.Expr) (*keyColumn, error) {
	k, t, mem := s.room.columns.one(), s.t, s.mem
	k.dim, k.t = -1, t
	cols := e.ColumnsIn(s.room.ints.take(4)[:0])
	switch {
	case len(cols) == 0:
		v, err := e.Eval(nil)
		if err != nil {
			return nil, err
		}
		in := newInterner()
		k.fixed = in.code(v)
		k.finish(in)
		return k, nil
	case cols[0] == t.dims:
		return k, k.overWindows(e)
	}
	k.dim = cols[0]
	if e.Kind == plan.ExprCol {
		k.card = t.view.DictLen(k.dim) + 1
		return k, nil
	}
	n := t.view.DictLen(k.dim)
	if err := mem.Grow(int64(n) * 4); err != nil {
		return nil, err
	}
	k.codes = make([]uint32, n+1)
	in, row := newInterner(), t.row()
	set := s.sets[k.dim] // other codes cannot come
	for code := uint32(0); code <= n; code++ {
		if set != nil && !set.Has(code) {
			continue
		}
		row[k.dim] = t.value(k.dim, code)
		v, err := e.Eval(row)
		if err != nil {
			return nil, err
		}
		k.codes[code] = in.code(v)
	}
	k.finish(in)
	return k, mem.Grow(int64(len(k.values)) * valueBytes)
}

func (k *keyColumn) overWindows(e *plan.Expr) error {
	k.window = map[int64]uint32{}
	in, row := newInterner(), k.t.row()
	for _, w := range k.t.view.Windows() {
		row[k.t.dims] = k.t.ts(w)
		v, err := e.Eval(row)
		if err != nil {
			return err
		}
		k.window[w] = in.code(v)
	}
	k.finish(in)
	return nil
}

func (k *keyColumn) finish(in *interner) {
	k.values = in.values
	k.card = uint32(len(in.values))
}

// value is the value of a key code.
func (k *keyColumn) value(code uint32) plan.Value {
	if k.values != nil {
		return k.values[code]
	}
	return k.t.value(k.dim, code)
}

// column gives the key codes of a chunk, in the memory of room if they must be computed. at says where dimensions stand in the chunk.
func (k *keyColumn) column(c *storage.Chunk, at []int, room *[]uint32) []uint32 {
	if k.dim >= 0 && k.codes == nil {
		return c.Codes(at[k.dim])
	}
	if cap(*room) < c.Len {
		*room = make([]uint32, c.Len)
	}
	buf := (*room)[:c.Len]
	switch {
	case k.window != nil:
		fill(buf, k.window[c.Window])
	case k.dim < 0:
		fill(buf, k.fixed)
	default:
		codes := k.codes
		for i, code := range c.Codes(at[k.dim]) {
			buf[i] = codes[code]
		}
	}
	return buf
}

func fill(buf []uint32, v uint32) {
	for i := range buf {
		buf[i] = v
	}
}

// interner numbers values from 1 in the order in which they come; 0 is NULL.
type interner struct {
	values []plan.Value
	texts  map[string]uint32 // codes of texts, which nearly all values are
	codes  map[plan.Value]uint32
}

func newInterner() *interner { return &interner{values: []plan.Value{plan.Null}} }

// reserve makes room for n values.
func (in *interner) reserve(n int) {
	if in.texts == nil && in.codes == nil {
		in.values = slices.Grow(in.values, n)
		in.texts = make(map[string]uint32, n)
	}
}

func (in *interner) code(v plan.Value) uint32 {
	if v.IsNull() {
		return 0
	}
	c := uint32(len(in.values))
	if v.Type == plan.Text {
		if old, ok := in.texts[v.Text()]; ok {
			return old
		}
		if in.texts == nil {
			in.texts = map[string]uint32{}
		}
		in.texts[v.Text()] = c
	} else {
		key := v.Key()
		if old, ok := in.codes[key]; ok {
			return old
		}
		if in.codes == nil {
			in.codes = map[plan.Value]uint32{}
		}
		in.codes[key] = c
	}
	in.values = append(in.values, v)
	return c
}
