package stats

import (
	"cmp"
	"math"
	"slices"
)

// Cell is one cell of a table with its expected count and residuals. Residuals other than Pearson's are undefined when one
// row or one column is left.
type Cell struct {
	Row, Col int // positions in the table as given
	Observed uint64
	Expected float64 // R·C/n
	Pearson  float64 // (O − E)/√E
	Deviance float64 // sign(O − E)·√(2(O ln(O/E) − (O − E)))
	Adjusted Measure // (O − E)/√(E(1 − R/n)(1 − C/n)), standard normal under independence
	P, LnP   float64 // two-sided, of Adjusted; 1 and 0 where that is undefined
}

// Residual gives the cell in row i and column j with count o, which must belong to non-empty rows and columns of f: what a
// holder of cells calls for the ones it has. A count of 0 is a cell like any other.
func (f *Frame) Residual(i, j int, o uint64) Cell {
	r, c := f.rows[i], f.cols[j]
	x := newCell(f.n, o, r, c)
	diff := x.resid / float64(f.n)
	cell := Cell{Row: i, Col: j, Observed: o, Expected: x.e, Pearson: diff / math.Sqrt(x.e), P: 1,
		Deviance: devianceResidual(x, diff), Adjusted: undefined("adjusted_residual")}
	if r == f.n || c == f.n {
		return cell
	}
	// √(R·C·(n−R)·(n−C)/n) in two roots, so that four 64-bit factors do not overflow; D² / that is adjusted².
	down := math.Sqrt(mul128(r, c).float()) * math.Sqrt(mul128(f.n-r, f.n-c).float()/float64(f.n))
	cell.Adjusted = measure("adjusted_residual", x.resid/down)
	cell.P, cell.LnP = NormalTwoSided(cell.Adjusted.Value)
	return cell
}

// Residuals gives every cell of the table without its empty rows and columns, row after row. The only error is ErrEmpty.
//
// Haberman, Biometrics 29 (1973).
func Residuals(t *Table) ([]Cell, error) {
	if t.N() == 0 {
		return nil, ErrEmpty
	}
	d := t.reduced()
	cells := make([]Cell, 0, len(d.cells))
	for i := range d.r {
		for j, o := range d.row(i) {
			cells = append(cells, t.frame.Residual(d.rowAt[i], d.colAt[j], o))
		}
	}
	return cells, nil
}

// PostHoc is a cell with its p-value corrected for having looked at every cell.
type PostHoc struct {
	Cell
	AdjustedP, AdjustedLnP float64
}

// PostHocCells tests each cell of a table by its adjusted residual, corrected for multiplicity over all cells of the table
// without its empty rows and columns, and lists them by p, the smallest first; ties in table order. The only error is
// ErrEmpty.
//
// Beasley & Schumacker, J. Exp. Educ. 64 (1995).
func PostHocCells(t *Table, a Adjustment) ([]PostHoc, error) {
	cells, err := Residuals(t)
	if err != nil {
		return nil, err
	}
	ln := make([]float64, len(cells))
	for k, c := range cells {
		ln[k] = c.LnP
	}
	out := make([]PostHoc, len(cells))
	for k, l := range AdjustLn(ln, a) {
		out[k] = PostHoc{Cell: cells[k], AdjustedP: exp(l), AdjustedLnP: l}
	}
	slices.SortStableFunc(out, func(a, b PostHoc) int { return cmp.Compare(a.LnP, b.LnP) })
	return out, nil
}
