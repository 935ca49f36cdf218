package plan

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/quipudb/quipu/server/errcode"
)

// TestSignatures holds that a function is found again by what travels of it.
func TestSignatures(t *testing.T) {
	n := 0
	for name, list := range functionsByName {
		for _, f := range list {
			n++
			if functionsBySignature[f.Signature()] != f {
				t.Errorf("%s: two functions have the signature %s", name, f.Signature())
			}
		}
	}
	if n != len(functionsBySignature) || n < 50 {
		t.Errorf("%d functions, %d signatures", n, len(functionsBySignature))
	}
}

// fragmentOf gives a fragment with one filter, which is col0 = x nested depth times: x = (x = (…)) with both sides shared.
func fragmentOf(depth int) *Fragment {
	e := call(fnEq, Bool, ColumnRef(0, Bool), Constant(BoolValue(true)))
	for range depth {
		e = call(fnEq, Bool, e, e)
	}
	return &Fragment{Table: 7, Version: 3, Name: "t", Dims: 2, Filters: []*Expr{e}, Keys: []*Expr{ColumnRef(1, Text)},
		Aggs: []*Aggregate{chi2Test()},
		Mode: ModeLocal, Top: &Top{Agg: 0, K: 3}, Limit: -1}
}

func chi2Test() *Aggregate {
	t := TestByName("chi2_test")
	return &Aggregate{Kind: AggTest, Type: Record, Test: t, Cats: []*Expr{ColumnRef(0, Text), ColumnRef(1, Text)}, Options: t.defaults(), Mode: ModeLocal}
}

// TestFragment holds that everything that travels arrives, and that shared expressions stay shared.
func TestFragment(t *testing.T) {
	f := fragmentOf(10)
	g, err := DecodeFragment(f.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if g.Table != 7 || g.Version != 3 || g.Name != "t" || g.Dims != 2 || !g.Filters[0].Equal(f.Filters[0]) || !g.Keys[0].Equal(f.Keys[0]) ||
		!g.Aggs[0].equal(f.Aggs[0]) || g.Mode != ModeLocal || *g.Top != *f.Top || g.Cells != nil || g.Limit != -1 {
		t.Errorf("%+v", g)
	}
	if g.Filters[0].Args[0] != g.Filters[0].Args[1] {
		t.Error("a shared expression came twice")
	}
	if b := f.Encode(); len(b) > 200 {
		t.Errorf("%d bytes", len(b))
	}
	f = &Fragment{Cells: []int{}, Limit: 9}
	if g, err = DecodeFragment(f.Encode()); err != nil || g.Cells == nil || g.Limit != 9 {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestFragmentRefused holds what DecodeFragment says of fragments that could not be run.
func TestFragmentRefused(t *testing.T) {
	change := func(fn func(*Fragment)) []byte {
		f := fragmentOf(0)
		fn(f)
		return f.Encode()
	}
	arity := *fnEq
	whole := fragmentOf(0).Encode()
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"version":   {append([]byte{9}, whole[1:]...), "version 9"},
		"cut":       {whole[:len(whole)-3], "no end"},
		"longer":    {append(whole, 0), "after its end"},
		"counts":    {append(whole[:6:6], 0xff, 0xff, 0xff, 0xff, 0x7f), "above"},
		"column":    {change(func(f *Fragment) { f.Keys = []*Expr{ColumnRef(4, Text)} }), "4 is above 3"},
		"key":       {change(func(f *Fragment) { f.Keys = []*Expr{ColumnRef(3, Int8)} }), "columns [3]"},
		"arguments": {change(func(f *Fragment) { f.Filters[0] = &Expr{Kind: ExprCall, Type: Bool, Fn: &arity} }), "with 0 arguments"},
		"function":  {change(func(f *Fragment) { f.Filters[0] = &Expr{Kind: ExprCall, Fn: &Function{Name: "rm"}} }), `unknown function "rm()"`},
		"exploding": {fragmentOf(40).Encode(), "nodes"},
		"top":       {change(func(f *Fragment) { f.Aggs[0] = &Aggregate{Kind: AggCells} }), "is no test"},
		"test":      {change(func(f *Fragment) { f.Aggs[0].Cats = f.Aggs[0].Cats[:1] }), "of 1 categories"},
		"option":    {change(func(f *Fragment) { f.Aggs[0].Options[0] = TextValue("x") }), "options of chi2_test"},
		"test mode": {change(func(f *Fragment) { f.Aggs[0].Mode = ModeSums }), "in mode sums"},
		"mode":      {change(func(f *Fragment) { f.Mode = 9 }), "unknown mode"},
	} {
		_, err := DecodeFragment(c.b)
		if !errors.Is(err, &errcode.Error{Code: errcode.Corrupt}) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKeyOfKey holds that a key is its own key, and that equal intervals have one.
func TestKeyOfKey(t *testing.T) {
	for _, v := range []Value{IntValue(-3), FloatValue(math.Copysign(0, -1)), FloatValue(math.NaN()), TextValue("x"), BoolValue(true), MicrosValue(-1),
		IntervalValue(1, -40, -5), IntervalValue(math.MinInt32, math.MinInt32, math.MinInt64), IntervalValue(math.MaxInt32, math.MaxInt32, math.MaxInt64)} {
		if k := v.Key(); k.Key() != k {
			t.Errorf("%v has the key %v, and that %v", v, k, k.Key())
		}
	}
	if a, b := IntervalValue(-1, 0, 0).Key(), IntervalValue(0, -29, -24*3600*1_000_000).Key(); a != b {
		t.Errorf("%v and %v", a, b)
	}
}
