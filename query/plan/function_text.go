package plan

import (
	"crypto/md5"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/quipudb/quipu/server/errcode"
)

// textBytesMax bounds what repeat, lpad and the like can make.
const textBytesMax = 1 << 20

func text1(name string, f func(string) string) *Function {
	return fn(name, Text, func(a []Value) (Value, error) { return TextValue(f(a[0].str)), nil }, Text)
}

func trimWith(name string, f func(s, cutset string) string) []*Function {
	return []*Function{
		text1(name, func(s string) string { return f(s, " ") }),
		fn(name, Text, func(a []Value) (Value, error) { return TextValue(f(a[0].str, a[1].str)), nil }, Text, Text),
	}
}

// substring counts characters from 1; a start before 1 uses up length, as in PostgreSQL.
func substring(s string, start, length int64) (string, error) {
	if length < 0 {
		return "", errcode.New(errcode.InvalidOption, "negative substring length not allowed")
	}
	end, ok := addInt(start, length)
	if !ok {
		end = 1 << 62
	}
	from, to, at := len(s), len(s), int64(0)
	for i := range s {
		at++
		if at == max(start, 1) {
			from = i
		}
		if at == end {
			to = i
			break
		}
	}
	if end <= 1 || from >= to {
		return "", nil
	}
	return s[from:to], nil
}

func pad(a []Value, left bool) (Value, error) {
	want, fill := a[1].num, " "
	if len(a) == 3 {
		fill = a[2].str
	}
	have := int64(utf8.RuneCountInString(a[0].str))
	if want <= have || fill == "" {
		s, err := substring(a[0].str, 1, max(min(want, have), 0))
		return TextValue(s), err
	}
	if want > textBytesMax {
		return Null, errcode.New(errcode.TooLarge, "padding to %d characters is above the limit of %d", want, textBytesMax)
	}
	n := want - have
	runes := []rune(strings.Repeat(fill, int(n)/utf8.RuneCountInString(fill)+1))[:n]
	if left {
		return TextValue(string(runes) + a[0].str), nil
	}
	return TextValue(a[0].str + string(runes)), nil
}

// patterns remembers compiled patterns; it is emptied when full.
var patterns = struct {
	sync.Mutex
	m map[string]*regexp.Regexp
}{m: map[string]*regexp.Regexp{}}

const patternsMax = 256

func compilePattern(key, expr string) (*regexp.Regexp, error) {
	patterns.Lock()
	defer patterns.Unlock()
	if re, ok := patterns.m[key]; ok {
		return re, nil
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		if bad, ok := errors.AsType[*syntax.Error](err); ok { // without the expression, which is ours
			err = errors.New(bad.Code.String())
		}
		return nil, errcode.New(errcode.InvalidOption, "invalid regular expression: %v", err)
	}
	if len(patterns.m) >= patternsMax {
		clear(patterns.m)
	}
	patterns.m[key] = re
	return re, nil
}

