package plan

import (
	"encoding/binary"
	"strings"

	"github.com/quipudb/quipu/server/errcode"
)

// arrayBit marks the type of one-dimensional arrays of a type. Arrays stay at the coordinator: no dimension is one.
const arrayBit Type = 0x40

// ArrayMax bounds the elements of one array.
const ArrayMax = 1 << 16

// vectorBit marks arrays that show without braces.
const vectorBit Type = 0x20

// Vector is an array of numbers as PostgreSQL's catalogs have them: it shows as 1 2 3.
const Vector = arrayBit | vectorBit | Int8

// ArrayOf is the type of arrays of t.
func ArrayOf(t Type) Type { return t | arrayBit }

// IsArray says whether t is the type of an array.
func (t Type) IsArray() bool { return t&arrayBit != 0 }

// Elem is the type of the elements of an array of type t.
func (t Type) Elem() Type { return t &^ (arrayBit | vectorBit) }

// ArrayValue is an array of values of type elem or NULL. Subscripts begin at 1.
func ArrayValue(elem Type, list []Value) Value {
	var b []byte
	for _, v := range list {
		if v.IsNull() {
			b = append(b, 0)
			continue
		}
		b = append(b, byte(v.Type))
		b = binary.AppendVarint(b, int64(v.months))
		b = binary.AppendVarint(b, int64(v.days))
		b = binary.AppendVarint(b, v.num)
		b = binary.AppendUvarint(b, uint64(len(v.str)))
		b = append(b, v.str...)
	}
	return Value{Type: ArrayOf(elem), str: string(b)}
}

// VectorValue is a vector of numbers.
func VectorValue(list []int64) Value {
	values := make([]Value, len(list))
	for i, n := range list {
		values[i] = IntValue(n)
	}
	v := ArrayValue(Int8, values)
	v.Type = Vector
	return v
}

// Elems are the elements of an array.
func (v Value) Elems() []Value {
	var out []Value
	b := []byte(v.str)
	varint := func() int64 {
		n, size := binary.Varint(b)
		b = b[size:]
		return n
	}
	for len(b) > 0 {
		e := Value{Type: Type(b[0])}
		b = b[1:]
		if e.Type != Unknown {
			e.months, e.days, e.num = int32(varint()), int32(varint()), varint()
			n, size := binary.Uvarint(b)
			e.str = string(b[size : size+int(n)])
			b = b[size+int(n):]
		}
		out = append(out, e)
	}
	return out
}

