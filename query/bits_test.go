package query_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/storage/schema"
)

// crossed is a table of the acceptance data of query/stats, with what its tests should give.
type crossed struct {
	id    string
	cells [][3]int64 // row, column, count
	want  expectations
}

// expectations are decimal texts of 30 digits.
type expectations struct {
	Pearson, G struct {
		Stat string `json:"stat"`
		DF   int64  `json:"df"`
		P    string `json:"p"`
		LnP  string `json:"log_p"`
	}
	MinExpected string `json:"min_expected"`
	Association struct {
		V string `json:"cramers_v"`
	} `json:"association"`
}

// crossedTables reads every two-way fixture, the sparse one of 400 x 300 among them.
func crossedTables(tb testing.TB) []crossed {
	files, err := filepath.Glob("stats/testdata/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no fixtures: %v", err)
	}
	var out []crossed
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		var head struct{ Kind string }
		if json.Unmarshal(b, &head) != nil || head.Kind != "two_way" {
			continue
		}
		var doc struct {
			ID       string
			Table    [][]int64
			Sparse   [][3]int64
			Expected expectations
		}
		if err := json.Unmarshal(b, &doc); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
		for i, row := range doc.Table {
			for j, n := range row {
				if n > 0 {
					doc.Sparse = append(doc.Sparse, [3]int64{int64(i), int64(j), n})
				}
			}
		}
		out = append(out, crossed{doc.ID, doc.Sparse, doc.Expected})
	}
	return out
}

// layouts are the partition keys, with the modes that they allow for a test of a and b for each k.
var layouts = []struct {
	table, key string
	modes      []string
}{
	{"by_k", "k", []string{"local", "margins", "cells"}},
	{"by_ab", "a, b", []string{"margins", "cells"}},
	{"by_part", "part", []string{"cells"}},
}

// observations are the rows of a world: table k, row a, column b and a part, so that a cell of a test is a sum of several.
type observations struct {
	k, part    string
	a, b, some int64
}

func scatter(tables []crossed) []observations {
	var out []observations
	for _, t := range tables {
		for i, c := range t.cells {
			third := c[2] / 3
			for part, n := range []int64{third, third / 2, c[2] - third - third/2} {
				if n > 0 {
					out = append(out, observations{t.id, "part" + strconv.Itoa((i+part)%11), c[0], c[1], n})
				}
			}
		}
	}
	return out
}

// fill makes the tables of all layouts and counts rows into them in the order given.
func (w *world) fill(rows []observations) {
	for _, l := range layouts {
		w.must("CREATE TABLE " + l.table + " (k text, a int8, b int8, part text) WITH (partition_by = '" + l.key + "')")
		b := &query.Batch{Table: w.Table(schema.Name{Database: "quipu", Schema: "public", Table: l.table})}
		at := [4]map[string]uint32{}
		for d := range at {
			at[d] = map[string]uint32{}
			b.Cols = append(b.Cols, query.BatchColumn{Dim: d, Values: []schema.Value{schema.Null}})
		}
		for _, r := range rows {
			for d, v := range []string{r.k, strconv.FormatInt(r.a, 10), strconv.FormatInt(r.b, 10), r.part} {
				c := &b.Cols[d]
				code, ok := at[d][v]
				if !ok {
					code = uint32(len(c.Values))
					at[d][v] = code
					c.Values = append(c.Values, schema.V(v))
				}
				c.Codes = append(c.Codes, code)
			}
			b.Counts, b.Events = append(b.Counts, r.some), append(b.Events, 0)
		}
		if _, err := w.Insert(w.tb.Context(), "", b); err != nil {
			w.tb.Fatal(err)
		}
	}
}

const bothTests = "chi2_test(a, b) AS x, g_test(a, b) AS g"

// bits is a row without its key, floats as their bits.
func bits(row []plan.Value) string {
	out := ""
	for _, v := range row {
		if v.Type == plan.Float8 {
			out += fmt.Sprintf("%016x ", math.Float64bits(v.Float()))
		} else {
			out += v.String() + " "
		}
	}
	return out
}

// sameBits holds the first answer to each question and compares the others with it.
type sameBits map[string]string

func (s sameBits) check(t *testing.T, question string, row []plan.Value) {
	t.Helper()
	got := bits(row)
	if s[question] == "" {
		s[question] = got
	}
	if got != s[question] {
		t.Errorf("%s:\ngot  %s\nwant %s", question, got, s[question])
	}
}

