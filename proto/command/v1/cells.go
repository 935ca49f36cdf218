package command

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quipudb/quipu/storage/schema"
)

// Cells is the decoded content of a group, in columns, sorted by window and then by cell. Scan reuses its memory.
type Cells struct {
	Windows []Window
	// Keys are the packed codes of each cell, the first dimension in the most significant bits, each dimension as wide as its
	// Codes say. Empty when the widths add up to more than 64 bits.
	Keys []uint64
	// Wide holds the codes themselves, one row of all dimensions a cell, where Keys is empty.
	Wide   []uint32
	Deltas []int64 // never 0

	Positive uint64 // sum of the positive deltas, at most 2⁶³−1
	Negative uint64 // sum of the negative ones without their sign, at most 2⁶³−1
	Nulls    uint32 // bit d is set when some cell has NULL in dimension d

	shifts, masks, maxes [schema.DimensionsMax]uint64
	width                int
}

// Window is a run of cells with one window.
type Window struct {
	Start    int64 // Unix seconds; 0 for a table without time
	From, To int   // cells [From, To)
}

// Packed reports whether the group's codes fit in 64 bits.
func (g *Group) Packed() bool { return totalWidth(g.Dims) <= 64 }

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
	c.Windows, c.Keys, c.Wide, c.Deltas = c.Windows[:0], c.Keys[:0], c.Wide[:0], c.Deltas[:0]
	c.Positive, c.Negative, c.Nulls = 0, 0, 0
	c.layout(g.Dims)
	d := decoder{b: g.cells}
	packed := g.Packed()
	at := int64(0)
	for i := range d.count(2) {
		at += d.int()
		from, n := len(c.Deltas), d.count(2)
		switch {
		case i > 0 && at <= c.Windows[i-1].Start || n == 0:
			d.fail(errOrder)
		case from+n > CellsMax:
			d.fail(errCellMax)
		}
		if d.err != nil {
			break
		}
		if packed {
			c.scanPacked(&d, n, len(g.Dims))
		} else {
			c.scanWide(&d, n, len(g.Dims))
		}
		c.Windows = append(c.Windows, Window{Start: at, From: from, To: from + n})
	}
	if err := d.close(); err != nil {
		return fmt.Errorf("%w: cells of table %d: %w", ErrMalformed, g.Table, err)
	}
	return nil
}

func (c *Cells) layout(dims []Codes) {
	c.width = totalWidth(dims)
	shift := uint64(c.width)
	for i := range dims {
		w := uint64(dims[i].Width())
		shift -= w
		c.shifts[i], c.masks[i], c.maxes[i] = shift&63, 1<<w-1, uint64(dims[i].Max())
	}
}

// Code is the entry code of dimension dim in a packed key of the group that was scanned last.
func (c *Cells) Code(key uint64, dim int) uint32 { return uint32(key >> c.shifts[dim] & c.masks[dim]) }

func (c *Cells) scanPacked(d *decoder, n, dims int) {
	b, key, positive, negative := d.b, uint64(0), c.Positive, c.Negative
	keys, deltas := grow(c.Keys, n), grow(c.Deltas, n)
	keys, deltas = keys[:len(c.Keys)+n], deltas[:len(c.Deltas)+n]
	base := len(c.Keys)
	for i := range n {
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
		if i > 0 && next <= key {
			d.fail(errOrder)
			return
		}
		key = next
		delta := int64(zig>>1) ^ -int64(zig&1)
		if delta > 0 {
			positive += uint64(delta)
		} else if delta == 0 {
			d.fail(errZero)
			return
		} else {
			negative += -uint64(delta)
		}
		if positive > 1<<63-1 || negative > 1<<63-1 {
			d.fail(errSum)
			return
		}
		keys[base+i], deltas[base+i] = key, delta
	}
	if c.width < 64 && key>>c.width != 0 { // keys ascend: the last one is the largest
		d.fail(errCode)
		return
	}
	for j := range dims {
		shift, mask, bound := c.shifts[j]&63, c.masks[j], c.maxes[j]
		null, over := false, false
		for _, k := range keys[base:] {
			code := k >> shift & mask
			over = over || code > bound
			null = null || code == 0
		}
		if over {
			d.fail(errCode)
			return
		}
		if null {
			c.Nulls |= 1 << j
		}
	}
	c.Keys, c.Deltas, c.Positive, c.Negative = keys, deltas, positive, negative
	d.b = b
}

func (c *Cells) scanWide(d *decoder, n, dims int) {
	for i := range n {
		start := len(c.Wide)
		for j := range dims {
			code := d.uint()
			if code > c.maxes[j] {
				d.fail(errCode)
				return
			}
			if code == 0 {
				c.Nulls |= 1 << j
			}
			c.Wide = append(c.Wide, uint32(code))
		}
		delta := d.int()
		if d.err != nil {
			return
		}
		if i > 0 && compareRows(c.Wide[start-dims:start], c.Wide[start:]) >= 0 {
			d.fail(errOrder)
			return
		}
		switch {
		case delta == 0:
			d.fail(errZero)
			return
		case delta < 0:
			c.Negative += -uint64(delta)
		default:
			c.Positive += uint64(delta)
		}
		if c.Positive > 1<<63-1 || c.Negative > 1<<63-1 {
			d.fail(errSum)
			return
		}
		c.Deltas = append(c.Deltas, delta)
	}
}

func compareRows(a, b []uint32) int {
	for i, x := range a {
		if x != b[i] {
			if x < b[i] {
				return -1
			}
			return 1
		}
	}
	return 0
}

// grow makes room for n more items without changing the length.
func grow[T any](s []T, n int) []T {
	if cap(s)-len(s) >= n {
		return s
	}
	return append(make([]T, 0, max(2*cap(s), len(s)+n)), s...)
}
