package stats

import "math"

// A Fourfold is a 2×2 table, rows (A, B) and (C, D), with its margins. Make one with NewFourfold or Table.Fourfold; the
// zero value is a table without observations.
type Fourfold struct {
	a, b, c, d     uint64
	r1, r2, c1, c2 uint64 // row and column totals
	n              uint64
}

// NewFourfold checks the four counts of a 2×2 table: ErrNegative for a count below zero, ErrOverflow for a total above
// 2⁶⁴−1. A table of zeros is valid here; what needs observations refuses it with ErrEmpty.
func NewFourfold(a, b, c, d int64) (Fourfold, error) {
	for i, count := range [4]int64{a, b, c, d} {
		if count < 0 {
			return Fourfold{}, &CountError{Row: i / 2, Col: i % 2, Count: count, Err: ErrNegative}
		}
	}
	f := fourfold(uint64(a), uint64(b), uint64(c), uint64(d))
	if _, ok := addU64(f.r1, f.r2); !ok {
		return Fourfold{}, &CountError{Row: 1, Col: 1, Count: d, Err: ErrOverflow}
	}
	return f, nil
}

// fourfold is NewFourfold for counts that are known to add up to less than 2⁶⁴.
func fourfold(a, b, c, d uint64) Fourfold {
	return Fourfold{a: a, b: b, c: c, d: d, r1: a + b, r2: c + d, c1: a + c, c2: b + d, n: a + b + c + d}
}

// Fourfold is the table as a Fourfold; ErrShape unless it has two rows and two columns, of which some may be empty.
func (t *Table) Fourfold() (Fourfold, error) {
	rows, cols := t.Shape()
	if rows != 2 || cols != 2 {
		return Fourfold{}, shapeError("a %d×%d table where a 2×2 table is needed", rows, cols)
	}
	return NewFourfold(t.At(0, 0), t.At(0, 1), t.At(1, 0), t.At(1, 1))
}

// Counts gives the cells, row by row.
func (f Fourfold) Counts() (a, b, c, d uint64) { return f.a, f.b, f.c, f.d }

// N is the total.
func (f Fourfold) N() uint64 { return f.n }

// floats gives the cells as float64, rounded beyond 2⁵³.
func (f Fourfold) floats() (a, b, c, d float64) {
	return float64(f.a), float64(f.b), float64(f.c), float64(f.d)
}

// determinant is a·d − b·c = n·a − r1·c1, exact but for one rounding.
func (f Fourfold) determinant() float64 { return residualFloat(f.n, f.a, f.r1, f.c1) }

// degenerate reports whether a margin is empty, so that nothing can vary.
func (f Fourfold) degenerate() bool { return f.r1 == 0 || f.r2 == 0 || f.c1 == 0 || f.c2 == 0 }

// levels counts the rows and columns that are not empty.
func (f Fourfold) levels() (rows, cols int) {
	rows, _ = levels([]uint64{f.r1, f.r2})
	cols, _ = levels([]uint64{f.c1, f.c2})
	return rows, cols
}

// transpose exchanges rows and columns.
func (f Fourfold) transpose() Fourfold { return fourfold(f.a, f.c, f.b, f.d) }

// minExpected is the smallest expected count under independence, over rows and columns that are not empty.
func (f Fourfold) minExpected() float64 {
	if f.n == 0 {
		return 0
	}
	_, row := levels([]uint64{f.r1, f.r2})
	_, col := levels([]uint64{f.c1, f.c2})
	return mul128(row, col).float() / float64(f.n)
}

// pearson is Pearson's chi-square, n·(ad−bc)²/(r1·r2·c1·c2), with the bits that ChiSquare gives; 0 for a degenerate
// table.
func (f Fourfold) pearson() float64 {
	if f.degenerate() {
		return 0
	}
	return f.pearsonFew()
}

// lnOddsRatio is ln(ad/bc) for a table without zeros, exact to a few ulp also where it is close to 0.
func (f Fourfold) lnOddsRatio() float64 {
	a, b, c, d := f.floats()
	ratio := f.determinant() / b / c
	if math.Abs(ratio) < 0.5 {
		return log1p(ratio)
	}
	return log(a/b) + log(d/c)
}