// worlds calls fn for each number of shards and each order of insertion, with the cells in memory and then with none of them.
func worlds(t *testing.T, fill func(w *world, rng *rand.Rand), fn func(t *testing.T, w *world)) {
	shards, orders := []int{1, 2, 4, 7}, 3
	if testing.Short() {
		shards, orders = []int{1, 4}, 1
	}
	for _, n := range shards {
		for order := range orders {
			w := newWorld(t, n)
			fill(w, rand.New(rand.NewPCG(uint64(n), uint64(order))))
			name := fmt.Sprintf("shards=%d/order=%d/", n, order)
			t.Run(name+"resident", func(t *testing.T) { fn(t, w) })
			w.evict()
			t.Run(name+"evicted", func(t *testing.T) { fn(t, w) })
		}
	}
}

var goroutines = []string{"1", "2", "8"}

// TestBits holds that the same counts give the same bits: in every mode, for every number of shards and goroutines, in every order of
// insertion, from memory and from Pebble, with all tables of the acceptance data in one query and with each in one of its own.
func TestBits(t *testing.T) {
	tables := crossedTables(t)
	rows := scatter(tables)
	same := sameBits{}
	fill := func(w *world, rng *rand.Rand) {
		rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		w.fill(rows)
	}
	worlds(t, fill, func(t *testing.T, w *world) {
		for _, l := range layouts {
			for _, mode := range l.modes {
				for _, p := range goroutines {
					a := w.must("SELECT k, "+bothTests+" FROM "+l.table+" GROUP BY k", "quipu.force_mode", mode, "quipu.parallelism", p)
					if len(a.rows) != len(tables)-1 { // one has no observations
						t.Errorf("%s %s: %d groups of %d tables", l.table, mode, len(a.rows), len(tables))
					}
					for _, row := range a.rows {
						same.check(t, row[0].Text(), row[1:])
					}
				}
				for _, one := range tables {
					if len(one.cells) > 0 {
						a := w.must("SELECT "+bothTests+" FROM "+l.table+" WHERE k = '"+one.id+"'", "quipu.force_mode", mode, "quipu.parallelism", "2")
						same.check(t, one.id, a.rows[0])
					}
				}
			}
		}
	})
}

// TestBitsOfWholeCells is TestBits for tables large enough to stream, whose cells are the cells of the test: with NULLs, and with a
// condition that looks at both columns.
func TestBitsOfWholeCells(t *testing.T) {
	const side = 180
	rng := rand.New(rand.NewPCG(5, 6))
	var cells [][3]int64
	for i := range int64(side * side) {
		if n := rng.Int64N(60); n > 2 {
			cells = append(cells, [3]int64{i / side, i % side, n})
		}
	}
	same := sameBits{}
	fill := func(w *world, rng *rand.Rand) {
		rng.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		w.fillWhole("by_both", "a, b", cells)
		w.fillWhole("by_none", "", cells)
	}
	worlds(t, fill, func(t *testing.T, w *world) {
		for _, x := range []struct{ table, mode string }{
			{"by_both", "cells"}, {"by_both", "margins"}, {"by_none", "local"}, {"by_none", "margins"}, {"by_none", "cells"},
		} {
			for _, p := range goroutines {
				for _, where := range []string{"", " WHERE a IS NOT NULL AND b IS NOT NULL", " WHERE a::int8 + b::int8 > 60"} {
					a := w.must("SELECT "+bothTests+" FROM "+x.table+where, "quipu.force_mode", x.mode, "quipu.parallelism", p)
					same.check(t, "whole"+where, a.rows[0])
				}
			}
		}
	})
}

// fillWhole makes a table of a and b, in which the values 0 are NULL.
func (w *world) fillWhole(table, key string, cells [][3]int64) {
	w.must("CREATE TABLE " + table + " (a text, b text) WITH (partition_by = '" + key + "')")
	b := &query.Batch{Table: w.Table(schema.Name{Database: "quipu", Schema: "public", Table: table})}
	for d := range 2 {
		c := query.BatchColumn{Dim: d, Values: []schema.Value{schema.Null}}
		for v := range int64(200) {
			c.Values = append(c.Values, schema.V(strconv.FormatInt(v+1, 10)))
		}
		for _, cell := range cells {
			c.Codes = append(c.Codes, uint32(cell[d]))
		}
		b.Cols = append(b.Cols, c)
	}
	for _, cell := range cells {
		b.Counts, b.Events = append(b.Counts, cell[2]), append(b.Events, 0)
	}
	if _, err := w.Insert(w.tb.Context(), "", b); err != nil {
		w.tb.Fatal(err)
	}
}
