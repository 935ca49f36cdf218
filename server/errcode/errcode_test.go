package errcode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http/httptest"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// full is an error of code c with every field set that the code allows.
func full(c Code) *Error {
	e := New(c, "column %q of table %q", "a", "t").WithDetail("more").WithHint("do this").At(17).
		Add("rows[3].values.a", "is too long").Add("rows[4]", "is empty")
	if e.Retryable() {
		e.After(1500 * time.Millisecond)
	}
	return e
}

func TestEveryCodeTravelsBothWays(t *testing.T) {
	for _, row := range Table {
		t.Run(string(row.Code), func(t *testing.T) {
			e := full(row.Code)
			s := e.Status()
			if s.Code() != row.GRPC {
				t.Errorf("gRPC code %v, want %v", s.Code(), row.GRPC)
			}
			if got := FromStatus(s); !reflect.DeepEqual(got, e) {
				t.Errorf("over gRPC: %+v, want %+v", got, e)
			}
			if got := From(fmt.Errorf("send: %w", s.Err())); !reflect.DeepEqual(got, e) {
				t.Errorf("From a wrapped status: %+v, want %+v", got, e)
			}
			w := httptest.NewRecorder()
			WriteHTTP(w, httptest.NewRequest("POST", "/v1/query?sql=x", nil), e)
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if w.Code != row.HTTP || p.Status != row.HTTP || p.Instance != "/v1/query" {
				t.Errorf("HTTP %d, body %+v, want %d", w.Code, p, row.HTTP)
			}
			if got := p.Error(); !reflect.DeepEqual(got, e) {
				t.Errorf("over HTTP: %+v, want %+v", got, e)
			}
			// PostgreSQL has one state for everything but tables, columns and functions that does not exist, and one for whatever ends a statement.
			if got, ok := BySQLState(row.SQLState); !ok || got != row && row.SQLState != "42704" && row.SQLState != "57014" {
				t.Errorf("SQLSTATE %s belongs to %s too", row.SQLState, got.Code)
			}
		})
	}
}

func TestRowsAreWellFormed(t *testing.T) {
	seen := map[Code]bool{}
	for _, r := range Table {
		if seen[r.Code] {
			t.Errorf("%s stands twice", r.Code)
		}
		seen[r.Code] = true
		if len(r.SQLState) != 5 || r.Title == "" || r.GRPC == codes.OK || r.HTTP < 400 || r.HTTP > 599 {
			t.Errorf("%+v", r)
		}
		if _, err := json.Marshal(r.GRPC); err != nil {
			t.Errorf("%s: %v", r.Code, err)
		}
		var c codes.Code
		if err := c.UnmarshalJSON([]byte(`"` + grpcName(r) + `"`)); err != nil || c != r.GRPC {
			t.Errorf("%s: name %s is not of %v: %v", r.Code, grpcName(r), r.GRPC, err)
		}
	}
}

// TestEveryConstantHasARow reads code.go, so that a constant cannot be forgotten in the table.
func TestEveryConstantHasARow(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "Code" {
			return true
		}
		name, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := byCode[name]; !ok {
			t.Errorf("%s has no row", name)
		}
		n++
		return true
	})
	if n != len(Table) {
		t.Errorf("%d constants, %d rows", n, len(Table))
	}
}

type named struct{ error }

func (named) ErrorCode() string { return "LATE" }

func TestFrom(t *testing.T) {
	inner := New(Busy, "queue is full")
	for name, tc := range map[string]struct {
		err  error
		want Code
	}{
		"ours, wrapped":      {fmt.Errorf("write: %w", inner), Busy},
		"by method":          {fmt.Errorf("apply: %w", named{errors.New("window dropped")}), Late},
		"deadline":           {fmt.Errorf("read: %w", context.DeadlineExceeded), Timeout},
		"canceled":           {context.Canceled, Canceled},
		"grpc's own":         {status.Error(codes.ResourceExhausted, "grpc: received message larger than max"), TooLarge},
		"status of others":   {status.Error(codes.Unknown, "?"), Internal},
		"anything else":      {errors.New("boom"), Internal},
		"cause is kept":      {New(Unavailable, "shard 3: %w", context.DeadlineExceeded), Unavailable},
		"deadline in status": {status.FromContextError(context.DeadlineExceeded).Err(), Timeout},
	} {
		if got := From(tc.err); got.Code != tc.want || got.Message == "" {
			t.Errorf("%s: From(%v) = %+v, want %s", name, tc.err, got, tc.want)
		}
	}
	if From(nil) != nil {
		t.Error("From(nil) is not nil")
	}
	if !errors.Is(New(Unavailable, "shard 3: %w", context.DeadlineExceeded), context.DeadlineExceeded) {
		t.Error("the cause is lost")
	}
	if !errors.Is(fmt.Errorf("x: %w", inner), &Error{Code: Busy}) || errors.Is(inner, &Error{Code: Late}) {
		t.Error("errors.Is does not compare codes")
	}
}

func TestStatusStaysSmall(t *testing.T) {
	e := New(Invalid, "%s", strings.Repeat("ä", 5000)).WithHint("%s\xff", strings.Repeat("é", 5000)).WithDetail("%s", strings.Repeat("x", 5000))
	for range 1000 {
		e.Add(strings.Repeat("f", 300), "%s", strings.Repeat("m", 300))
	}
	s := e.Status()
	if n := proto.Size(s.Proto()); n > 8<<10 {
		t.Errorf("status has %d bytes, want at most 8 KiB", n)
	}
	back := FromStatus(s)
	if len(back.Violations) != violationsMax+1 || back.Violations[violationsMax].Message != "and 984 more" {
		t.Errorf("%d violations, the last %v", len(back.Violations), back.Violations[len(back.Violations)-1])
	}
	if !utf8.ValidString(back.Message) || !utf8.ValidString(back.Hint) {
		t.Error("a text was cut inside a character")
	}
}

func ExampleError() {
	err := New(UnknownColumn, "table %q has no column %q", "admissions", "gendre").WithHint("did you mean %q?", "gender").At(18)
	fmt.Println(err)
	fmt.Println(err.Status().Code(), Of(err.Code).HTTP, Of(err.Code).SQLState)
	// Output:
	// UNKNOWN_COLUMN: table "admissions" has no column "gendre"
	// InvalidArgument 400 42703
}
