package plan

import (
	"github.com/quipudb/quipu/storage/schema"
)

// Mode is how the work of a test is cut between shards and coordinator.
type Mode uint8

// The modes. Where a fragment has several tests its mode is that of the dearest; each test has its own.
const (
	ModeAuto    Mode = 0
	ModeLocal   Mode = 1 // each shard finishes its groups
	ModeMargins Mode = 2 // margins first, then one exact accumulator a statistic and shard
	ModeCells   Mode = 3 // (cell, count) pairs are merged at the coordinator
	ModeSums    Mode = 4 // sums that add up over any shards, in one round or two
)

// String is the name in EXPLAIN and in quipu.force_mode.
func (m Mode) String() string { return [...]string{"auto", "local", "margins", "cells", "sums"}[m%5] }

// ModeByName is the mode called name.
func ModeByName(name string) (Mode, bool) {
	for m := ModeAuto; m <= ModeSums; m++ {
		if m.String() == name {
			return m, true
		}
	}
	return 0, false
}

// Fragment is one shard's share of a query over one table: filter, group, count, and test where that is whole on the shard.
// Expressions read a row of the table's dimensions, then ts, then count.
type Fragment struct {
	Table   schema.TableID
	Version uint64 // of the table's definition
	Name    string // of the table, for messages and EXPLAIN

	Dims    int // dimensions of the table at that version; column Dims is ts, Dims+1 is count
	Filters []*Expr
	// Keys read at most one column each.
	Keys []*Expr
	Aggs []*Aggregate
	Mode Mode
	Why  string // of the mode, for EXPLAIN; does not travel

	// Top asks for the groups of least ln p only, in ModeLocal; groups that tie with the last one are among them.
	Top *Top

	// Cells streams cells instead of groups: the columns that are read, ascending.
	Cells []int
	// Limit ends a stream of cells early; −1 for none.
	Limit int64

	Shards []schema.ShardID // that can have cells; nil means all. Does not travel
	Names  []string         // of the columns, for EXPLAIN; does not travel
	top    *Top             // what Top is in ModeLocal; does not travel
}

// Top is the first K groups by ln p of aggregate Agg.
type Top struct {
	Agg int
	K   int64
}

// TS is the column of the window's start.
func (f *Fragment) TS() int { return f.Dims }

// Count is the column of the count.
func (f *Fragment) Count() int { return f.Dims + 1 }

// Width is the number of columns of a row.
func (f *Fragment) Width() int { return f.Dims + 2 }

// Tests says whether the fragment has a test.
func (f *Fragment) Tests() bool {
	for _, a := range f.Aggs {
		if a.Kind == AggTest {
			return true
		}
	}
	return false
}
