package sql

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// code is the SQLSTATE of an error of the parser; anything else fails the test.
func code(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("not an *Error: %v", err)
	}
	return e.Code
}

// Every way to nest must end in 54001, however deep, and must work at a sensible depth.
func TestNestingIsBounded(t *testing.T) {
	for name, tc := range map[string]struct {
		head, open, core, close, tail string
	}{
		"parentheses":      {"SELECT ", "(", "1", ")", ""},
		"calls":            {"SELECT ", "f(", "1", ")", ""},
		"minus":            {"SELECT ", "- ", "1", "", ""},
		"not":              {"SELECT ", "NOT ", "a", "", ""},
		"case":             {"SELECT ", "CASE WHEN ", "a", " THEN 1 END", ""},
		"arrays":           {"SELECT ARRAY", "[", "1", "]", ""},
		"subscripts":       {"SELECT ", "a[", "1", "]", ""},
		"rows":             {"SELECT ", "ROW(", "1", ")", ""},
		"in":               {"SELECT ", "a IN (", "1", ")", ""},
		"casts":            {"SELECT ", "CAST(", "1", " AS int8)", ""},
		"scalar subquery":  {"SELECT ", "(SELECT ", "1", ")", ""},
		"derived table":    {"SELECT * FROM ", "(SELECT * FROM ", "t", ") x", ""},
		"join parentheses": {"SELECT * FROM ", "(a CROSS JOIN ", "t", ")", ""},
		"with":             {"", "WITH a AS (", "SELECT 1", ") SELECT 1", ""},
		"query parens":     {"", "(", "SELECT 1", ")", ""},
		"grouping sets":    {"SELECT a FROM t GROUP BY ", "GROUPING SETS (", "a", ")", ""},
		"exists":           {"SELECT 1 WHERE ", "EXISTS (SELECT 1 WHERE ", "a", ")", ""},
		"join of joins":    {"SELECT * FROM a ", "JOIN b ", "", "ON true ", ""},
		"filter":           {"SELECT ", "sum(x) FILTER (WHERE ", "a", ")", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text := func(n int) string {
				return tc.head + strings.Repeat(tc.open, n) + tc.core + strings.Repeat(tc.close, n) + tc.tail
			}
			if _, err := Parse(text(60)); err != nil {
				t.Errorf("60 deep: %v", err)
			}
			for _, n := range []int{250, 10_000, 300_000} {
				if _, err := Parse(text(n)); code(t, err) != CodeTooComplex {
					t.Errorf("%d deep: got %v, want %s", n, err, CodeTooComplex)
				}
			}
		})
	}
}

// A chain without parentheses is as deep a tree as one with.
func TestChainsAreBounded(t *testing.T) {
	for name, tc := range map[string]struct{ head, first, more string }{
		"sum":       {"SELECT ", "1", " + 1"},
		"concat":    {"SELECT ", "a", " || a"},
		"casts":     {"SELECT ", "a", "::text"},
		"index":     {"SELECT ", "a", "[1]"},
		"fields":    {"SELECT ", "(a)", ".b"},
		"collate":   {"SELECT ", "a", ` COLLATE "C"`},
		"zone":      {"SELECT ", "a", " AT TIME ZONE 'UTC'"},
		"joins":     {"SELECT * FROM ", "a", " CROSS JOIN a"},
		"union":     {"", "SELECT 1", " UNION SELECT 1"},
		"intersect": {"", "SELECT 1", " INTERSECT SELECT 1"},
		"compare":   {"SELECT ", "a", " = 1 IS NULL"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(tc.head + tc.first + strings.Repeat(tc.more, 70)); err != nil {
				t.Errorf("70 long: %v", err)
			}
			for _, n := range []int{250, 10_000, 300_000} {
				if _, err := Parse(tc.head + tc.first + strings.Repeat(tc.more, n)); code(t, err) != CodeTooComplex {
					t.Errorf("%d long: got %v, want %s", n, err, CodeTooComplex)
				}
			}
		})
	}
}

