package command

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/quipudb/quipu/storage/schema"
)

// Cells is the decoded content of a group, in columns, sorted by window and then by cell. Scan reuses its memory.
type Cells struct {
	Windows []Window
	Cols    [][]uint32 // per dimension: the entry code of each cell
	Deltas  []int64    // never 0

	Positive uint64 // sum of the positive deltas, at most 2⁶³−1
	Negative uint64 // sum of the negative ones without their sign, at most 2⁶³−1
	Nulls    uint32 // bit d is set when some cell has NULL in dimension d

	columns [schema.DimensionsMax][]uint32
	keys    []uint64
}

// Window is a run of cells with one window.
type Window struct {
	Start    int64 // Unix seconds; 0 for a table without time
	From, To int   // cells [From, To)
}

func totalWidth(dims []Codes) int {
	n := 0
	for i := range dims {
		n += dims[i].Width()
	}
	return n
}

var (
	errOrder   = errors.New("cells or windows are not in ascending order")
	errCode    = errors.New("a cell has a code beyond its dictionary")
	errZero    = errors.New("a cell adds nothing")
	errSum     = errors.New("the counts of an entry add up to more than 2⁶³−1")
	errCellMax = errors.New("too many cells")
)

// Scan decodes the cells of g into c. It tests everything that can be tested without the machine's state: ascending order,
// codes within their dictionaries, no zero, a sum that does not overflow.
func (g *Group) Scan(c *Cells) error {
	c.Windows, c.Deltas = c.Windows[:0], c.Deltas[:0]
	c.Positive, c.Negative, c.Nulls = 0, 0, 0
	c.Cols = c.columns[:len(g.Dims)]
	for i := range c.Cols {
		c.Cols[i] = c.Cols[i][:0]
	}
	d := decoder{b: g.cells}
	width, at := totalWidth(g.Dims), int64(0)
	for i := range d.count(3) {
		at += d.int()
		from := len(c.Deltas)
		n := d.count(cellBytesMin(width, len(g.Dims)))
		switch {
		case i > 0 && at <= c.Windows[i-1].Start || n == 0:
			d.fail(errOrder)
		case from+n > CellsMax:
			d.fail(errCellMax)
		}
		if d.err != nil {
			break
		}
		c.Deltas = grow(c.Deltas, n)
		for j := range c.Cols {
			c.Cols[j] = grow(c.Cols[j], n)
		}
		if width <= 64 {
			c.scanPacked(&d, g.Dims, width, from)
		} else {
			c.scanWide(&d, g.Dims, from)
		}
		c.Windows = append(c.Windows, Window{Start: at, From: from, To: from + n})
	}
	if err := d.close(); err != nil {
		return fmt.Errorf("%w: cells of table %d: %w", ErrMalformed, g.Table, err)
	}
	return nil
}

func cellBytesMin(width, dims int) int {
	if width <= 64 {
		return 2
	}
	return dims + 1
}

// scanPacked fills the cells from position from on: first keys and deltas, then one dimension after the other.
func (c *Cells) scanPacked(d *decoder, dims []Codes, width, from int) {
	deltas := c.Deltas[from:]
	if cap(c.keys) < len(deltas) {
		c.keys = make([]uint64, max(len(deltas), 2*cap(c.keys)))
	}
	keys := c.keys[:len(deltas)]
	b, key := d.b, uint64(0)
	for i := range keys {
		var step, zig uint64
		if len(b) >= 2 && b[0] < 0x80 {
			step, b = uint64(b[0]), b[1:]
		} else {
			v, m := binary.Uvarint(b)
			if m <= 0 {
				d.short(m)
				return
			}
			step, b = v, b[m:]
		}
		if len(b) >= 1 && b[0] < 0x80 {
			zig, b = uint64(b[0]), b[1:]
		} else {
			v, m := binary.Uvarint(b)
			if m <= 0 {
				d.short(m)
				return
			}
			zig, b = v, b[m:]
		}
		next := key + step
		if i > 0 && next <= key || next < step {
			d.fail(errOrder)
			return
		}
		key = next
		keys[i], deltas[i] = key, int64(zig>>1)^-int64(zig&1)
	}
	if width < 64 && key>>width != 0 { // keys ascend: the last one is the largest
		d.fail(errCode)
		return
	}
	d.b = b
	shift := width
	for j := range dims {
		w := dims[j].Width()
		shift -= w
		if !c.column(j, keys, uint(shift), 1<<w-1, dims[j].Max(), from) {
			d.fail(errCode)
			return
		}
	}
	c.sum(d, deltas)
}

// column takes the codes of dimension j out of the keys. It is false if one is above the highest.
func (c *Cells) column(j int, keys []uint64, shift uint, mask uint64, highest uint32, from int) bool {
	col := c.Cols[j][from:][:len(keys)]
	lowest, top := ^uint32(0), uint32(0)
	shift &= 63
	for i, k := range keys {
		code := uint32(k >> shift & mask)
		col[i] = code
		lowest, top = min(lowest, code), max(top, code)
	}
	if lowest == 0 {
		c.Nulls |= 1 << j
	}
	return top <= highest
}

func (c *Cells) sum(d *decoder, deltas []int64) {
	positive, negative := c.Positive, c.Negative
	for _, delta := range deltas {
		switch {
		case delta > 0:
			positive += uint64(delta)
		case delta < 0:
			negative += -uint64(delta)
		default:
			d.fail(errZero)
			return
		}
		if positive > 1<<63-1 || negative > 1<<63-1 {
			d.fail(errSum)
			return
		}
	}
	c.Positive, c.Negative = positive, negative
}

func (c *Cells) scanWide(d *decoder, dims []Codes, from int) {
	for i := from; i < len(c.Deltas); i++ {
		order := 0 // of this cell against the one before
		for j := range dims {
			code := d.uint()
			if code > uint64(dims[j].Max()) {
				d.fail(errCode)
				return
			}
			if code == 0 {
				c.Nulls |= 1 << j
			}
			col := c.Cols[j]
			col[i] = uint32(code)
			if order == 0 && i > from {
				order = cmp.Compare(col[i], col[i-1])
			}
		}
		c.Deltas[i] = d.int()
		if d.err != nil {
			return
		}
		if i > from && order <= 0 {
			d.fail(errOrder)
			return
		}
	}
	c.sum(d, c.Deltas[from:])
}

func compareRows(a, b []uint32) int {
	for i, x := range a {
		if x != b[i] {
			return cmp.Compare(x, b[i])
		}
	}
	return 0
}

// grow makes s longer by n items, whose content is what was there.
func grow[T any](s []T, n int) []T { return slices.Grow(s, n)[:len(s)+n] }
