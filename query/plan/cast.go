package plan

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/quipudb/quipu/server/errcode"
)

// castTo are the casts, by target. Each takes any type that has a cast to it.
var castTo = map[Type]*Function{
	Bool:        castFunction("bool", Bool, castBool),
	Int8:        castFunction("int8", Int8, castInt),
	Float8:      castFunction("float8", Float8, castFloat),
	Text:        castFunction("text", Text, castText),
	Timestamptz: castFunction("timestamptz", Timestamptz, castTime),
	Interval:    castFunction("interval", Interval, castInterval),
	JSON:        castFunction("json", JSON, castJSON),
}

var castFunctions = []*Function{castTo[Bool], castTo[Int8], castTo[Float8], castTo[Text], castTo[Timestamptz], castTo[Interval], castTo[JSON], fnDate}

// fnDate is the cast to date, which is the start of the day.
var fnDate = castFunction("date", Timestamptz, func(v Value) (Value, bool) {
	v, ok := castTime(v)
	if ok {
		v.num -= floorMod(v.num, microsPerDay)
	}
	return v, ok
})

// narrowing are casts to types that stand for a wider one: they change also what has its type already.
var narrowing = map[string]*Function{"date": fnDate, "jsonb": fnJSONB}

func castFunction(name string, to Type, f func(Value) (Value, bool)) *Function {
	return fn(name, to, func(a []Value) (Value, error) {
		if a[0].Type == to && name != "date" {
			return a[0], nil
		}
		v, ok := f(a[0])
		if !ok {
			return Null, castError(a[0], name)
		}
		return v, nil
	}, Unknown)
}

func castError(v Value, to string) error {
	if v.Type == Text {
		s := v.str
		if len(s) > 60 {
			s = s[:60] + "…"
		}
		switch {
		case to == "int8" && isNumber(s, false), to == "float8" && isNumber(s, true):
			return errcode.New(errcode.NumericOutOfRange, "value %q is out of range for type %s", s, to)
		case (to == "timestamptz" || to == "date") && dateLike.MatchString(s):
			return errcode.New(errcode.NumericOutOfRange, "date/time field value out of range: %q", s)
		}
		e := errcode.New(errcode.InvalidText, "invalid input syntax for type %s: %q", to, s)
		if bad, ok := errors.AsType[*json.SyntaxError](json.Unmarshal([]byte(v.str), new(json.RawMessage))); ok && to == "json" {
			e.WithDetail("At byte %d of it: %s.", bad.Offset, bad)
		}
		return e
	}
	return errcode.New(errcode.NumericOutOfRange, "%s out of range: %s", to, v)
}

// dateLike are texts that are times but for the range of their fields.
var dateLike = regexp.MustCompile(`^\s*\d{4}-\d{1,2}-\d{1,2}([ T]\d{1,2}:\d{1,2}(:\d{1,2}(\.\d{1,6})?)?)?\s*(Z|[+-]\d{1,2}(:?\d{2})?)?\s*$`)

// isNumber says whether s would be a number if it were not too large.
func isNumber(s string, float bool) bool {
	s = strings.TrimSpace(s)
	var err error
	if float {
		_, err = strconv.ParseFloat(s, 64)
	} else {
		_, err = strconv.ParseInt(s, 10, 64)
	}
	return errors.Is(err, strconv.ErrRange)
}

// castable says whether a value of type from can be cast to type to at all.
func castable(from, to Type) bool {
	switch {
	case from == to, from == Unknown, to == Text, from == Text:
		return from != Record && to != Record
	case from.IsArray() && to.IsArray():
		return castable(from.Elem(), to.Elem())
	case from.IsReg():
		return to == Int8 || to.IsReg()
	case to.IsReg():
		return from == Int8
	case from == Record || to == Record:
		return false
	case to == Bool:
		return from == Int8
	case to == Int8:
		return from == Float8 || from == Bool
	case to == Float8:
		return from == Int8
	}
	return false
}

func castBool(v Value) (Value, bool) {
	if v.Type == Int8 {
		return BoolValue(v.num != 0), true
	}
	switch strings.ToLower(strings.TrimSpace(v.str)) { // as PostgreSQL: any beginning that tells them apart
	case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1":
		return BoolValue(true), true
	case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0":
		return BoolValue(false), true
	}
	return Null, false
}

func castInt(v Value) (Value, bool) {
	switch v.Type {
	case Bool, RegClass, RegType, RegProc, RegNamespace, RegRole:
		return IntValue(v.num), true
	case Float8:
		f := math.RoundToEven(v.Float())
		return IntValue(int64(f)), f >= -0x1p63 && f < 0x1p63
	}
	n, err := strconv.ParseInt(strings.TrimSpace(v.str), 10, 64)
	return IntValue(n), err == nil
}

func castFloat(v Value) (Value, bool) {
	if v.Type == Int8 {
		return FloatValue(float64(v.num)), true
	}
	s := strings.TrimSpace(v.str)
	f, err := strconv.ParseFloat(s, 64)
	return FloatValue(f), err == nil && !strings.ContainsAny(s, "xX_")
}

func castText(v Value) (Value, bool) {
	if v.Type == Bool { // unlike the output form
		if v.Bool() {
			return TextValue("true"), true
		}
		return TextValue("false"), true
	}
	return TextValue(v.String()), true
}

func castTime(v Value) (Value, bool) {
	if v.Type == Timestamptz {
		return v, true
	}
	us, ok := ParseTime(v.str)
	return MicrosValue(us), ok
}

func castInterval(v Value) (Value, bool) { return ParseInterval(v.str) }

func castJSON(v Value) (Value, bool) { return JSONValue(v.str), json.Valid([]byte(v.str)) }

// Convert casts one value, for arguments and for settings.
func Convert(v Value, to Type) (Value, error) {
	if v.IsNull() || v.Type == to {
		return v, nil
	}
	if !castable(v.Type, to) {
		return Null, errcode.New(errcode.TypeMismatch, "cannot cast type %s to %s", v.Type, to)
	}
	return castTo[to].eval([]Value{v})
}
