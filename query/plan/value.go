package plan

import (
	"cmp"
	"math"
	"strconv"
	"strings"
	"time"
)

// Value is one SQL value. The zero Value is NULL.
type Value struct {
	Type   Type // Unknown means NULL
	months int32
	days   int32
	num    int64  // int8, bool as 0 or 1, bits of a float8, Unix microseconds, microseconds of an interval
	str    string // text and json
}

// Null is NULL.
var Null Value

// Constructors.
func IntValue(n int64) Value     { return Value{Type: Int8, num: n} }
func FloatValue(f float64) Value { return Value{Type: Float8, num: int64(math.Float64bits(f))} }
func TextValue(s string) Value   { return Value{Type: Text, str: s} }
func JSONValue(s string) Value   { return Value{Type: JSON, str: s} }

// RegValue is an object of the catalog: its OID, and the name that it shows.
func RegValue(t Type, oid int64, name string) Value { return Value{Type: t, num: oid, str: name} }

// BoolValue is true or false.
func BoolValue(b bool) Value {
	if b {
		return Value{Type: Bool, num: 1}
	}
	return Value{Type: Bool}
}

// TimeValue is the instant of t, to the microsecond.
func TimeValue(t time.Time) Value { return Value{Type: Timestamptz, num: t.UnixMicro()} }

// MicrosValue is the instant of Unix microseconds.
func MicrosValue(us int64) Value { return Value{Type: Timestamptz, num: us} }

// IntervalValue is a span of calendar months, days and microseconds.
func IntervalValue(months, days int32, micros int64) Value {
	return Value{Type: Interval, months: months, days: days, num: micros}
}

// IsNull says that v is NULL.
func (v Value) IsNull() bool { return v.Type == Unknown }

// Int is the number of an Int8, or the Unix microseconds of a Timestamptz.
func (v Value) Int() int64 { return v.num }

// Float is the number of a Float8 or an Int8.
func (v Value) Float() float64 {
	if v.Type == Int8 {
		return float64(v.num)
	}
	return math.Float64frombits(uint64(v.num))
}

// Bool is true for the Bool true.
func (v Value) Bool() bool { return v.Type == Bool && v.num != 0 }

// Text is the text of a Text or JSON.
func (v Value) Text() string { return v.str }

// Time is the instant of a Timestamptz, in UTC.
func (v Value) Time() time.Time { return time.UnixMicro(v.num).UTC() }

// Span is the parts of an Interval.
func (v Value) Span() (months, days int32, micros int64) { return v.months, v.days, v.num }

// String is the text form that PostgreSQL shows, in UTC; NULL is empty.
func (v Value) String() string {
	switch v.Type {
	case Bool:
		if v.num != 0 {
			return "t"
		}
		return "f"
	case Int8:
		return strconv.FormatInt(v.num, 10)
	case Float8:
		return FormatFloat(v.Float())
	case Text, JSON, RegClass, RegType, RegProc, RegNamespace, RegRole:
		return v.str
	case Timestamptz:
		return formatTime(v.num)
	case Interval:
		return formatInterval(v)
	}
	if v.Type.IsArray() {
		return formatArray(v)
	}
	return ""
}

// FormatFloat is the shortest text that reads back as the same bits, spelled as PostgreSQL does.
func FormatFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e15) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	return strconv.FormatFloat(f, 'f', -1, 64)
}

// Compare orders two values of one type that are not NULL: −1, 0 or 1. Text is compared by bytes (collation C), NaN is the
// largest float. Int8 and Float8 compare with each other as numbers, exactly.
func Compare(a, b Value) int {
	switch a.Type {
	case Float8, Int8:
		if a.Type == Int8 && b.Type == Int8 {
			return cmp.Compare(a.num, b.num)
		}
		return compareNumbers(a, b)
	case Text, JSON:
		return strings.Compare(a.str, b.str)
	case Interval:
		return cmp.Compare(spanMicros(a), spanMicros(b))
	}
	if a.Type.IsArray() {
		return compareArrays(a, b)
	}
	return cmp.Compare(a.num, b.num)
}

func compareNumbers(a, b Value) int {
	if a.Type == Int8 {
		if b.Type.IsReg() {
			return cmp.Compare(a.num, b.num)
		}
		return -compareNumbers(b, a)
	}
	x := a.Float()
	if math.IsNaN(x) {
		if b.Type == Float8 && math.IsNaN(b.Float()) {
			return 0
		}
		return 1
	}
	if b.Type == Float8 {
		if y := b.Float(); math.IsNaN(y) {
			return -1
		} else {
			return cmp.Compare(x, y)
		}
	}
	// float against int: beyond ±2⁶³ the sign decides, inside the integer parts are compared first.
	switch {
	case x >= 0x1p63:
		return 1
	case x < -0x1p63:
		return -1
	}
	whole := math.Trunc(x)
	if c := cmp.Compare(int64(whole), b.num); c != 0 {
		return c
	}
	return cmp.Compare(x, whole)
}

// spanMicros is the length of an interval with months of 30 days, for comparison only.
func spanMicros(v Value) float64 {
	return (float64(v.months)*30+float64(v.days))*float64(microsPerDay) + float64(v.num)
}

// spanKey gives all intervals of one length one form: months of 30 days, fewer days than that, and less than a day of microseconds.
func spanKey(v Value) Value {
	micros := floorMod(v.num, microsPerDay)
	days := int64(v.months)*30 + int64(v.days) + v.num/microsPerDay
	if v.num%microsPerDay < 0 {
		days--
	}
	rest := floorMod(days, 30)
	months := (days - rest) / 30
	if months != int64(int32(months)) { // beyond what PostgreSQL can write down
		return v
	}
	return IntervalValue(int32(months), int32(rest), micros)
}

// Key is a form of v that is equal for equal values and can be the key of a map. It is its own Key: shards send keys to each other.
func (v Value) Key() Value {
	switch v.Type {
	case Float8:
		f := v.Float()
		if f == 0 {
			f = 0 // −0 and 0 are one group
		}
		if math.IsNaN(f) {
			f = math.NaN()
		}
		return FloatValue(f)
	case Interval:
		return spanKey(v)
	}
	if v.Type.IsReg() { // by its OID, as it compares
		return IntValue(v.num)
	}
	return v
}

// size is about the bytes that v keeps alive.
func (v Value) Size() int64 { return 40 + int64(len(v.str)) }
