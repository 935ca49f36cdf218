// Package mosaic draws a crosstab for a terminal: a band for each row, as high as the row's share, in it a tile for each column, as wide
// as the column's share of the row. Under independence the tiles stand in one line below each other. A tile is shaded by its adjusted
// residual z, the cuts at 2 and 4 of Friendly (Mosaic displays for multi-way contingency tables, JASA 89, 1994): blue or ## and ++ where more
// was counted than independence gives, red or == and -- where less was.
//
//	fmt.Print(mosaic.Draw(table, mosaic.Options{Width: 80, Height: 24, Rows: "gender", Cols: "admitted"}))
package mosaic

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/quipudb/quipu/query/stats"
)

// Options say what there is to draw on, and what the table is about.
type Options struct {
	Width, Height int    // of the terminal; at least 24 by 10 are used
	Colour        bool   // tiles are coloured; else they are filled with characters of ASCII
	UTF8          bool   // other characters than ASCII may be used
	Rows, Cols    string // names of the two dimensions
}

const (
	alpha      = 0.05 // above it the shades are faint: no tile of a table that chance explains is to catch the eye
	linesMax   = 18   // of the picture, however high the terminal is
	labelShare = 4    // the labels of rows take at most this part of the width
	labelMax   = 24
	tileMin    = 6 // columns for a tile on the average; with more tiles in a row the smallest columns are left out
)

// Draw is the picture, with a heading and a legend, no line wider than the terminal.
func Draw(t *stats.Table, o Options) string {
	o.Width, o.Height = max(o.Width, 24), max(o.Height, 10)
	cells, err := stats.Residuals(t)
	if err != nil {
		return "nothing was counted\n"
	}
	p := &picture{o: o, t: t}
	p.arrange(cells)
	p.heading()
	p.layout()
	for i := range p.bands {
		p.draw(&p.bands[i])
	}
	p.line(p.border())
	p.legend()
	return p.b.String()
}

// picture is the work on one drawing.
type picture struct {
	o     Options
	t     *stats.Table
	b     strings.Builder
	bands []band
	left  int // width of the labels
	inner int // width between the borders
	ruled bool
	rows  int // that are not drawn
	cols  int // that are not drawn
	faint bool
}

type band struct {
	name  string
	total uint64
	lines int
	tiles []tile
}

type tile struct {
	name    string
	count   uint64
	z       float64
	defined bool // z
	width   int
}

// arrange sorts the cells, which come row after row, into bands.
func (p *picture) arrange(cells []stats.Cell) {
	last := -1
	for _, c := range cells {
		if c.Row != last {
			p.bands = append(p.bands, band{name: p.clean(p.t.RowLabel(c.Row))})
			last = c.Row
		}
		b := &p.bands[len(p.bands)-1]
		b.total += c.Observed
		b.tiles = append(b.tiles, tile{name: p.clean(p.t.ColLabel(c.Col)), count: c.Observed, z: c.Adjusted.Value, defined: c.Adjusted.Defined})
	}
}

// clean is a label that cannot move the cursor, and that the terminal can show.
func (p *picture) clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && (r < 0xa0 || !p.o.UTF8) {
			return '?'
		}
		return r
	}, s)
}

func (p *picture) heading() {
	r, err := stats.ChiSquare(p.t)
	if err != nil {
		return // Residuals would have failed, too
	}
	p.faint = r.P > alpha
	chi := "X2"
	if p.o.UTF8 {
		chi = "X²"
	}
	parts := []string{fmt.Sprintf("%s = %.4g", chi, r.Statistic), fmt.Sprintf("df %d", r.DF), "p = " + pText(r), "n = " + grouped(r.N)}
	if v := r.CramersV(); v.Defined {
		parts = slices.Insert(parts, 3, fmt.Sprintf("V = %.3f", v.Value))
	}
	if len(r.Warnings) > 0 {
		parts = append(parts, fmt.Sprint(r.Warnings))
	}
	if p.o.Rows != "" && p.o.Cols != "" {
		title := p.clean(p.o.Rows) + " by " + p.clean(p.o.Cols) + ":"
		if first := title + " " + parts[0]; text.StringWidth(first) <= p.o.Width {
			parts[0] = first
		} else {
			p.line(strings.TrimRight(fit(title, p.o.Width), " "))
		}
	}
	p.wrap(parts, ", ")
	p.b.WriteByte('\n')
}

