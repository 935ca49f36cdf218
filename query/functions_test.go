package query_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/stats"
	"github.com/quipudb/quipu/server/errcode"
)

// examples is a world with the tables of the examples in docs/sql.md.
func examples(tb testing.TB) *world {
	w := newWorld(tb, 4)
	for _, text := range strings.Split(plan.ExampleTables, ";\n") {
		w.must(text)
	}
	return w
}

// TestExamples runs the example of every statistical function, each of which must give rows and no NULL in the place of all columns.
func TestExamples(t *testing.T) {
	w := examples(t)
	run := func(name, text string) {
		t.Run(name, func(t *testing.T) {
			a, err := w.run(text)
			if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
			if len(a.rows) == 0 {
				t.Fatalf("%s gives no row", text)
			}
			some := false
			for _, v := range a.rows[0] {
				some = some || !v.IsNull() && v.String() != "0" && v.String() != "no_observations"
			}
			if !some {
				t.Errorf("%s gives %v", text, a.rows[0])
			}
		})
	}
	for _, f := range plan.Tests() {
		if !strings.Contains(f.Example, f.Name+"(") {
			t.Errorf("the example of %s does not call it: %s", f.Name, f.Example)
		}
		run(f.Name, f.Example)
	}
	for _, s := range plan.Scalars() {
		run(s.Name, s.Example())
	}
	for name, text := range plan.Numbers() {
		run(name, text)
	}
}

// TestModesAgree holds that every test gives the same bits however its tables lie on shards and however its work is cut, in groups, too.
func TestModesAgree(t *testing.T) {
	same := sameBits{}
	modes := map[string]int{}
	for _, keys := range [][2]string{{"dept", ""}, {"gender, admitted", "dose, relief"}, {"dept, gender", "treated, cured, again"}, {"admitted", "site"}, {"gender", "relief"}} {
		w := newWorld(t, 4)
		for _, text := range strings.Split(plan.ExampleTables, ";\n") {
			text = strings.Replace(text, "partition_by = 'dept'", "partition_by = '"+keys[0]+"'", 1)
			w.must(strings.Replace(text, "again bool)", "again bool) WITH (partition_by = '"+keys[1]+"')", 1))
		}
		for _, f := range plan.Tests() {
			from := strings.Replace(f.Example, " FROM ", " AS r FROM ", 1)
			only := map[bool]string{true: "site = 'y'", false: "dept = 'B'"}[strings.Contains(from, "FROM trial")]
			if strings.Contains(from, "WHERE") {
				from += " AND " + only
			} else {
				from += " WHERE " + only
			}
			for what, text := range map[string]string{"all": f.Example, "one": from} {
				for _, mode := range []string{"auto", "local", "sums", "margins", "cells"} {
					a, err := w.run(text, "quipu.force_mode", mode)
					if err != nil && mode != "auto" && codeOf(err) == errcode.InvalidOption && strings.Contains(err.Error(), "mode "+mode) {
						continue
					}
					if err != nil {
						t.Fatalf("%s: %v", text, err)
					}
					modes[mode]++
					same.check(t, f.Name+" "+what, a.rows[0])
					w.wired(nil) // and with shards that answer in bytes
					same.check(t, f.Name+" "+what, w.must(text, "quipu.force_mode", mode).rows[0])
					w.remote = nil
				}
			}
		}
	}
	for _, mode := range []string{"auto", "local", "sums", "margins", "cells"} {
		if modes[mode] == 0 {
			t.Errorf("mode %s was never used", mode)
		}
	}
}

// TestPAdjust holds that p_adjust is the correction of query/stats over all groups, and independence_scan over all its tests.
func TestPAdjust(t *testing.T) {
	w := newWorld(t, 4)
	w.grouped(300)
	for _, name := range []string{"bonferroni", "sidak", "holm", "hochberg", "bh", "by"} {
		a := w.must("SELECT chi2_ln_p(a, b), ln_p_adjust(chi2_p(a, b), '" + name + "'), p_adjust(chi2_ln_p(a, b), '" + name + "') FROM f GROUP BY k")
		s := w.must("SELECT ln_p, ln_p_adjusted, p_adjusted FROM independence_scan('f', target => 'b', partition => 'k', correction => '" + name + "')")
		for _, rows := range [][][]plan.Value{a.rows, s.rows} {
			var ln []float64
			for _, row := range rows {
				ln = append(ln, row[0].Float())
			}
			adjustment, err := stats.ParseAdjustment(name)
			if err != nil {
				t.Fatal(err)
			}
			if len(ln) != 300 {
				t.Fatalf("%s: %d tests", name, len(ln))
			}
			for i, want := range stats.AdjustLn(ln, adjustment) {
				if rows[i][1].Float() != want || rows[i][2].Float() != stats.PofLn(want) {
					t.Errorf("%s: ln p %v becomes %v and %v, want %v", name, ln[i], rows[i][1], rows[i][2], want)
				}
			}
		}
	}
}

// TestAliases holds that each alias binds, in the spelling of any case.
func TestAliases(t *testing.T) {
	w := examples(t)
	for _, f := range plan.Tests() {
		for _, alias := range f.Aliases {
			w.must(strings.Replace(f.Example, f.Name+"(", strings.ToUpper(alias)+"(", 1))
		}
	}
	for _, s := range plan.Scalars() {
		for _, alias := range s.Aliases {
			w.must(strings.Replace(s.Example(), s.Name+"(", strings.ToUpper(alias)+"(", 1))
		}
	}
}

// TestGroupingSets holds that each grouping set gives the bits of a query of its own, for every test, in every mode, and that shards that
// answer in bytes agree.
func TestGroupingSets(t *testing.T) {
	w := examples(t)
	alone := map[string]plan.Value{}
	for _, f := range plan.Tests() {
		if strings.Contains(f.Example, "WHERE") {
			continue
		}
		key := "site"
		if strings.Contains(f.Example, "FROM admissions") {
			key = "dept"
		}
		record := strings.TrimSuffix(strings.TrimPrefix(f.Example[:strings.Index(f.Example, " FROM ")], "SELECT "), " ")
		from := f.Example[strings.Index(f.Example, " FROM "):]
		text := "SELECT GROUPING(" + key + "), " + key + ", to_json(" + record + ")" + from + " GROUP BY ROLLUP (" + key + ")"
		rows := w.must(text).rows
		if len(rows) < 3 {
			t.Fatalf("%s gives %d rows", text, len(rows))
		}
		for _, row := range rows {
			one := "SELECT to_json(" + record + ")" + from
			if row[0].Int() == 0 {
				one += " WHERE " + key + " = '" + row[1].Text() + "'"
			}
			alone[one] = w.must(one).rows[0][0]
			if alone[one] != row[2] {
				t.Errorf("%s\n%v\nbut %s\n%v", text, row[2], one, alone[one])
			}
		}
		for _, mode := range []string{"local", "sums", "margins", "cells"} {
			a, err := w.run(text, "quipu.force_mode", mode)
			if err == nil && !slices.EqualFunc(a.rows, rows, func(x, y []plan.Value) bool { return x[2] == y[2] }) {
				t.Errorf("%s in mode %s: %v, else %v", text, mode, a.rows, rows)
			}
		}
		w.wired(nil)
		if a := w.must(text); !slices.EqualFunc(a.rows, rows, func(x, y []plan.Value) bool { return x[2] == y[2] }) {
			t.Errorf("%s over the wire: %v, else %v", text, a.rows, rows)
		}
		w.remote = nil
	}
	if len(alone) < 60 {
		t.Errorf("only %d groups were compared", len(alone))
	}
}
