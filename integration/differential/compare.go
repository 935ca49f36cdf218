package differential

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Result is what a side answers: of several statements in one text, one after the other.
type Result struct {
	Sets []Set
	Code string // SQLSTATE of the error, "" for none
	Text string // of the error
	Copy string // what COPY TO gave
}

// Set is the rows of one statement.
type Set struct {
	Columns []Column
	Rows    [][]string // as text; Null is NULL
	Tag     string
}

// Column is a column as the wire describes it.
type Column struct {
	Name string
	OID  uint32
}

// Null stands for NULL among texts.
const Null = "\x00NULL"

// Rows counts the rows of r.
func (r *Result) Rows() int {
	count := strings.Count(r.Copy, "\n")
	for _, s := range r.Sets {
		count += len(s.Rows)
	}
	return count
}

// quipuTypes are the types of Quipu that stand for those of PostgreSQL.
var quipuTypes = map[uint32]uint32{
	21: 20, 23: 20, 26: 20, // int2, int4, oid: int8
	700: 701, 1700: 701, // float4, numeric: float8
	1043: 25, 1042: 25, 19: 25, 705: 25, // varchar, bpchar, name, unknown: text
	1082: 1184, 1114: 1184, // date, timestamp: timestamptz
	3802: 114, 1005: 1016, 1007: 1016, 1231: 1022, 1021: 1022, 1015: 1009, 1003: 1009,
}

const (
	oidInt8    = 20
	oidFloat8  = 701
	oidNumeric = 1700
	oidDate    = 1082
	oidTime    = 1114
)

// Compare says how the answers to s differ; nil if they are equal.
func Compare(s *Statement, quipu, postgres *Result) error {
	if quipu.Code != "" || postgres.Code != "" {
		return compareErrors(quipu, postgres)
	}
	if s.Silent {
		return nil
	}
	if quipu.Copy != postgres.Copy {
		return fmt.Errorf("COPY gives\n%s\nPostgreSQL\n%s", clip(quipu.Copy), clip(postgres.Copy))
	}
	if len(quipu.Sets) != len(postgres.Sets) {
		return fmt.Errorf("%d results, PostgreSQL %d", len(quipu.Sets), len(postgres.Sets))
	}
	for i, q := range quipu.Sets {
		if err := compareSets(s, q, postgres.Sets[i]); err != nil {
			return err
		}
	}
	return nil
}

func clip(s string) string {
	if len(s) > 600 {
		return s[:600] + "…"
	}
	return s
}

// compareErrors wants the class of the SQLSTATE to be the same.
func compareErrors(q, p *Result) error {
	switch {
	case q.Code == "" && p.Code == "42803" && strings.HasPrefix(p.Text, "subquery uses ungrouped column"):
		return nil // on purpose: PostgreSQL finds only plain columns of GROUP BY again in a subquery, not expressions
	case q.Code == "54000" && p.Code == "" && strings.Contains(q.Text, "65536"):
		return nil // on purpose: the bound of an array
	case q.Code == "":
		return fmt.Errorf("no error, PostgreSQL: %s %s", p.Code, p.Text)
	case p.Code == "":
		return fmt.Errorf("%s %s, PostgreSQL has no error", q.Code, q.Text)
	case q.Code[:2] != p.Code[:2]:
		return fmt.Errorf("%s %s, PostgreSQL: %s %s", q.Code, q.Text, p.Code, p.Text)
	}
	return nil
}

func compareSets(s *Statement, q, p Set) error {
	if q.Tag != p.Tag {
		return fmt.Errorf("command tag %q, PostgreSQL %q", q.Tag, p.Tag)
	}
	if len(q.Columns) != len(p.Columns) {
		return fmt.Errorf("%d columns, PostgreSQL %d", len(q.Columns), len(p.Columns))
	}
	for i, c := range q.Columns {
		want := p.Columns[i].OID
		if t, ok := quipuTypes[want]; ok {
			want = t
		}
		sum := c.OID == oidInt8 && p.Columns[i].OID == oidNumeric // sum(int8) stays int8
		if c.Name != p.Columns[i].Name || c.OID != want && !sum {
			return fmt.Errorf("column %d is %q of type %d, PostgreSQL %q of type %d", i+1, c.Name, c.OID, p.Columns[i].Name, p.Columns[i].OID)
		}
	}
	if len(q.Rows) != len(p.Rows) {
		return fmt.Errorf("%d rows, PostgreSQL %d", len(q.Rows), len(p.Rows))
	}
	left, right := canonical(q), canonical(p)
	if !s.Ordered {
		if err := compareKeys(s.Keys, q, p, left, right); err != nil {
			return err
		}
		slices.SortFunc(left, slices.Compare[[]string])
		slices.SortFunc(right, slices.Compare[[]string])
	}
	for r := range left {
		for c := range left[r] {
			if left[r][c] != right[r][c] && !close(left[r][c], right[r][c], p.Columns[c].OID) {
				return fmt.Errorf("row %d, column %d: %q, PostgreSQL %q\n%q\n%q", r+1, c+1, left[r][c], right[r][c], left[r], right[r])
			}
		}
	}
	return nil
}

// compareKeys compares the columns that the rows are ordered by, in that order.
func compareKeys(keys []int, q, p Set, left, right [][]string) error {
	for r := range left {
		for _, k := range keys {
			if k < len(p.Columns) && left[r][k] != right[r][k] && !close(left[r][k], right[r][k], p.Columns[k].OID) {
				return fmt.Errorf("row %d in order, column %d: %q, PostgreSQL %q", r+1, k+1, q.Rows[r][k], p.Rows[r][k])
			}
		}
	}
	return nil
}

// canonical spells values of types that only PostgreSQL has as those that stand for them.
func canonical(s Set) [][]string {
	out := make([][]string, len(s.Rows))
	for r, row := range s.Rows {
		out[r] = slices.Clone(row)
		for c, v := range row {
			if v == Null {
				continue
			}
			switch s.Columns[c].OID {
			case oidNumeric, oidFloat8:
				if f, err := strconv.ParseFloat(v, 64); err == nil {
					out[r][c] = strconv.FormatFloat(f, 'g', 12, 64) // so that sorting brings together what is close
				}
			case oidDate:
				out[r][c] = v + " 00:00:00+00"
			case oidTime:
				out[r][c] = v + "+00"
			}
		}
	}
	return out
}

// close says whether two numbers are equal but for the last bits.
func close(a, b string, oid uint32) bool {
	if oid != oidFloat8 && oid != oidNumeric {
		return false
	}
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && math.Abs(x-y) <= 1e-9*math.Max(math.Abs(x), math.Abs(y))
}