// What clients make long without making it deep must pass.
func TestWideIsNotDeep(t *testing.T) {
	for name, text := range map[string]string{
		"or":      "SELECT 1 WHERE a = 0" + strings.Repeat(" OR a = 1", 20_000),
		"and":     "SELECT 1 WHERE a = 0" + strings.Repeat(" AND (a = 1)", 20_000),
		"in":      "SELECT 1 WHERE a IN (1" + strings.Repeat(", 2", 100_000) + ")",
		"values":  "VALUES (1)" + strings.Repeat(", (-1)", 100_000),
		"columns": "SELECT 1" + strings.Repeat(", (a + 1) * 2", ColumnsMax-1),
		"many":    strings.Repeat("SELECT 1;", StatementsMax),
		"case":    "SELECT CASE" + strings.Repeat(" WHEN a = 1 THEN 2", 10_000) + " END",
		"siblings": "SELECT f(" + strings.Repeat("(", 190) + "1" + strings.Repeat(")", 190) +
			strings.Repeat(", (a) + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + 10 + 11 + 12", 10) + ")",
	} {
		if _, err := Parse(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSizeIsBounded(t *testing.T) {
	for name, tc := range map[string]struct{ text, code string }{
		"bytes":      {"SELECT '" + strings.Repeat("x", TextBytesMax) + "'", CodeTooComplex},
		"tokens":     {"SELECT a IN (1" + strings.Repeat(",1", TokensMax/2) + ")", CodeTooComplex},
		"statements": {strings.Repeat("SELECT 1;", StatementsMax+1), CodeTooComplex},
		"columns":    {"SELECT 1" + strings.Repeat(",1", ColumnsMax), CodeTooMany},
		"row":        {"VALUES (1" + strings.Repeat(",1", ColumnsMax) + ")", CodeTooMany},
		"order by":   {"SELECT 1 ORDER BY 1" + strings.Repeat(",1", ColumnsMax), CodeTooMany},
		"group by":   {"SELECT 1 GROUP BY 1" + strings.Repeat(",1", ColumnsMax), CodeTooMany},
		"cube":       {"SELECT 1 GROUP BY CUBE (1" + strings.Repeat(",1", ColumnsMax) + ")", CodeTooMany},
		"sets":       {"SELECT 1 GROUP BY GROUPING SETS (1" + strings.Repeat(",1", ColumnsMax) + ")", CodeTooMany},
		"on":         {"SELECT DISTINCT ON (1" + strings.Repeat(",1", ColumnsMax) + ") 1", CodeTooMany},
		"partition":  {"SELECT sum(1) OVER (PARTITION BY 1" + strings.Repeat(",1", ColumnsMax) + ")", CodeTooMany},
		"semicolons": {strings.Repeat(";", TextBytesMax), CodeTooComplex},
	} {
		if _, err := Parse(tc.text); code(t, err) != tc.code {
			t.Errorf("%s: got %v, want %s", name, err, tc.code)
		}
	}
	if _, err := Parse("SELECT '" + strings.Repeat("x", TextBytesMax-10) + "'"); err != nil {
		t.Errorf("a text just under the limit: %v", err)
	}
}

// The worst texts of 10 MB must not take memory out of proportion. The bound is 80 bytes for each byte of text.
func TestMemoryIsBounded(t *testing.T) {
	for name, unit := range map[string]string{"list": ",1", "parens": "(", "words": "a ", "rows": ",(1)", "quotes": "'", "commas": ","} {
		head := "SELECT a IN (1"
		if name == "rows" {
			head = "VALUES (1)"
		}
		text := head + strings.Repeat(unit, (TextBytesMax-len(head))/len(unit))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Parse(text)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 80*TextBytesMax {
			t.Errorf("%s: %d MB allocated in all (%v)", name, used>>20, err)
		}
	}
}

// Ten megabytes of what could be read in quadratic time. A wrong answer here is a test that does not end.
func TestTimeIsLinear(t *testing.T) {
	for name, unit := range map[string]string{
		"string parts": "'a'\n", "setting": "a.", "names": `"a".`, "comments": "/*", "comment pairs": "/**/", "lines": "--\n",
		"operators": "+ ", "doubled": "''''", "brackets": "[", "dollar": "$a$b", "escapes": `E'\\`, "casts": "::a", "equal": "=a",
		"typos": "FORM ", "words": "a ",
	} {
		for _, head := range []string{"SELECT ", "SET ", "SELECT a", "INSERT INTO t VALUES (", "SELECT E'"} {
			text := head + strings.Repeat(unit, (TextBytesMax-len(head))/len(unit))
			if _, err := Parse(text); err != nil {
				code(t, err)
				continue
			}
			switch name {
			case "string parts", "doubled", "comment pairs", "lines":
			default:
				t.Errorf("%s%s…: accepted", head, unit)
			}
		}
	}
}

func TestEncoding(t *testing.T) {
	for _, tc := range []struct {
		text string
		pos  int
	}{
		{"SELECT '\xff'", 9}, {"SELECT 'é\x00'", 10}, {"\xc3", 1}, {"SELECT '\uFFFD\xc3('", 10},
	} {
		_, err := Parse(tc.text)
		if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeEncoding || e.Pos != tc.pos {
			t.Errorf("%q: %v at %d, want %s at %d", tc.text, err, e.Pos, CodeEncoding, tc.pos)
		}
	}
	if _, err := Parse("\ufeffSELECT '\uFFFD'"); err != nil {
		t.Errorf("byte-order mark: %v", err)
	}
}

func TestParseOne(t *testing.T) {
	for text, want := range map[string]string{"": CodeSyntax, " ; -- nothing": CodeSyntax, "SELECT 1; SELECT 2": CodeSyntax, "SELECT 1;": ""} {
		if _, err := ParseOne(text); code(t, err) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestPlaces(t *testing.T) {
	text := "/* é */ SELECT a, f(b) FROM t WHERE c < 1 AND d"
	s, err := ParseOne(text)
	if err != nil {
		t.Fatal(err)
	}
	block := s.(*Query).Body.(*Select)
	where := block.Where.(*Logic)
	for want, node := range map[string]interface{ At() Pos }{
		"SELECT": s, "a": block.Items[0].Expr, "f(": block.Items[1].Expr, "t ": block.From[0], "AND": where, "<": where.Args[0], "d": where.Args[1],
	} {
		if got := text[node.At():]; !strings.HasPrefix(got, want) {
			t.Errorf("%T stands at %q, want %q", node, got, want)
		}
	}
	if got := CharPos(text, s.At()); got != 9 {
		t.Errorf("SELECT is character %d, want 9", got)
	}
}

func ExampleParseOne() {
	text := "SELECT dept, chi2_test(gender, admitted) FROM admissions GRUOP BY dept"
	_, err := ParseOne(text)
	if e, ok := errors.AsType[*Error](err); ok {
		fmt.Print(e.Caret(text))
	}
	// Output:
	// ERROR:  syntax error at or near "BY"
	// LINE 1: SELECT dept, chi2_test(gender, admitted) FROM admissions GRUOP BY dept
	//                                                                        ^
	// HINT:  did you mean GROUP instead of GRUOP?
}