// like matches a LIKE pattern: % any text, _ one character, escape takes the next literally.
func like(s, pattern, escape string, fold bool) (bool, error) {
	key := "L" + escape + "\x00" + pattern
	if fold {
		key = "I" + key
	}
	patterns.Lock()
	re, ok := patterns.m[key]
	patterns.Unlock()
	if ok {
		return re.MatchString(s), nil
	}
	if utf8.RuneCountInString(escape) > 1 {
		return false, errcode.New(errcode.InvalidOption, "invalid escape string: %q", escape).WithHint("ESCAPE takes one character, or none")
	}
	var b strings.Builder
	b.WriteString("(?s")
	if fold {
		b.WriteByte('i')
	}
	b.WriteString(")^")
	runes := []rune(pattern)
	for i := 0; i < len(runes); i++ {
		switch r := runes[i]; {
		case escape != "" && string(r) == escape:
			if i++; i == len(runes) {
				return false, errcode.New(errcode.InvalidOption, "LIKE pattern must not end with escape character")
			}
			b.WriteString(regexp.QuoteMeta(string(runes[i])))
		case r == '%':
			b.WriteString(".*")
		case r == '_':
			b.WriteByte('.')
		default:
			b.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	b.WriteByte('$')
	re, err := compilePattern(key, b.String())
	if err != nil {
		return false, err
	}
	return re.MatchString(s), nil
}

func likeFunction(name string, fold bool) *Function {
	return fn(name, Bool, func(a []Value) (Value, error) {
		hit, err := like(a[0].str, a[1].str, a[2].str, fold)
		return BoolValue(hit), err
	}, Text, Text, Text)
}

func matchFunction(name string, flags string, want bool) *Function {
	return fn(name, Bool, func(a []Value) (Value, error) {
		expr := "(?" + flags + ")" + a[1].str
		re, err := compilePattern("R"+expr, expr)
		if err != nil {
			return Null, err
		}
		return BoolValue(re.MatchString(a[0].str) == want), nil
	}, Text, Text)
}

func concatText(a []Value) (Value, error) {
	var b strings.Builder
	for _, v := range a {
		b.WriteString(v.String())
	}
	return TextValue(b.String()), nil
}

// joinText is a || b, which spells a bool as its cast to text does.
func joinText(a []Value) (Value, error) {
	l, _ := castText(a[0])
	r, _ := castText(a[1])
	return TextValue(l.str + r.str), nil
}

func initcap(s string) string {
	start := true
	return strings.Map(func(r rune) rune {
		in := unicode.IsLetter(r) || unicode.IsDigit(r)
		defer func() { start = !in }()
		if in && start {
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, s)
}

var (
	fnConcatOp = &Function{Name: "||", Args: []Type{Unknown, Unknown}, Result: Text, eval: joinText}
	fnLike     = likeFunction("like", false)
	fnILike    = likeFunction("ilike", true)
)

var textFunctions = append(append(append([]*Function{
	fnConcatOp, fnLike, fnILike, fnSimilar,
	text1("lower", strings.ToLower), text1("upper", strings.ToUpper), text1("initcap", initcap),
	fn("length", Int8, func(a []Value) (Value, error) { return IntValue(int64(utf8.RuneCountInString(a[0].str))), nil }, Text),
	fn("octet_length", Int8, func(a []Value) (Value, error) { return IntValue(int64(len(a[0].str))), nil }, Text),
	fn("substring", Text, func(a []Value) (Value, error) {
		s, err := substring(a[0].str, a[1].num, 1<<61)
		return TextValue(s), err
	}, Text, Int8),
	fn("substring", Text, func(a []Value) (Value, error) {
		s, err := substring(a[0].str, a[1].num, a[2].num)
		return TextValue(s), err
	}, Text, Int8, Int8),
	fn("left", Text, func(a []Value) (Value, error) {
		n := a[1].num
		if n < 0 {
			n = max(0, int64(utf8.RuneCountInString(a[0].str))+n)
		}
		s, err := substring(a[0].str, 1, n)
		return TextValue(s), err
	}, Text, Int8),
	fn("right", Text, func(a []Value) (Value, error) {
		n, have := a[1].num, int64(utf8.RuneCountInString(a[0].str))
		if n < 0 {
			n = max(0, have+n)
		}
		s, err := substring(a[0].str, max(have-n, 0)+1, 1<<61)
		return TextValue(s), err
	}, Text, Int8),
	fn("strpos", Int8, func(a []Value) (Value, error) {
		i := strings.Index(a[0].str, a[1].str)
		if i < 0 {
			return IntValue(0), nil
		}
		return IntValue(int64(utf8.RuneCountInString(a[0].str[:i])) + 1), nil
	}, Text, Text),
	fn("starts_with", Bool, func(a []Value) (Value, error) { return BoolValue(strings.HasPrefix(a[0].str, a[1].str)), nil }, Text, Text),
	fn("replace", Text, func(a []Value) (Value, error) {
		if a[1].str == "" {
			return a[0], nil
		}
		if n := strings.Count(a[0].str, a[1].str); n*len(a[2].str) > textBytesMax {
			return Null, errcode.New(errcode.TooLarge, "replace would make more than %d bytes", textBytesMax)
		}
		return TextValue(strings.ReplaceAll(a[0].str, a[1].str, a[2].str)), nil
	}, Text, Text, Text),
	fn("split_part", Text, func(a []Value) (Value, error) {
		parts, n := strings.Split(a[0].str, a[1].str), a[2].num
		if a[1].str == "" {
			parts = []string{a[0].str}
		}
		switch {
		case n == 0:
			return Null, errcode.New(errcode.InvalidOption, "field position must not be zero")
		case n < 0:
			n += int64(len(parts)) + 1
		}
		if n < 1 || n > int64(len(parts)) {
			return TextValue(""), nil
		}
		return TextValue(parts[n-1]), nil
	}, Text, Text, Int8),
	fn("repeat", Text, func(a []Value) (Value, error) {
		if n := a[1].num; n > 0 && int64(len(a[0].str)) > 0 && n > textBytesMax/int64(len(a[0].str)) {
			return Null, errcode.New(errcode.TooLarge, "repeat would make more than %d bytes", textBytesMax)
		}
		return TextValue(strings.Repeat(a[0].str, int(max(a[1].num, 0)))), nil
	}, Text, Int8),
	text1("reverse", func(s string) string {
		r := []rune(s)
		for i, j := 0, len(r)-1; i < j; i, j = i+1, j-1 {
			r[i], r[j] = r[j], r[i]
		}
		return string(r)
	}),
	fn("lpad", Text, func(a []Value) (Value, error) { return pad(a, true) }, Text, Int8),
	fn("lpad", Text, func(a []Value) (Value, error) { return pad(a, true) }, Text, Int8, Text),
	fn("rpad", Text, func(a []Value) (Value, error) { return pad(a, false) }, Text, Int8),
	fn("rpad", Text, func(a []Value) (Value, error) { return pad(a, false) }, Text, Int8, Text),
	{Name: "concat", Args: []Type{Unknown}, More: true, Result: Text, nullable: true, eval: concatText},
	{Name: "concat_ws", Args: []Type{Text, Unknown}, More: true, Result: Text, nullable: true, eval: func(a []Value) (Value, error) {
		if a[0].IsNull() {
			return Null, nil
		}
		var parts []string
		for _, v := range a[1:] {
			if !v.IsNull() {
				parts = append(parts, v.String())
			}
		}
		return TextValue(strings.Join(parts, a[0].str)), nil
	}},
	formatFunction,
	matchFunction("~", "", true), matchFunction("~*", "i", true), matchFunction("!~", "", false), matchFunction("!~*", "i", false),
	fn("regexp_replace", Text, regexpReplace, Text, Text, Text), fn("regexp_replace", Text, regexpReplace, Text, Text, Text, Text),
	fn("~~", Bool, likeOperator(false, true), Text, Text), fn("!~~", Bool, likeOperator(false, false), Text, Text),
	fn("~~*", Bool, likeOperator(true, true), Text, Text), fn("!~~*", Bool, likeOperator(true, false), Text, Text),
	fn("chr", Text, func(a []Value) (Value, error) {
		n := a[0].num
		switch {
		case n < 0:
			return Null, errcode.New(errcode.InvalidOption, "character number must be positive")
		case n == 0:
			return Null, errcode.New(errcode.TooLarge, "null character not permitted")
		case n > utf8.MaxRune:
			return Null, errcode.New(errcode.TooLarge, "requested character too large for encoding: %d", n)
		case !utf8.ValidRune(rune(n)):
			return Null, errcode.New(errcode.TooLarge, "requested character not valid for encoding: %d", n)
		}
		return TextValue(string(rune(n))), nil
	}, Int8),
	fn("ascii", Int8, func(a []Value) (Value, error) {
		r, _ := utf8.DecodeRuneInString(a[0].str)
		if a[0].str == "" {
			r = 0
		}
		return IntValue(int64(r)), nil
	}, Text),
	fn("translate", Text, func(a []Value) (Value, error) { return TextValue(translate(a[0].str, a[1].str, a[2].str)), nil }, Text, Text, Text),
	fn("md5", Text, func(a []Value) (Value, error) { return TextValue(fmt.Sprintf("%x", md5.Sum([]byte(a[0].str)))), nil }, Text),
	fn("overlay", Text, overlay, Text, Text, Int8), fn("overlay", Text, overlay, Text, Text, Int8, Int8),
}, trimWith("btrim", strings.Trim)...), trimWith("ltrim", strings.TrimLeft)...), trimWith("rtrim", strings.TrimRight)...)
