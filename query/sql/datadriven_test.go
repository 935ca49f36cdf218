package sql

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write what the parser answers into testdata")

// TestDatadriven runs testdata/*.txt. A case is a directive, the input, ---- and the answer up to the next blank line:
//
//	print   the statements in canonical form; each must read back as the same tree
//	expr    the same for one expression
//	tree    the tree of one statement, without places
//	error   the error as psql would show it
func TestDatadriven(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, failures := runCases(string(text), answer)
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, f := range failures {
				t.Error(f)
			}
		})
	}
}

// runCases answers every case of text and gives the text as it should be, with the cases that differ.
func runCases(text string, answer func(directive, input string) string) (rewritten string, failures []string) {
	var out strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i] + "\n")
			i++
			continue
		}
		first := i
		for i < len(lines) && lines[i] != "----" {
			i++
		}
		input := strings.Join(lines[first+1:i], "\n")
		end := i + 1
		for end < len(lines) && lines[end] != "" {
			end++
		}
		want := strings.Join(lines[min(i+1, end):end], "\n")
		got := strings.TrimRight(answer(lines[first], input), "\n")
		if got != want {
			failures = append(failures, fmt.Sprintf("line %d: %s\n%s\ngot:\n%s\nwant:\n%s", first+1, lines[first], input, got, want))
		}
		fmt.Fprintf(&out, "%s\n%s\n----\n%s\n", lines[first], input, got)
		i = end
	}
	return out.String(), failures
}

func answer(directive, input string) string {
	switch directive {
	case "print":
		stmts, err := Parse(input)
		if err != nil {
			return caret(err, input)
		}
		var out strings.Builder
		for _, s := range stmts {
			text := Print(s)
			out.WriteString(text + "\n")
			if again, err := ParseOne(text); err != nil {
				out.WriteString("DOES NOT READ BACK: " + caret(err, text))
			} else if dump(again) != dump(s) {
				out.WriteString("READS BACK AS ANOTHER TREE: " + Print(again) + "\n")
			}
		}
		return out.String()
	case "expr":
		e, err := ParseExpr(input)
		if err != nil {
			return caret(err, input)
		}
		text := PrintExpr(e)
		if again, err := ParseExpr(text); err != nil {
			return text + "\nDOES NOT READ BACK: " + caret(err, text)
		} else if dump(again) != dump(e) {
			return text + "\nREADS BACK AS ANOTHER TREE: " + dump(again)
		}
		return text
	case "tree":
		s, err := ParseOne(input)
		if err != nil {
			return caret(err, input)
		}
		return dump(s)
	case "error":
		stmts, err := Parse(input)
		if err == nil {
			return fmt.Sprintf("no error: %d statements", len(stmts))
		}
		e, _ := errors.AsType[*Error](err)
		return e.Code + "\n" + e.Caret(input)
	}
	return "unknown directive " + directive
}

func caret(err error, text string) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Caret(text)
	}
	return err.Error()
}

var posType = reflect.TypeFor[Pos]()

// dump writes a tree without places and without what is zero, one node after another in parentheses.
func dump(v any) string {
	var b strings.Builder
	dumpValue(&b, reflect.ValueOf(v))
	return b.String()
}

func dumpValue(b *strings.Builder, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		dumpValue(b, v.Elem())
	case reflect.Slice:
		b.WriteString("[")
		for i := range v.Len() {
			if i > 0 {
				b.WriteString(" ")
			}
			dumpValue(b, v.Index(i))
		}
		b.WriteString("]")
	case reflect.Struct:
		b.WriteString(v.Type().Name() + "{")
		sep := ""
		for i := range v.NumField() {
			f := v.Field(i)
			if f.Type() == posType || f.IsZero() && !(v.Type() == reflect.TypeFor[Literal]() && v.Type().Field(i).Name == "Kind") {
				continue
			}
			b.WriteString(sep + v.Type().Field(i).Name + ":")
			sep = " "
			dumpValue(b, f)
		}
		b.WriteString("}")
	case reflect.String:
		fmt.Fprintf(b, "%q", v.String())
	default:
		fmt.Fprintf(b, "%v", v.Interface())
	}
}