// pText is a p-value also where it is too small for a float.
func pText(r stats.Result) string {
	if r.P > 0 || math.IsInf(r.LnP, -1) {
		return fmt.Sprintf("%.2g", r.P)
	}
	return fmt.Sprintf("e^%.1f", r.LnP)
}

// layout finds the sizes of bands and tiles.
func (p *picture) layout() {
	lines := min(p.o.Height-7, linesMax) // without heading, empty line, last border, legend and prompt
	p.hideRows(max(lines-1, 1))
	for _, b := range p.bands {
		p.left = max(p.left, text.StringWidth(b.name))
	}
	p.left = min(p.left, p.o.Width/labelShare, labelMax)
	p.inner = p.o.Width - p.left - 3
	p.hideColumns(max(p.inner/tileMin, 1))
	p.ruled = 2*len(p.bands) <= lines
	if p.ruled {
		lines -= len(p.bands)
	} else {
		lines-- // the first border
	}
	totals := make([]uint64, len(p.bands))
	for i, b := range p.bands {
		totals[i] = b.total
	}
	for i, n := range apportion(lines, totals) {
		p.bands[i].lines = n
		p.widths(&p.bands[i])
	}
}

// hideRows keeps the n largest rows.
func (p *picture) hideRows(n int) {
	totals := make([]uint64, len(p.bands))
	for i, b := range p.bands {
		totals[i] = b.total
	}
	all := p.bands
	p.bands = nil
	for _, i := range largest(totals, n) {
		p.bands = append(p.bands, all[i])
	}
	p.rows = len(all) - len(p.bands)
}

// hideColumns keeps the n largest columns.
func (p *picture) hideColumns(n int) {
	totals := make([]uint64, len(p.bands[0].tiles))
	for _, b := range p.bands {
		for j, t := range b.tiles {
			totals[j] += t.count
		}
	}
	kept := largest(totals, n)
	p.cols = len(totals) - len(kept)
	for i := range p.bands {
		all := p.bands[i].tiles
		p.bands[i].tiles = nil
		for _, j := range kept {
			p.bands[i].tiles = append(p.bands[i].tiles, all[j])
		}
	}
}

// largest are the places of the n largest weights, in order of place.
func largest(weights []uint64, n int) []int {
	order := make([]int, len(weights))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weights[b], weights[a]) })
	order = order[:min(n, len(order))]
	slices.Sort(order)
	return order
}

// widths gives each tile its columns, at least one, so that an empty cell shows its shade, too. Between two tiles is one column.
func (p *picture) widths(b *band) {
	counts := make([]uint64, len(b.tiles))
	for i, t := range b.tiles {
		counts[i] = t.count
	}
	for i, n := range apportion(p.inner-len(b.tiles)+1, counts) {
		b.tiles[i].width = n
	}
}

// apportion shares n out in proportion to the weights by largest remainders, after one for each.
func apportion(n int, weights []uint64) []int {
	out := make([]int, len(weights))
	sum := 0.0
	for _, w := range weights {
		sum += float64(w)
	}
	sum = max(sum, 1)
	n = max(n-len(weights), 0)
	left := n
	rest := make([]float64, len(weights))
	for i, w := range weights {
		exact := float64(n) * float64(w) / sum
		out[i] = 1 + int(exact)
		rest[i] = exact - math.Floor(exact)
		left -= int(exact)
	}
	for ; left > 0; left-- {
		i := slices.Index(rest, slices.Max(rest))
		out[i]++
		rest[i] = -1
	}
	return out
}

// class is the shade of a tile, from −2 to 2.
func (p *picture) class(z float64) int {
	c := 0
	switch a := math.Abs(z); {
	case a >= 4 && !p.faint:
		c = 2
	case a >= 2:
		c = 1
	}
	if z < 0 {
		return -c
	}
	return c
}

// grouped is a whole number with commas between thousands.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
