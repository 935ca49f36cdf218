package plan

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/quipudb/quipu/query/stats"
)

// generalSums is a test of r x c tables in strata: the margins over all strata come first, then vectors and covariances under them.
func generalSums(finish func(*Aggregate, *stats.GeneralSums, *levelTotals) ([]Value, error)) *sums {
	return &sums{
		begin:  func(*Aggregate) Sums { return &levelTotals{} },
		second: func(_ *Aggregate, first Sums) Sums { return newGeneralStrata(first.(*levelTotals)) },
		finish: func(a *Aggregate, first, second Sums, _ int64) ([]Value, error) {
			levels, g := first.(*levelTotals), second.(*generalStrata)
			switch {
			case len(levels.totals[0]) == 0:
				return nil, stats.ErrEmpty
			case g.err != nil:
				return nil, g.err
			}
			return finish(a, g.sums, levels)
		},
	}
}

// levelTotals are the observations of each row and column over all strata.
type levelTotals struct {
	totals [2]map[Value]uint64
	values [2][]Value // in order; only while they are used
}

func (t *levelTotals) Add(c *Cells) error {
	for k, n := range c.Count {
		for d := range t.totals {
			if err := t.add(d, c.Values[d][c.At[d][k]], uint64(n)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *levelTotals) add(d int, v Value, n uint64) error {
	if t.totals[d] == nil {
		t.totals[d] = map[Value]uint64{}
	}
	sum := t.totals[d][v] + n
	if sum < n {
		return stats.ErrOverflow
	}
	t.totals[d][v] = sum
	return nil
}

func (t *levelTotals) Merge(o Sums) error {
	for d, totals := range o.(*levelTotals).totals {
		for v, n := range totals {
			if err := t.add(d, v, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// ordered are the levels of one side in the order of their values.
func (t *levelTotals) ordered(d int) []Value {
	return slices.SortedFunc(maps.Keys(t.totals[d]), Compare)
}

// AppendBinary appends for rows and then for columns their values and their totals as unsigned varints.
func (t *levelTotals) AppendBinary(b []byte) ([]byte, error) {
	for d := range t.totals {
		values := t.ordered(d)
		b = appendValues(b, values)
		for _, v := range values {
			b = binary.AppendUvarint(b, t.totals[d][v])
		}
	}
	return b, nil
}

func (t *levelTotals) UnmarshalBinary(b []byte) error {
	var got levelTotals
	for d := range got.totals {
		values, rest, err := readValues(b)
		if err != nil {
			return err
		}
		b = rest
		for _, v := range values {
			n, size := binary.Uvarint(b)
			if size <= 0 || got.totals[d][v] != 0 || n == 0 {
				return errValues
			}
			b = b[size:]
			if err := got.add(d, v, n); err != nil {
				return errValues
			}
		}
	}
	if len(b) > 0 {
		return errValues
	}
	*t = got
	return nil
}

// generalStrata are the second round: sums over strata in the positions that the levels of all shards have.
type generalStrata struct {
	place [2]map[Value]int
	sums  *stats.GeneralSums // nil if err is not
	err   error              // the table has too many levels
}

func newGeneralStrata(levels *levelTotals) Sums {
	g := &generalStrata{}
	var sides [2][]uint64
	for d := range sides {
		levels.values[d] = levels.ordered(d)
		g.place[d] = map[Value]int{}
		for i, v := range levels.values[d] {
			g.place[d][v] = i
			sides[d] = append(sides[d], levels.totals[d][v])
		}
	}
	n := uint64(0)
	for _, v := range sides[0] {
		n += v
	}
	g.sums, g.err = stats.NewGeneralSums(&stats.Margins{Rows: sides[0], Cols: sides[1], N: n})
	return g
}

// Add takes in whole strata, one at a time.
func (g *generalStrata) Add(c *Cells) error {
	if g.err != nil {
		return g.err
	}
	strata := make([]stats.Triples, len(c.Values[2]))
	for k, n := range c.Count {
		s := &strata[c.At[2][k]]
		s.Row = append(s.Row, uint32(g.place[0][c.Values[0][c.At[0][k]]]))
		s.Col = append(s.Col, uint32(g.place[1][c.Values[1][c.At[1][k]]]))
		s.Count = append(s.Count, n)
	}
	for _, cells := range strata {
		t, err := stats.NewSparseTable(len(g.place[0]), len(g.place[1]), cells)
		if err != nil {
			return err
		}
		if err := g.sums.Add(t); err != nil {
			return err
		}
	}
	return nil
}

func (g *generalStrata) Merge(o Sums) error {
	if g.err != nil {
		return g.err
	}
	return g.sums.Merge(o.(*generalStrata).sums)
}

func (g *generalStrata) AppendBinary(b []byte) ([]byte, error) {
	if g.err != nil {
		return nil, g.err
	}
	return g.sums.AppendBinary(b)
}

func (g *generalStrata) UnmarshalBinary(b []byte) error {
	if g.err != nil {
		return g.err
	}
	return g.sums.UnmarshalBinary(b)
}
