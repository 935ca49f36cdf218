package stats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
)

// The acceptance data in testdata are JSON files of expected values at 30 digits. TestFixtures walks every leaf of every
// file. The path of a leaf, with its file's kind in front and [] for each list, such as
//
//	two_way.two_by_two.fisher.p_two_sided        proportion_ci.cases[].wilson[]
//
// names the check in checkers; a leaf without one must have a reason in notCovered, and the test prints those.

// leafCheck computes the value that a leaf should have, and says how near it must be.
type leafCheck struct {
	tol   tolerance
	value func(f *fixture, at []int) any // a number, Measure, *big.Int, string or error; at holds the list positions
}

// tolerance says how a leaf is compared.
type tolerance int

const (
	stat   tolerance = iota // relative 1e-12; exactly 0 when the leaf is 0 in a file tagged exact_zero
	pValue                  // relative 1e-10 above 1e-300, 0 or subnormal below the range of float64
	lnP                     // relative 1e-12, absolute below 1
	exactP                  // relative 1e-10
	uncond                  // absolute 1e-9
	ase                     // relative 1e-9
	same                    // equal as text
	ratio                   // "num/den", compared like stat
)

// checkers are filled by register, from the test files of each family.
var checkers = map[string]leafCheck{}

// register adds checks; call it in the declaration of a package variable.
func register(checks map[string]leafCheck) bool {
	for path, c := range checks {
		if _, taken := checkers[path]; taken {
			panic("two checks for " + path)
		}
		checkers[path] = c
	}
	return true
}

// notCovered says why a leaf has no check. A pattern ending in * stands for all paths that begin so.
var notCovered = map[string]string{}

func justify(reasons map[string]string) bool {
	for path, why := range reasons {
		notCovered[path] = why
	}
	return true
}

func reasonFor(path string) (string, bool) {
	if why, ok := notCovered[path]; ok {
		return why, true
	}
	for pattern, why := range notCovered {
		if head, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(path, head) {
			return why, true
		}
	}
	return "", false
}

// fixture is one file, with the inputs in the package's types.
type fixture struct {
	id, kind string
	tags     []string
	doc      map[string]any
	t        *Table // two_way
	strata   *Strata
	counts   *Counts
	shares   Shares
	ddof     int
	memory   map[string]any
}

// memo computes something once a fixture.
func memo[T any](f *fixture, name string, compute func() T) T {
	if v, ok := f.memory[name]; ok {
		return v.(T)
	}
	v := compute()
	f.memory[name] = v
	return v
}

// at follows keys and positions into the file.
func (f *fixture) at(path ...any) any {
	var v any = f.doc
	for _, p := range path {
		switch p := p.(type) {
		case string:
			v = v.(map[string]any)[p]
		case int:
			v = v.([]any)[p]
		}
	}
	return v
}

func loadFixture(t *testing.T, name string) *fixture {
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{memory: map[string]any{}}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&f.doc); err != nil {
		t.Fatal(name, err)
	}
	f.id, f.kind = f.doc["id"].(string), f.doc["kind"].(string)
	if tags, ok := f.doc["tags"].([]any); ok {
		for _, tag := range tags {
			f.tags = append(f.tags, tag.(string))
		}
	}
	f.inputs(t)
	return f
}

func (f *fixture) inputs(t *testing.T) {
	must := func(err error) {
		if err != nil {
			t.Fatal(f.id, err)
		}
	}
	var err error
	switch f.kind {
	case "two_way":
		f.t, err = readTable(f.doc)
		must(err)
	case "stratified":
		var tables []*Table
		for _, s := range f.doc["strata"].([]any) {
			u, err := denseTable(s.([]any))
			must(err)
			tables = append(tables, u)
		}
		f.strata, err = NewStrata(tables...)
		must(err)
	case "one_way":
		f.counts, err = NewCounts(integers(f.doc["counts"].([]any)))
		must(err)
		var probs []*big.Rat
		for _, p := range f.doc["probs"].([]any) {
			r, _ := new(big.Rat).SetString(p.(string))
			probs = append(probs, r)
		}
		f.shares, err = RationalShares(probs...)
		must(err)
		f.ddof = int(integer(f.doc["ddof"]))
	}
}

