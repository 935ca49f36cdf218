package schema

import (
	"strings"
	"testing"
	"time"
)

func admissions() Table {
	return Table{
		ID: 1, Version: 1, Measures: 1,
		Name:        Name{"quipu", "public", "admissions"},
		Dims:        []Dimension{{Name: "dept", Type: Text, Default: Null}, {Name: "year", Type: Int8, Default: Null}},
		PartitionBy: []int{0},
	}
}

func TestValidate(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Table)
		want   string // part of the error; empty means valid
	}{
		"valid":               {func(*Table) {}, ""},
		"no dimension":        {func(t *Table) { t.Dims = nil }, "at least one dimension"},
		"too many dimensions": {func(t *Table) { t.Dims = make([]Dimension, 33) }, "at most 32"},
		"name twice":          {func(t *Table) { t.Dims[1].Name = "dept" }, "stands twice"},
		"reserved name":       {func(t *Table) { t.Dims[1].Name = "count" }, "is taken"},
		"partition range":     {func(t *Table) { t.PartitionBy = []int{2} }, "dimension 2 of 2"},
		"partition twice":     {func(t *Table) { t.PartitionBy = []int{0, 0} }, "twice"},
		"two measures":        {func(t *Table) { t.Measures = 2 }, "exactly 1 measure"},
		"order without type":  {func(t *Table) { t.Dims[0].Order = []string{"a"} }, "go together"},
		"retention alone":     {func(t *Table) { t.Retention = time.Hour }, "needs a window"},
		"odd window":          {func(t *Table) { t.Window = time.Millisecond }, "whole number of seconds"},
		"default not int":     {func(t *Table) { t.Dims[1].Default = V("x") }, "not an int8"},
		"default form":        {func(t *Table) { t.Dims[1].Default = V("007") }, "canonical"},
		"control character":   {func(t *Table) { t.Name.Table = "a\nb" }, "control character"},
	} {
		t.Run(name, func(t *testing.T) {
			table := admissions()
			tc.change(&table)
			err := table.Validate()
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Fatalf("Validate() = %v, want %q", err, tc.want)
			}
		})
	}
}

func TestBucketRoundsTowardThePast(t *testing.T) {
	table := Table{Window: time.Hour}
	for event, want := range map[int64]int64{0: 0, 3_599_999: 0, 3_600_000: 3600, -1: -3600, -3_600_000: -3600, -3_600_001: -7200} {
		if got := table.Bucket(event); got != want {
			t.Errorf("Bucket(%d) = %d, want %d", event, got, want)
		}
	}
	if got := new(Table).Bucket(12345); got != 0 {
		t.Errorf("a table without time has bucket %d, want 0", got)
	}
}

func TestCanonical(t *testing.T) {
	for _, tc := range []struct {
		dim  Dimension
		in   Value
		want Value
		bad  bool
	}{
		{Dimension{Name: "n", Type: Int8}, V(" 007"), V("7"), false},
		{Dimension{Name: "n", Type: Int8}, V("1.5"), Value{}, true},
		{Dimension{Name: "b", Type: Bool}, V("T"), V("true"), false},
		{Dimension{Name: "b", Type: Bool}, V("maybe"), Value{}, true},
		{Dimension{Name: "t", Type: Text}, V("\xff"), Value{}, true},
		{Dimension{Name: "t", Type: Text, NotNull: true}, Null, Value{}, true},
		{Dimension{Name: "t", Type: Text}, V(strings.Repeat("x", ValueBytesMax+1)), Value{}, true},
		{Dimension{Name: "o", Type: Ordered, Order: []string{"lo", "hi"}}, V("mid"), Value{}, true},
	} {
		got, err := tc.dim.Canonical(tc.in)
		if (err != nil) != tc.bad || !tc.bad && got != tc.want {
			t.Errorf("%v.Canonical(%v) = %v, %v", tc.dim.Type, tc.in, got, err)
		}
	}
}

func TestEvenSlotMapCoversEveryShard(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 7, 64, Slots} {
		seen := map[ShardID]int{}
		for _, s := range EvenSlotMap(n).Owner {
			seen[s]++
		}
		if len(seen) != n {
			t.Errorf("%d shards: %d own slots", n, len(seen))
		}
	}
}
