package plan

import (
	"github.com/quipudb/quipu/server/errcode"
)

// bucketOrigin is what time_bucket counts from: Monday, 2000-01-03, so that weeks begin on Mondays, as in TimescaleDB.
const bucketOrigin = int64(946_857_600) * 1_000_000

func invalidUnit(unit string) error {
	return errcode.New(errcode.InvalidOption, "unit %q not recognized", unit).
		WithHint("use one of microsecond, millisecond, second, minute, hour, day, week, month, quarter, year, decade")
}

func bucket(width Value, us, origin int64) (Value, error) {
	r, ok := binTime(width, us, origin)
	if !ok {
		return Null, errcode.New(errcode.InvalidOption, "a bucket of %s is not possible", width).
			WithHint("take a positive width that is either whole months or days and smaller units")
	}
	return MicrosValue(r), nil
}

func shift(a []Value, sign int32) (Value, error) {
	t, span := a[0], a[1]
	if t.Type == Interval {
		t, span = span, t
	}
	r, ok := addInterval(t.num, span, sign)
	if !ok {
		return Null, outOfRange("timestamp")
	}
	return MicrosValue(r), nil
}

func addSpans(a []Value, sign int32) (Value, error) {
	months, days := int64(a[0].months)+int64(sign)*int64(a[1].months), int64(a[0].days)+int64(sign)*int64(a[1].days)
	micros, ok := addInt(a[0].num, a[1].num)
	if sign < 0 {
		micros, ok = subInt(a[0].num, a[1].num)
	}
	if !ok || months != int64(int32(months)) || days != int64(int32(days)) {
		return Null, outOfRange("interval")
	}
	return IntervalValue(int32(months), int32(days), micros), nil
}

func scaleSpan(v Value, f float64) (Value, error) {
	r, ok := scaleInterval(v, f)
	if !ok {
		return Null, outOfRange("interval")
	}
	return r, nil
}

var timeFunctions = []*Function{
	fn("time_bucket", Timestamptz, func(a []Value) (Value, error) { return bucket(a[0], a[1].num, bucketOrigin) }, Interval, Timestamptz),
	fn("time_bucket", Timestamptz, func(a []Value) (Value, error) { return bucket(a[0], a[1].num, a[2].num) }, Interval, Timestamptz, Timestamptz),
	fn("date_bin", Timestamptz, func(a []Value) (Value, error) { return bucket(a[0], a[1].num, bucketOrigin) }, Interval, Timestamptz),
	fn("date_bin", Timestamptz, func(a []Value) (Value, error) { return bucket(a[0], a[1].num, a[2].num) }, Interval, Timestamptz, Timestamptz),
	fn("date_trunc", Timestamptz, func(a []Value) (Value, error) {
		r, ok := truncTime(a[0].str, a[1].num)
		if !ok {
			return Null, invalidUnit(a[0].str)
		}
		return MicrosValue(r), nil
	}, Text, Timestamptz),
	fn("extract", Float8, func(a []Value) (Value, error) {
		r, ok := timePart(a[0].str, a[1].num)
		if !ok {
			return Null, invalidUnit(a[0].str)
		}
		return FloatValue(r), nil
	}, Text, Timestamptz),
	fn("extract", Float8, func(a []Value) (Value, error) {
		r, ok := spanPart(a[0].str, a[1])
		if !ok {
			return Null, invalidUnit(a[0].str)
		}
		return FloatValue(r), nil
	}, Text, Interval),
	fn("timezone", Timestamptz, func(a []Value) (Value, error) {
		switch a[0].str {
		case "UTC", "utc", "Z", "GMT":
			return a[1], nil
		}
		return Null, errcode.New(errcode.NotSupported, "time zone %q is not supported, only UTC is", a[0].str)
	}, Text, Timestamptz),
	fn("to_timestamp", Timestamptz, func(a []Value) (Value, error) {
		us := a[0].Float() * 1e6
		if !(us >= float64(timeMin) && us < float64(timeMax)) {
			return Null, outOfRange("timestamp")
		}
		return MicrosValue(int64(us)), nil
	}, Float8),
	fn("+", Timestamptz, func(a []Value) (Value, error) { return shift(a, 1) }, Timestamptz, Interval),
	fn("+", Timestamptz, func(a []Value) (Value, error) { return shift(a, 1) }, Interval, Timestamptz),
	fn("-", Timestamptz, func(a []Value) (Value, error) { return shift(a, -1) }, Timestamptz, Interval),
	fn("-", Interval, func(a []Value) (Value, error) {
		us := a[0].num - a[1].num
		return IntervalValue(0, int32(us/microsPerDay), us%microsPerDay), nil
	}, Timestamptz, Timestamptz),
	fn("+", Interval, func(a []Value) (Value, error) { return addSpans(a, 1) }, Interval, Interval),
	fn("-", Interval, func(a []Value) (Value, error) { return addSpans(a, -1) }, Interval, Interval),
	fn("*", Interval, func(a []Value) (Value, error) { return scaleSpan(a[0], a[1].Float()) }, Interval, Float8),
	fn("*", Interval, func(a []Value) (Value, error) { return scaleSpan(a[1], a[0].Float()) }, Float8, Interval),
	fn("/", Interval, func(a []Value) (Value, error) {
		if a[1].Float() == 0 {
			return Null, errcode.New(errcode.DivisionByZero, "division by zero")
		}
		return scaleSpan(a[0], 1/a[1].Float())
	}, Interval, Float8),
	fn("neg", Interval, func(a []Value) (Value, error) {
		return addSpans([]Value{IntervalValue(0, 0, 0), a[0]}, -1)
	}, Interval),
}
