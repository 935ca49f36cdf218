package exec

import (
	"context"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// Worker is a fragment at work on one shard. It belongs to one goroutine.
type Worker interface {
	// First reads the cells and groups them.
	First(ctx context.Context) (*Partial, error)
	// Second gives the shares of the tests whose margins or sums First has sent, under the totals of all shards.
	Second(ctx context.Context, totals []Totals) ([]Term, error)
	// Cells streams the cells that pass the filters as rows of the fragment's columns. The row is reused.
	Cells(ctx context.Context, emit func(row []plan.Value) error) error
	// Blocks is the number of blocks to read: a measure of the work. Elsewhere means that another node does it.
	Blocks() int
	// Cost is what has been read.
	Cost() ScanStats
	Close()
}

// Elsewhere is the answer to Blocks of a worker that only waits for another node.
const Elsewhere = -1

// Partial is one shard's share of the groups of a fragment. Groups are named by values, as codes differ between shards.
type Partial struct {
	Groups []Group
}

// Group is one group's share.
type Group struct {
	Keys []plan.Value
	Aggs []Share // by aggregate
}

// Share is one aggregate of one group: integers, values, or what a test needs.
type Share struct {
	Sum  int64                   // AggSum, AggCells
	Some bool                    // AggSum: there was a row
	End  plan.Value              // AggMin, AggMax
	Seen map[plan.Value]struct{} // AggDistinct
	// Of a test, by the fragment's mode; a shard that has none of its cells leaves all of them out.
	Done    []plan.Value // ModeLocal: its columns
	Margins *Margins     // ModeMargins
	Cells   *plan.Cells  // ModeCells
	Sums    plan.Sums    // ModeSums, with Null
	Null    int64        // observations with a NULL category
}

// Margins are the totals of the categories that a shard has cells of.
type Margins struct {
	Rows, Cols []plan.Value
	Totals     *stats.Margins // in this order
	Null       int64          // observations with a NULL category
	Maxima     *stats.Maxima  // in this order, too; nil if the test does not need them
}

// Totals are what a shard must know of all shards for the second round of one test of one group.
type Totals struct {
	Group, Agg int
	// ModeMargins: the margins of the shard's rows and columns, in its order.
	N          uint64
	Rows, Cols []uint64
	Whole      stats.Whole
	// ModeSums: the encoding of the sums of the first round.
	Sums []byte
}

// Term is a shard's share of one test in the second round.
type Term struct {
	Partial *stats.Partial // ModeMargins
	Sums    plan.Sums      // ModeSums
}

// merge adds what another shard has of the same aggregate.
func (s *Share) merge(a *plan.Aggregate, o *Share, table string, mem *Budget) error {
	switch a.Kind {
	case plan.AggSum, plan.AggCells:
		sum := s.Sum + o.Sum
		if sum < s.Sum {
			return rangeError(table)
		}
		s.Sum, s.Some = sum, s.Some || o.Some
	case plan.AggDistinct:
		for v := range o.Seen {
			if err := s.see(a, v, mem); err != nil {
				return err
			}
		}
	case plan.AggMin, plan.AggMax:
		return s.see(a, o.End, mem)
	}
	return nil
}

// see takes in one value of an aggregate that looks at values.
func (s *Share) see(a *plan.Aggregate, v plan.Value, mem *Budget) error {
	if v.IsNull() {
		return nil
	}
	switch a.Kind {
	case plan.AggDistinct:
		if s.Seen == nil {
			s.Seen = map[plan.Value]struct{}{}
		}
		if _, ok := s.Seen[v.Key()]; ok {
			return nil
		}
		s.Seen[v.Key()] = struct{}{}
		return mem.Grow(valueBytes)
	case plan.AggMin:
		if s.End.IsNull() || plan.Compare(v, s.End) < 0 {
			s.End = v
		}
	case plan.AggMax:
		if s.End.IsNull() || plan.Compare(v, s.End) > 0 {
			s.End = v
		}
	}
	return nil
}

func rangeError(table string) error {
	return errcode.New(errcode.NumericOutOfRange, "int8 out of range: the counts of table %q add up to more than 9223372036854775807", table).
		WithHint("narrow the query with WHERE, or group by more columns")
}
