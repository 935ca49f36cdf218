package plan

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/quipudb/quipu/server/errcode"
)

// There is one type of JSON, a text that stays as it was written. What PostgreSQL calls jsonb is the same text in a normal form: without
// blanks but behind commas and colons, keys once and in order, numbers without exponents.

// jsonFunctions make JSON, with the blanks that PostgreSQL puts into it.
var jsonFunctions = []*Function{
	fnObject,
	{Name: "json_build_array", Args: []Type{Unknown}, More: true, Result: JSON, nullable: true, eval: evalJSONArray},
	{Name: "to_json", Args: []Type{Unknown}, Result: JSON, eval: evalJSON},
	{Name: "array_to_json", Args: []Type{anyArray}, Result: JSON, local: true, eval: evalJSON},
	{Name: "to_jsonb", Args: []Type{Unknown}, Result: JSON, eval: normal(evalJSON)},
	{Name: "jsonb_build_object", Args: []Type{Unknown}, More: true, Result: JSON, nullable: true, eval: normal(evalObject)},
	{Name: "jsonb_build_array", Args: []Type{Unknown}, More: true, Result: JSON, nullable: true, eval: normal(evalJSONArray)},
	fnJSONB,
}

var (
	fnObject = &Function{Name: "json_build_object", Args: []Type{Unknown}, More: true, Result: JSON, nullable: true, eval: evalObject}

	// fnJSONB is the cast to jsonb.
	fnJSONB = fn("jsonb", JSON, func(a []Value) (Value, error) {
		v, err := castTo[JSON].eval(a)
		if err != nil {
			return Null, err
		}
		return normalJSON(v)
	}, Unknown)

	// What json_agg and its like make of the array of their values. PostgreSQL begins a line for each array among them.
	fnJSONAgg  = &Function{Name: "json_agg", Args: []Type{anyArray}, Result: JSON, local: true, eval: joinJSON(", ")}
	fnJSONRows = &Function{Name: "json_agg", Args: []Type{anyArray}, Result: JSON, local: true, eval: joinJSON(", \n ")}
	fnJSONBAgg = &Function{Name: "jsonb_agg", Args: []Type{anyArray}, Result: JSON, local: true, eval: normal(joinJSON(", "))}
)

// writeJSON writes v as PostgreSQL's to_json does.
func writeJSON(b *strings.Builder, v Value) {
	switch {
	case v.IsNull():
		b.WriteString("null")
	case v.Type == Bool:
		b.WriteString(strconv.FormatBool(v.Bool()))
	case v.Type == JSON:
		b.WriteString(v.str)
	case v.Type == Int8:
		b.WriteString(v.String())
	case v.Type == Float8:
		if s := v.String(); strings.ContainsAny(s, "Ny") { // JSON has neither NaN nor infinities
			quoteJSON(b, s)
		} else {
			b.WriteString(s)
		}
	case v.Type == Timestamptz:
		quoteJSON(b, strings.Replace(strings.Replace(v.String(), " ", "T", 1), "+00", "+00:00", 1))
	case v.Type.IsArray():
		b.WriteByte('[')
		for i, e := range v.Elems() {
			if i > 0 {
				b.WriteByte(',')
			}
			writeJSON(b, e)
		}
		b.WriteByte(']')
	default:
		quoteJSON(b, v.String())
	}
}

// quoteJSON writes s as a string of JSON, without escapes that it does not need.
func quoteJSON(b *strings.Builder, s string) {
	const hex = "0123456789abcdef"
	b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < ' ' {
				b.WriteString(`\u00`)
				b.WriteByte(hex[c>>4])
				b.WriteByte(hex[c&15])
			} else {
				b.WriteByte(c)
			}
		}
	}
	b.WriteByte('"')
}

func evalJSON(a []Value) (Value, error) {
	var b strings.Builder
	writeJSON(&b, a[0])
	return JSONValue(b.String()), nil
}

func evalJSONArray(a []Value) (Value, error) {
	var b strings.Builder
	b.WriteByte('[')
	for i, v := range a {
		if i > 0 {
			b.WriteString(", ")
		}
		writeJSON(&b, v)
	}
	b.WriteByte(']')
	return JSONValue(b.String()), nil
}

// evalObject takes key, value, key, value, …
func evalObject(a []Value) (Value, error) {
	if len(a)%2 != 0 {
		return Null, errcode.New(errcode.InvalidOption, "argument list must have even number of elements").WithHint("the arguments are a key, its value, a key, its value, …")
	}
	var b strings.Builder
	b.WriteByte('{')
	for i := 0; i < len(a); i += 2 {
		if i > 0 {
			b.WriteString(", ")
		}
		switch k := a[i]; {
		case k.IsNull():
			return Null, errcode.New(errcode.InvalidOption, "argument %d cannot be null", i+1).WithHint("keys are texts")
		case k.Type == JSON || k.Type.IsArray():
			return Null, errcode.New(errcode.InvalidOption, "key value must be scalar, not array, composite, or json")
		default:
			var key strings.Builder
			writeJSON(&key, k)
			if s := key.String(); strings.HasPrefix(s, `"`) {
				b.WriteString(s)
			} else {
				quoteJSON(&b, s)
			}
		}
		b.WriteString(" : ")
		writeJSON(&b, a[i+1])
	}
	b.WriteByte('}')
	return JSONValue(b.String()), nil
}

