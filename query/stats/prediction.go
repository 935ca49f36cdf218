package stats

import (
	"encoding/binary"
	"slices"
)

// Maxima are the largest counts of each row and each column, the part of λ that holders of cells gather. They merge by
// maximum. Every cell must be whole on one holder.
type Maxima struct {
	Rows, Cols []uint64
}

// NewMaxima makes the maxima of a table without observations.
func NewMaxima(rows, cols int) *Maxima {
	return &Maxima{Rows: make([]uint64, rows), Cols: make([]uint64, cols)}
}

// Add takes note of one cell.
func (m *Maxima) Add(i, j int, count uint64) {
	m.Rows[i] = max(m.Rows[i], count)
	m.Cols[j] = max(m.Cols[j], count)
}

// Merge takes the maxima of another holder into account. The error is ErrShape.
func (m *Maxima) Merge(o *Maxima) error {
	if len(m.Rows) != len(o.Rows) || len(m.Cols) != len(o.Cols) {
		return shapeError("maxima of %d by %d and %d by %d", len(m.Rows), len(m.Cols), len(o.Rows), len(o.Cols))
	}
	for i, v := range o.Rows {
		m.Rows[i] = max(m.Rows[i], v)
	}
	for j, v := range o.Cols {
		m.Cols[j] = max(m.Cols[j], v)
	}
	return nil
}

const maximaVersion = 1

// AppendBinary appends the encoding: version 1, the number of rows and their maxima, the number of columns and theirs,
// as unsigned varints.
func (m *Maxima) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, maximaVersion)
	for _, list := range [][]uint64{m.Rows, m.Cols} {
		b = binary.AppendUvarint(b, uint64(len(list)))
		for _, v := range list {
			b = binary.AppendUvarint(b, v)
		}
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote. The error is ErrEncoding; it leaves m unchanged.
func (m *Maxima) UnmarshalBinary(b []byte) error {
	r := reader{b: b}
	if v := r.byte(); v != maximaVersion {
		return encodingError("maxima of version %d, this program reads %d", v, maximaVersion)
	}
	got := Maxima{Rows: r.totals(), Cols: r.totals()}
	if err := r.end(); err != nil {
		return err
	}
	*m = got
	return nil
}

// Lambda is Goodman and Kruskal's λ: the share of the errors in predicting one variable's level that knowing the other
// removes, 0…1. It is 0 whenever the most frequent level is the same everywhere, association or not. From column
// predicted by row,
//
//	λ(C|R) = (Σ_i max_j O − max C) / (n − max C);
//
// the symmetric form adds numerators and denominators of both directions. The margins are those of the whole table, in
// the numbering of the maxima. Undefined where the predicted variable does not vary. The error is ErrEmpty or ErrShape.
//
// Goodman & Kruskal, J. Am. Stat. Assoc. 49 (1954).
func Lambda(m *Margins, x *Maxima) (colGivenRow, rowGivenCol, symmetric Measure, err error) {
	if m.N == 0 {
		return colGivenRow, rowGivenCol, symmetric, ErrEmpty
	}
	if len(m.Rows) != len(x.Rows) || len(m.Cols) != len(x.Cols) {
		return colGivenRow, rowGivenCol, symmetric, shapeError("maxima of another table than the margins")
	}
	gain := func(best, totals []uint64) (up, down uint64) { // totals add up to n, so nothing overflows
		most := slices.Max(totals)
		for _, v := range best {
			up += v
		}
		return up - min(up, most), m.N - most
	}
	cu, cd := gain(x.Rows, m.Cols)
	ru, rd := gain(x.Cols, m.Rows)
	one := m.Whole().Rows == 1 || m.Whole().Cols == 1
	ratio := func(name string, up, down u128) Measure {
		if one || down.isZero() {
			return undefined(name)
		}
		return measure(name, min(1, up.float()/down.float()))
	}
	wide := func(a uint64) u128 { return u128{lo: a} }
	return ratio("lambda_col_given_row", wide(cu), wide(cd)), ratio("lambda_row_given_col", wide(ru), wide(rd)),
		ratio("lambda_symmetric", wide(cu).add(wide(ru)), wide(cd).add(wide(rd))), nil
}

// Tau finishes Goodman and Kruskal's τ from a partial with KindTauCols and KindTauRows: the share of the Gini variation
// of one variable that the other explains, 0…1. From column predicted by row, in a form that is 0 under independence
// without cancelling,
//
//	τ(C|R) = Σ D²/(n·R) / (n² − ΣC²).
//
// f must be the frame of the whole table. Undefined when df = 0. Errors as ChiSquare.
//
// Goodman & Kruskal, J. Am. Stat. Assoc. 49 (1954), §9.
func (f *Frame) Tau(p *Partial) (colGivenRow, rowGivenCol Measure, err error) {
	cols, rows := undefined("gk_tau_col_given_row"), undefined("gk_tau_row_given_col")
	for _, k := range []Kinds{KindTauCols, KindTauRows} {
		if err := f.check(p, k); err != nil {
			return cols, rows, err
		}
	}
	if f.DF() == 0 {
		return cols, rows, nil
	}
	cols.Value, cols.Defined = f.tauOf(p.sum(KindTauCols), p.rcc, f.cols)
	rows.Value, rows.Defined = f.tauOf(p.sum(KindTauRows), p.rrc, f.rows)
	if !cols.Defined || !rows.Defined {
		return undefined(cols.Name), undefined(rows.Name), argumentError("the partial has more cells than its margins allow")
	}
	return cols, rows, nil
}

// tauOf finishes one direction. The zero cells have n·ΣC² less what the others have of Σ R·C², over n.
func (f *Frame) tauOf(gathered *Sum, seen i256, totals []uint64) (float64, bool) {
	squares := sumSquares(totals)
	var zeros i256
	zeros.addMul(squares, f.n)
	zeros.sub(seen)
	if zeros.negative() {
		return 0, false
	}
	s := *gathered
	s.Add(zeros.wide().float() / float64(f.n))
	return min(1, s.Float()/mul128(f.n, f.n).sub(squares).float()), true
}

func sumSquares(totals []uint64) (s u128) {
	for _, v := range totals {
		s = s.add(mul128(v, v))
	}
	return s
}