func integer(v any) int64 {
	n, err := v.(json.Number).Int64()
	if err != nil {
		panic(err)
	}
	return n
}

func integers(list []any) []int64 {
	out := make([]int64, len(list))
	for i, v := range list {
		out[i] = integer(v)
	}
	return out
}

func denseTable(rows []any) (*Table, error) {
	var cells []int64
	cols := 0
	for _, r := range rows {
		row := integers(r.([]any))
		cols = len(row)
		cells = append(cells, row...)
	}
	return NewTable(len(rows), cols, cells)
}

func readTable(doc map[string]any) (*Table, error) {
	if rows, ok := doc["table"].([]any); ok {
		return denseTable(rows)
	}
	shape := integers(doc["shape"].([]any))
	var c Triples
	for _, cell := range doc["sparse"].([]any) {
		v := integers(cell.([]any))
		c.Row, c.Col, c.Count = append(c.Row, uint32(v[0])), append(c.Col, uint32(v[1])), append(c.Count, v[2])
	}
	return NewSparseTable(int(shape[0]), int(shape[1]), c)
}

// otherForm is the same table, sparse if it was dense and dense if it was sparse.
func otherForm(t *Table) *Table {
	if t.dense != nil {
		return sparseOf(t)
	}
	cells := make([]int64, t.rows*t.cols)
	t.each(func(i, j int, o uint64) { cells[i*t.cols+j] = int64(o) })
	u, err := NewTable(t.rows, t.cols, cells)
	if err != nil {
		panic(err)
	}
	return u
}

// metadata are keys that describe a file.
var metadata = []string{"id", "kind", "schema", "source", "tags", "title", "shape", "paired_square", "crosscheck"}

// leaves calls fn for every leaf below v.
func leaves(path string, at []int, v any, fn func(path string, at []int, leaf any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(mapKeys(v)) {
			leaves(path+"."+k, at, v[k], fn)
		}
	case []any:
		for i, e := range v {
			leaves(path+"[]", append(slices.Clone(at), i), e, fn)
		}
	default:
		fn(path, at, v)
	}
}

func mapKeys(m map[string]any) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// expectations is the part of a file that holds expected values.
func (f *fixture) expectations() any {
	if e, ok := f.doc["expected"]; ok {
		return e
	}
	rest := map[string]any{}
	for k, v := range f.doc {
		if !slices.Contains(metadata, k) {
			rest[k] = v
		}
	}
	return rest
}

// fixtureNames lists the files of the acceptance data.
func fixtureNames(t *testing.T) (names []string) {
	b, err := os.ReadFile("testdata/index.json")
	if err != nil {
		t.Fatal(err)
	}
	var index []struct{ ID string }
	if err := json.Unmarshal(b, &index); err != nil {
		t.Fatal(err)
	}
	for _, e := range index {
		names = append(names, e.ID+".json")
	}
	return names
}

func TestFixtures(t *testing.T) {
	missing, checked := map[string]int{}, 0
	for _, base := range fixtureNames(t) {
		f := loadFixture(t, base)
		t.Run(f.id, func(t *testing.T) {
			checked += f.check(t, missing)
			if f.t != nil {
				f.t, f.memory = otherForm(f.t), map[string]any{}
				f.check(t, map[string]int{})
			}
		})
	}
	t.Logf("%d values checked", checked)
	byReason := map[string][]string{}
	for path, values := range missing {
		why, ok := reasonFor(path)
		if !ok {
			t.Errorf("%s has neither a check nor a reason (%d values)", path, values)
		}
		byReason[why] = append(byReason[why], fmt.Sprintf("%s (%d)", path, values))
	}
	for _, why := range slices.Sorted(maps.Keys(byReason)) {
		slices.Sort(byReason[why])
		t.Logf("not covered, %s: %s", why, strings.Join(byReason[why], ", "))
	}
	for path := range checkers {
		if strings.Contains(path, " ") {
			t.Errorf("check %q has a blank in its path", path)
		}
	}
}