// joinJSON makes an array of JSON of the elements of an array. What stands between them stands as a plain comma before a NULL.
func joinJSON(separator string) func([]Value) (Value, error) {
	return func(a []Value) (Value, error) {
		var b strings.Builder
		b.WriteByte('[')
		for i, e := range a[0].Elems() {
			switch {
			case i > 0 && e.IsNull():
				b.WriteString(", ")
			case i > 0:
				b.WriteString(separator)
			}
			writeJSON(&b, e)
		}
		b.WriteByte(']')
		return JSONValue(b.String()), nil
	}
}

// normal gives what eval makes as jsonb.
func normal(eval func([]Value) (Value, error)) func([]Value) (Value, error) {
	return func(a []Value) (Value, error) {
		v, err := eval(a)
		if err != nil {
			return Null, err
		}
		return normalJSON(v)
	}
}

// normalJSON is v, valid JSON, as PostgreSQL spells jsonb.
func normalJSON(v Value) (Value, error) {
	n := normalizer{d: json.NewDecoder(strings.NewReader(v.str)), bytesMax: textBytesMax + 4*len(v.str)}
	n.d.UseNumber()
	var b strings.Builder
	err := n.value(&b)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return Null, castError(TextValue(v.str), "json")
	}
	return JSONValue(b.String()), err
}

// normalizer writes the values of d, each of at most bytesMax bytes: numbers of few characters may have many digits.
type normalizer struct {
	d        *json.Decoder
	bytesMax int
}

func (n normalizer) value(b *strings.Builder) error {
	t, err := n.d.Token()
	if err != nil {
		return err
	}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			err = n.array(b)
		} else {
			err = n.object(b)
		}
		if err != nil {
			return err
		}
	case json.Number:
		s, ok := plainNumber(t.String())
		if !ok {
			return errcode.New(errcode.NumericOutOfRange, "value overflows numeric format")
		}
		b.WriteString(s)
	case string:
		if strings.ContainsRune(t, 0) {
			return errcode.New(errcode.ValueInvalid, "unsupported Unicode escape sequence").WithDetail(`\u0000 cannot be converted to text.`)
		}
		quoteJSON(b, t)
	case bool:
		b.WriteString(strconv.FormatBool(t))
	default:
		b.WriteString("null")
	}
	if b.Len() > n.bytesMax {
		return errcode.New(errcode.TooLarge, "the value would be more than %d bytes of JSON", n.bytesMax)
	}
	return nil
}

func (n normalizer) array(b *strings.Builder) error {
	b.WriteByte('[')
	for i := 0; n.d.More(); i++ {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := n.value(b); err != nil {
			return err
		}
	}
	b.WriteByte(']')
	_, err := n.d.Token()
	return err
}

// object puts short keys first, those of one length in the order of their bytes, and keeps the last value of each.
func (n normalizer) object(b *strings.Builder) error {
	type member struct{ raw, key, value string }
	var members []member
	at := map[string]int{}
	for n.d.More() {
		t, err := n.d.Token()
		if err != nil {
			return err
		}
		raw, _ := t.(string)
		var key, value strings.Builder
		quoteJSON(&key, raw)
		if err := n.value(&value); err != nil {
			return err
		}
		m := member{raw, key.String(), value.String()}
		if i, ok := at[raw]; ok {
			members[i] = m
			continue
		}
		at[raw] = len(members)
		members = append(members, m)
	}
	slices.SortFunc(members, func(x, y member) int {
		return cmp.Or(len(x.raw)-len(y.raw), strings.Compare(x.raw, y.raw))
	})
	b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(m.key)
		b.WriteString(": ")
		b.WriteString(m.value)
	}
	b.WriteByte('}')
	_, err := n.d.Token()
	return err
}

// The digits that PostgreSQL's numeric has before its point and behind it.
const (
	numericWholeMax = 131072
	numericScaleMax = 16383
)

// plainNumber spells a number of JSON as PostgreSQL's numeric: all its digits, no exponent, and no sign of zero.
func plainNumber(s string) (string, bool) {
	mantissa, exponent := s, 0
	if at := strings.IndexAny(s, "eE"); at >= 0 {
		n, err := strconv.Atoi(s[at+1:])
		if err != nil {
			return "", false
		}
		mantissa, exponent = s[:at], n
	}
	sign := ""
	if rest, ok := strings.CutPrefix(mantissa, "-"); ok {
		sign, mantissa = "-", rest
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	scale := len(fraction) - exponent // digits behind the point
	zero := strings.Trim(digits, "0") == ""
	if zero && scale < 0 {
		scale = 0
	}
	if scale > numericScaleMax || len(digits)-scale > numericWholeMax {
		return "", false
	}
	if zero {
		sign = ""
	}
	if scale < 0 {
		digits, scale = digits+strings.Repeat("0", -scale), 0
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	whole, fraction = strings.TrimLeft(digits[:len(digits)-scale], "0"), digits[len(digits)-scale:]
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return sign + whole + fraction, true
}
