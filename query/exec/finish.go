package exec

import (
	"math"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// kinds are the sums that a test needs. Cramér's V of the G test is that of Pearson's statistic.
func kinds(k plan.TestKind) stats.Kinds {
	if k == plan.G {
		return stats.KindG | stats.KindPearson
	}
	return stats.KindPearson
}

func countError(err error) error {
	return errcode.New(errcode.NumericOutOfRange, "the counts of a test add up to more than 18446744073709551615: %w", err)
}

// finishCrosstab tests a whole table in one call.
func finishCrosstab(c *Crosstab, kind plan.TestKind) ([]plan.Value, error) {
	if kind == plan.Yates {
		return finishYates(c)
	}
	m := stats.NewMargins(len(c.Rows), len(c.Cols))
	if err := m.AddCells(c.Cells); err != nil {
		return nil, countError(err)
	}
	f := m.Frame()
	p := stats.NewPartial(f, kinds(kind))
	p.AddCells(f, c.Cells)
	return finishPartial(f, p, kind, c.Null)
}

func finishYates(c *Crosstab) ([]plan.Value, error) {
	if len(c.Cells.Count) == 0 {
		return noTest(c.Null), nil
	}
	if len(c.Rows) > 2 || len(c.Cols) > 2 {
		return nil, errcode.New(errcode.InvalidOption, "the continuity correction is for 2 x 2 tables, this one is %d x %d", len(c.Rows), len(c.Cols)).
			WithHint("leave correction out")
	}
	t, err := stats.NewSparseTable(2, 2, c.Cells)
	if err != nil {
		return nil, countError(err)
	}
	r, err := stats.Yates(t)
	if err != nil {
		return nil, err
	}
	plain, err := stats.ChiSquare(t)
	if err != nil {
		return nil, err
	}
	return record(r, plain, c.Null), nil
}

// finishPartial makes the record of a test from the merged sums.
func finishPartial(f *stats.Frame, p *stats.Partial, kind plan.TestKind, null int64) ([]plan.Value, error) {
	if f.N() == 0 {
		return noTest(null), nil
	}
	pearson, err := f.ChiSquare(p)
	if err != nil {
		return nil, err
	}
	r := pearson
	if kind == plan.G {
		if r, err = f.GTest(p); err != nil {
			return nil, err
		}
	}
	return record(r, pearson, null), nil
}

// noTest is the record where there is nothing to test.
func noTest(null int64) []plan.Value {
	out := make([]plan.Value, plan.TestWidth)
	out[plan.FieldN] = plan.IntValue(0)
	out[plan.FieldWarning] = plan.TextValue("no_observations")
	out[plan.FieldNull] = plan.IntValue(null)
	return out
}

func record(r, pearson stats.Result, null int64) []plan.Value {
	out := make([]plan.Value, plan.TestWidth)
	out[plan.FieldStatistic] = plan.FloatValue(r.Statistic)
	out[plan.FieldDF] = plan.IntValue(r.DF)
	out[plan.FieldP] = plan.FloatValue(r.P)
	out[plan.FieldLnP] = plan.FloatValue(r.LnP)
	out[plan.FieldMinExpected] = plan.FloatValue(r.MinExpected)
	if r.N <= math.MaxInt64 {
		out[plan.FieldN] = plan.IntValue(int64(r.N))
	}
	if v := pearson.CramersV(); v.Defined {
		out[plan.FieldV] = plan.FloatValue(v.Value)
	}
	if len(r.Warnings) > 0 {
		out[plan.FieldWarning] = plan.TextValue(r.Warnings.String())
	}
	out[plan.FieldNull] = plan.IntValue(null)
	return out
}