// check compares every leaf and counts those without a check by path.
func (f *fixture) check(t *testing.T, missing map[string]int) (checked int) {
	var faults []string
	leaves(f.kind, nil, f.expectations(), func(path string, at []int, leaf any) {
		c, ok := checkers[path]
		if !ok {
			missing[path]++
			return
		}
		checked++
		got := c.value(f, at)
		if fault := c.tol.compare(got, leaf, slices.Contains(f.tags, "exact_zero")); fault != "" {
			faults = append(faults, fmt.Sprintf("%s%v: %s", path, at, fault))
		}
	})
	sort.Strings(faults)
	for i, fault := range faults {
		if i == 20 {
			t.Errorf("… and %d more", len(faults)-i)
			break
		}
		t.Error(fault)
	}
	return checked
}

// compare says what is wrong, or nothing.
func (tol tolerance) compare(got, leaf any, exactZero bool) string {
	if c, ok := got.(checkedCell); ok {
		got, tol = c.value()
	}
	if m, ok := got.(Measure); ok {
		if !m.Defined {
			got = nil
		} else if tol == ase {
			got = m.SE
			if !m.HasSE {
				return "no standard error"
			}
		} else {
			got = m.Value
		}
	}
	if err, ok := got.(error); ok && tol != same {
		return err.Error()
	}
	if leaf == nil || got == nil {
		if leaf != got {
			return fmt.Sprintf("got %v, want %v", got, leaf)
		}
		return ""
	}
	if tol == same {
		if fmt.Sprint(got) != fmt.Sprint(leaf) {
			return fmt.Sprintf("got %v, want %v", got, leaf)
		}
		return ""
	}
	x, want := toFloat(got), toFloat(leaf)
	if !tol.near(x, want, exactZero) {
		return fmt.Sprintf("got %.17g, want %v (relative error %.2g)", x, leaf, math.Abs(x/want-1))
	}
	return ""
}

func (tol tolerance) near(x, want float64, exactZero bool) bool {
	if x == want {
		return true
	}
	err := math.Abs(x - want)
	switch tol {
	case stat, ratio:
		if want == 0 {
			return !exactZero && err <= 1e-15
		}
		return err <= 1e-12*math.Abs(want)
	case pValue, exactP:
		if want < 1e-300 {
			return x >= 0 && x <= 1e-299
		}
		return err <= 1e-10*want
	case lnP:
		return err <= 1e-12*math.Max(1, math.Abs(want))
	case uncond:
		return err <= 1e-9
	case ase:
		return err <= math.Max(1e-9*math.Abs(want), 1e-15) // 0 where every cell has the same gradient
	}
	return false
}

// toFloat reads a leaf or a result as float64, rounded to nearest.
func toFloat(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case int:
		return float64(v)
	case int64:
		return float64(v)
	case uint64:
		return float64(v)
	case json.Number:
		return toFloat(string(v))
	case *big.Int:
		x, _ := new(big.Float).SetInt(v).Float64()
		return x
	case string:
		switch v {
		case "Infinity":
			return math.Inf(1)
		case "-Infinity":
			return math.Inf(-1)
		}
		if strings.Contains(v, "/") {
			r, ok := new(big.Rat).SetString(v)
			if !ok {
				panic(v)
			}
			x, _ := r.Float64()
			return x
		}
		x, err := strconv.ParseFloat(v, 64) // 0 below the range of float64
		if err != nil {
			panic(err)
		}
		return x
	}
	panic(fmt.Sprintf("no number: %T %v", v, v))
}