// formatArray spells an array as PostgreSQL does: {a,"b c",NULL}.
func formatArray(v Value) string {
	var b strings.Builder
	if v.Type == Vector {
		for i, e := range v.Elems() {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(e.String())
		}
		return b.String()
	}
	b.WriteByte('{')
	for i, e := range v.Elems() {
		if i > 0 {
			b.WriteByte(',')
		}
		if e.IsNull() {
			b.WriteString("NULL")
			continue
		}
		s := e.String()
		if s != "" && !strings.ContainsAny(s, "{},\"\\ \t\n\r\v\f") && !strings.EqualFold(s, "null") {
			b.WriteString(s)
			continue
		}
		b.WriteByte('"')
		for _, c := range []byte(s) {
			if c == '"' || c == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}

// parseArray reads {a,"b c",NULL} with elements of type elem.
func parseArray(s string, elem Type) (Value, bool) {
	texts, nulls, ok := splitArray(strings.TrimSpace(s))
	if !ok || len(texts) > ArrayMax {
		return Null, false
	}
	list := make([]Value, len(texts))
	if castTo[elem] == nil {
		return Null, false
	}
	for i, t := range texts {
		if nulls[i] {
			continue
		}
		v, err := castTo[elem].eval([]Value{TextValue(t)})
		if err != nil {
			return Null, false
		}
		list[i] = v
	}
	return ArrayValue(elem, list), true
}

// arrayError says why s is no array of elem.
func arrayError(s string, elem Type) error {
	texts, nulls, ok := splitArray(strings.TrimSpace(s))
	if len(texts) > ArrayMax {
		return errArraySize()
	}
	for i, t := range texts {
		if ok && !nulls[i] && castTo[elem] != nil {
			if _, err := castTo[elem].eval([]Value{TextValue(t)}); err != nil {
				return err
			}
		}
	}
	return errcode.New(errcode.InvalidText, "malformed array literal: %q", clipText(s)).WithHint("write {1,2,3}")
}

func splitArray(s string) (texts []string, nulls []bool, ok bool) {
	if len(s) < 2 || s[0] != '{' || s[len(s)-1] != '}' {
		return nil, nil, false
	}
	s = strings.TrimSpace(s[1 : len(s)-1])
	if s == "" {
		return nil, nil, true
	}
	for i := 0; ; {
		var b strings.Builder
		quoted, open := false, false
		for ; i < len(s) && (open || s[i] != ','); i++ {
			switch c := s[i]; {
			case c == '\\' && i+1 < len(s):
				i++
				b.WriteByte(s[i])
			case c == '"':
				open, quoted = !open, true
			case !open && (c == '{' || c == '}'):
				return nil, nil, false
			default:
				b.WriteByte(c)
			}
		}
		t := b.String()
		if !quoted {
			t = strings.TrimSpace(t)
		}
		if open || t == "" && !quoted {
			return nil, nil, false
		}
		texts, nulls = append(texts, t), append(nulls, !quoted && strings.EqualFold(t, "null"))
		if i >= len(s) {
			return texts, nulls, true
		}
		i++
	}
}

func compareArrays(a, b Value) int {
	x, y := a.Elems(), b.Elems()
	for i := range min(len(x), len(y)) {
		switch {
		case x[i].IsNull() && y[i].IsNull():
			continue
		case x[i].IsNull():
			return 1
		case y[i].IsNull():
			return -1
		}
		if c := Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return len(x) - len(y)
}

// anyArray takes arrays of every type where a function says so.
const anyArray Type = arrayBit

var (
	// arrayMakers make an array of their arguments, by the type of these.
	arrayMakers = makeArrays()
	// fnSubscript is x[i]; fnSlice is x[low:high].
	fnSubscript = &Function{Name: "subscript", Args: []Type{anyArray, Int8}, local: true, eval: evalSubscript}
	fnSlice     = &Function{Name: "slice", Args: []Type{anyArray, Int8, Int8}, local: true, eval: evalSlice}
)

var arrayFunctions = []*Function{
	fnSubscript, fnSlice,
	arrayFn("array_length", Int8, func(a []Value) (Value, error) { return arrayEnd(a[0], a[1]), nil }, anyArray, Int8),
	arrayFn("array_upper", Int8, func(a []Value) (Value, error) { return arrayEnd(a[0], a[1]), nil }, anyArray, Int8),
	arrayFn("array_lower", Int8, func(a []Value) (Value, error) {
		if arrayEnd(a[0], a[1]).IsNull() {
			return Null, nil
		}
		return IntValue(1), nil
	}, anyArray, Int8),
	arrayFn("cardinality", Int8, func(a []Value) (Value, error) { return IntValue(int64(len(a[0].Elems()))), nil }, anyArray),
	arrayFn("array_ndims", Int8, func(a []Value) (Value, error) {
		if a[0].str == "" {
			return Null, nil
		}
		return IntValue(1), nil
	}, anyArray),
	{Name: "array_to_string", Args: []Type{anyArray, Text}, Result: Text, local: true, eval: evalArrayToString},
	{Name: "array_to_string", Args: []Type{anyArray, Text, Text}, Result: Text, nullable: true, local: true, eval: evalArrayToString},
	{Name: "string_to_array", Args: []Type{Text, Text}, Result: ArrayOf(Text), nullable: true, local: true, eval: evalStringToArray},
	{Name: "array_position", Args: []Type{anyArray, Unknown}, Result: Int8, nullable: true, local: true, eval: evalArrayPosition},
	// array_append and array_prepend are bound as array_cat; here they are for lists of functions.
	{Name: "array_append", Args: []Type{anyArray, Unknown}, nullable: true, local: true, eval: evalArrayCat},
	{Name: "array_prepend", Args: []Type{Unknown, anyArray}, nullable: true, local: true, eval: evalArrayCat},
	{Name: "array_cat", Args: []Type{anyArray, anyArray}, nullable: true, local: true, eval: evalArrayCat},
	{Name: "array_remove", Args: []Type{anyArray, Unknown}, nullable: true, local: true, eval: func(a []Value) (Value, error) {
		if a[0].IsNull() {
			return Null, nil
		}
		var out []Value
		for _, v := range a[0].Elems() {
			if !notDistinct(v, a[1]) {
				out = append(out, v)
			}
		}
		return ArrayValue(a[0].Type.Elem(), out), nil
	}},
	arrayFn("@>", Bool, func(a []Value) (Value, error) { return BoolValue(contains(a[0], a[1])), nil }, anyArray, anyArray),
	arrayFn("<@", Bool, func(a []Value) (Value, error) { return BoolValue(contains(a[1], a[0])), nil }, anyArray, anyArray),
	arrayFn("&&", Bool, func(a []Value) (Value, error) {
		for _, v := range a[1].Elems() {
			if holds(a[0], v) {
				return BoolValue(true), nil
			}
		}
		return BoolValue(false), nil
	}, anyArray, anyArray),
}

// makeArrays makes the constructors and casts of arrays of each type.
func makeArrays() map[Type]*Function {
	makers := map[Type]*Function{}
	for t := Bool; t <= RegRole; t++ {
		if t == Record {
			continue
		}
		makers[t] = &Function{Name: "array", Args: []Type{t}, More: true, Result: ArrayOf(t), nullable: true, local: true,
			eval: func(a []Value) (Value, error) { return ArrayValue(t, a), nil }}
		castTo[ArrayOf(t)] = castFunction(ArrayOf(t).String(), ArrayOf(t), func(v Value) (Value, bool) {
			if !v.Type.IsArray() {
				return parseArray(v.str, t)
			}
			list := v.Elems()
			for i, e := range list {
				if e.IsNull() || e.Type == t {
					continue
				}
				if castTo[t] == nil {
					return Null, false
				}
				x, err := castTo[t].eval([]Value{e})
				if err != nil {
					return Null, false
				}
				list[i] = x
			}
			return ArrayValue(t, list), true
		})
		castTo[ArrayOf(t)].local = true
	}
	for t := range makers {
		f := castTo[ArrayOf(t)]
		eval := f.eval
		f.eval = func(a []Value) (Value, error) {
			v, err := eval(a)
			if err != nil && a[0].Type == Text {
				err = arrayError(a[0].str, t)
			}
			return v, err
		}
	}
	castTo[Vector] = castFunction("oidvector", Vector, func(v Value) (Value, bool) {
		if !v.Type.IsArray() {
			var ok bool
			text := v.str // 1 2 3, as PostgreSQL spells its vectors, or an array
			if !strings.Contains(text, "{") {
				text = "{" + strings.Join(strings.Fields(text), ",") + "}"
			}
			if v, ok = parseArray(text, Int8); !ok {
				return Null, false
			}
		}
		v.Type = Vector
		return v, v.Type.Elem() == Int8
	})
	castTo[Vector].local = true
	return makers
}

func arrayFn(name string, result Type, eval func([]Value) (Value, error), args ...Type) *Function {
	return &Function{Name: name, Args: args, Result: result, eval: eval, local: true}
}

// arrayEnd is the last subscript of a dimension; NULL where there is none.
func arrayEnd(a, dimension Value) Value {
	if n := len(a.Elems()); n > 0 && dimension.num == 1 {
		return IntValue(int64(n))
	}
	return Null
}

func holds(a, x Value) bool {
	for _, v := range a.Elems() {
		if !x.IsNull() && !v.IsNull() && Compare(v, x) == 0 {
			return true
		}
	}
	return false
}

func contains(a, b Value) bool {
	for _, x := range b.Elems() {
		if !holds(a, x) {
			return false
		}
	}
	return true
}

func evalSubscript(a []Value) (Value, error) {
	list := a[0].Elems()
	if i := a[1].num; i >= 1 && i <= int64(len(list)) {
		return list[i-1], nil
	}
	return Null, nil
}

func evalSlice(a []Value) (Value, error) {
	list := a[0].Elems()
	low, high := max(a[1].num, 1), min(a[2].num, int64(len(list)))
	if low > high {
		return ArrayValue(a[0].Type.Elem(), nil), nil
	}
	return ArrayValue(a[0].Type.Elem(), list[low-1:high]), nil
}

func evalArrayToString(a []Value) (Value, error) {
	if a[0].IsNull() || a[1].IsNull() {
		return Null, nil
	}
	var parts []string
	for _, v := range a[0].Elems() {
		switch {
		case !v.IsNull():
			parts = append(parts, v.String())
		case len(a) > 2 && !a[2].IsNull():
			parts = append(parts, a[2].str)
		}
	}
	return TextValue(strings.Join(parts, a[1].str)), nil
}

func evalStringToArray(a []Value) (Value, error) {
	if a[0].IsNull() {
		return Null, nil
	}
	var parts []string
	switch {
	case a[0].str == "":
	case a[1].IsNull():
		parts = strings.Split(a[0].str, "")
	case a[1].str == "":
		parts = []string{a[0].str}
	default:
		parts = strings.Split(a[0].str, a[1].str)
	}
	if len(parts) > ArrayMax {
		return Null, errArraySize()
	}
	list := make([]Value, len(parts))
	for i, s := range parts {
		list[i] = TextValue(s)
	}
	return ArrayValue(Text, list), nil
}

func errArraySize() error {
	return errcode.New(errcode.TooLarge, "an array has at most %d elements", ArrayMax)
}

func evalArrayPosition(a []Value) (Value, error) {
	if a[0].IsNull() {
		return Null, nil
	}
	for i, v := range a[0].Elems() {
		if notDistinct(v, a[1]) {
			return IntValue(int64(i + 1)), nil
		}
	}
	return Null, nil
}

func evalArrayCat(a []Value) (Value, error) {
	switch {
	case a[0].IsNull():
		return a[1], nil
	case a[1].IsNull():
		return a[0], nil
	}
	list := append(a[0].Elems(), a[1].Elems()...)
	if len(list) > ArrayMax {
		return Null, errArraySize()
	}
	return ArrayValue(a[0].Type.Elem(), list), nil
}
