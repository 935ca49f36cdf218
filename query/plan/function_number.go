package plan

import (
	"math"
	"math/bits"

	"github.com/quipudb/quipu/server/errcode"
)

func float1(name string, f func(float64) float64) *Function {
	return fn(name, Float8, func(a []Value) (Value, error) {
		x := a[0].Float()
		r := f(x)
		if math.IsInf(r, 0) && !math.IsInf(x, 0) {
			return Null, outOfRange("float8")
		}
		return FloatValue(r), nil
	}, Float8)
}

// domain is float1 for a function that is not defined everywhere.
func domain(name string, f func(float64) float64, ok func(float64) bool, why string) *Function {
	return fn(name, Float8, func(a []Value) (Value, error) {
		x := a[0].Float()
		if !ok(x) {
			return Null, errcode.New(errcode.NumericOutOfRange, "cannot take %s", why)
		}
		return FloatValue(f(x)), nil
	}, Float8)
}

func floatOp(name string, f func(x, y float64) float64) *Function {
	return fn(name, Float8, func(a []Value) (Value, error) {
		x, y := a[0].Float(), a[1].Float()
		r := f(x, y)
		if math.IsInf(r, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
			return Null, outOfRange("float8")
		}
		return FloatValue(r), nil
	}, Float8, Float8)
}

func intOp(name string, f func(x, y int64) (int64, bool)) *Function {
	return fn(name, Int8, func(a []Value) (Value, error) {
		r, ok := f(a[0].num, a[1].num)
		if !ok {
			return Null, outOfRange("int8")
		}
		return IntValue(r), nil
	}, Int8, Int8)
}

func addInt(x, y int64) (int64, bool) { r := x + y; return r, (x^r)&(y^r) >= 0 }
func subInt(x, y int64) (int64, bool) { r := x - y; return r, (x^y)&(x^r) >= 0 }

func mulInt(x, y int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi -= uint64(x>>63)&uint64(y) + uint64(y>>63)&uint64(x) // unsigned to signed product
	return int64(lo), hi == uint64(int64(lo)>>63)
}

func divide(a []Value) (Value, error) {
	if a[1].num == 0 {
		return Null, errcode.New(errcode.DivisionByZero, "division by zero").WithHint("nullif(x, 0) makes the result NULL instead")
	}
	if a[0].num == math.MinInt64 && a[1].num == -1 {
		return Null, outOfRange("int8")
	}
	return IntValue(a[0].num / a[1].num), nil
}

func divideFloat(a []Value) (Value, error) {
	if a[1].Float() == 0 {
		return Null, errcode.New(errcode.DivisionByZero, "division by zero").WithHint("nullif(x, 0) makes the result NULL instead")
	}
	r := a[0].Float() / a[1].Float()
	if math.IsInf(r, 0) && !math.IsInf(a[0].Float(), 0) {
		return Null, outOfRange("float8")
	}
	return FloatValue(r), nil
}

// fnNumeric rounds to the scale of a numeric(precision, scale), which is a float8 here. What has more digits in front is an error.
var fnNumeric = fn("_numeric", Float8, func(a []Value) (Value, error) {
	x := a[0].Float()
	if math.IsNaN(x) {
		return a[0], nil
	}
	r := roundTo(x, a[2].num)
	if math.Abs(r) >= math.Pow(10, float64(a[1].num-a[2].num)) {
		return Null, errcode.New(errcode.NumericOutOfRange, "numeric field overflow: %s does not fit numeric(%d, %d)", a[0], a[1].num, a[2].num)
	}
	return FloatValue(r), nil
}, Float8, Int8, Int8)

func modulo(a []Value) (Value, error) {
	switch a[1].num {
	case 0:
		return Null, errcode.New(errcode.DivisionByZero, "division by zero")
	case -1:
		return IntValue(0), nil
	}
	return IntValue(a[0].num % a[1].num), nil
}

// roundTo rounds half away from zero to a number of decimal places.
func roundTo(x float64, places int64) float64 {
	switch {
	case places > 15:
		return x
	case places < -308:
		return 0
	}
	scale := math.Pow(10, math.Abs(float64(places)))
	var r float64
	if places < 0 {
		r = math.Round(x/scale) * scale
	} else {
		r = math.Round(x*scale) / scale
	}
	if math.IsInf(r, 0) || math.IsNaN(r) {
		return x
	}
	return r
}

func positive(x float64) bool { return !(x <= 0) }

var numberFunctions = []*Function{fnNumeric,
	intOp("+", addInt), floatOp("+", func(x, y float64) float64 { return x + y }),
	intOp("-", subInt), floatOp("-", func(x, y float64) float64 { return x - y }),
	intOp("*", mulInt), floatOp("*", func(x, y float64) float64 { return x * y }),
	fn("/", Int8, divide, Int8, Int8), fn("/", Float8, divideFloat, Float8, Float8),
	fn("%", Int8, modulo, Int8, Int8), fn("mod", Int8, modulo, Int8, Int8),
	floatOp("^", math.Pow), floatOp("pow", math.Pow),
	fn("neg", Int8, func(a []Value) (Value, error) {
		if a[0].num == math.MinInt64 {
			return Null, outOfRange("int8")
		}
		return IntValue(-a[0].num), nil
	}, Int8),
	float1("neg", func(x float64) float64 { return -x }),
	fn("abs", Int8, func(a []Value) (Value, error) {
		if a[0].num == math.MinInt64 {
			return Null, outOfRange("int8")
		}
		return IntValue(max(a[0].num, -a[0].num)), nil
	}, Int8),
	float1("abs", math.Abs),
	float1("sign", func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return x
	}),
	float1("round", math.RoundToEven), float1("floor", math.Floor), float1("ceil", math.Ceil), float1("trunc", math.Trunc),
	fn("round", Float8, func(a []Value) (Value, error) { return FloatValue(roundTo(a[0].Float(), a[1].num)), nil }, Float8, Int8),
	float1("exp", math.Exp), float1("cbrt", math.Cbrt),
	domain("sqrt", math.Sqrt, func(x float64) bool { return !(x < 0) }, "square root of a negative number"),
	domain("ln", math.Log, positive, "logarithm of a number that is not positive"),
	domain("log", math.Log10, positive, "logarithm of a number that is not positive"),
	domain("log2", math.Log2, positive, "logarithm of a number that is not positive"),
	fn("pi", Float8, func([]Value) (Value, error) { return FloatValue(math.Pi), nil }),
	intOp("div", func(x, y int64) (int64, bool) {
		if y == 0 || x == math.MinInt64 && y == -1 {
			return 0, false
		}
		return x / y, true
	}),
	intOp("&", func(x, y int64) (int64, bool) { return x & y, true }),
	intOp("|", func(x, y int64) (int64, bool) { return x | y, true }),
	intOp("#", func(x, y int64) (int64, bool) { return x ^ y, true }),
	intOp("<<", func(x, y int64) (int64, bool) { return x << (uint64(y) & 63), true }),
	intOp(">>", func(x, y int64) (int64, bool) { return x >> (uint64(y) & 63), true }),
	fn("~", Int8, func(a []Value) (Value, error) { return IntValue(^a[0].num), nil }, Int8),
}
