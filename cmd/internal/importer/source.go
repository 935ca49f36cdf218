package importer

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/records"
)

// row is one observation as the file has it.
type row struct {
	values [][]byte // a dimension each, in order of source.dims; nil is NULL
	count  int64
	event  int64 // Unix milliseconds; 0: the file has no time
	line   int
	raw    []byte
}

// source turns a file into rows. A *records.BadRecord is a row that cannot be counted.
type source interface {
	dims() []string
	mapping() string
	next(*row) error
	offset() int64
}

func newSource(o Options, t client.TableInfo, r io.Reader) (source, error) {
	if o.Format == "ndjson" {
		return newObjects(o, t, r)
	}
	return newSeparated(o, t, r)
}

// target is where a column of the file goes: a dimension's place, or one of these.
const (
	toCount = -1
	toTime  = -2
	toSkip  = -3
)

// plan maps columns to dimensions and keeps the table's rules for values, so that a bad value is found with its line at hand.
type plan struct {
	table client.TableInfo
	names []string // dimensions that the file gives
	info  []client.DimensionInfo
	text  []string // for the import record
}

func (p *plan) add(column string, o Options) (int, error) {
	to := column
	if m, ok := o.Columns[column]; ok {
		to = m
	}
	switch {
	case slices.Contains(o.Skip, column):
		return toSkip, nil
	case to == "count":
		p.text = append(p.text, column+"→count")
		return toCount, nil
	case to == "ts":
		p.text = append(p.text, column+"→ts")
		return toTime, nil
	}
	i := slices.IndexFunc(p.table.Dimensions, func(d client.DimensionInfo) bool { return d.Name == to })
	if i < 0 {
		return 0, fmt.Errorf("column %q: table %q has no dimension %q; its dimensions are %s (map the column with --map %s=DIMENSION or leave it out with --skip %s)",
			column, p.table.Name, to, p.dimensionNames(), column, column)
	}
	if slices.Contains(p.names, to) {
		return 0, fmt.Errorf("two columns map to dimension %q", to)
	}
	p.names, p.info = append(p.names, to), append(p.info, p.table.Dimensions[i])
	p.text = append(p.text, column+"→"+to)
	return len(p.names) - 1, nil
}

func (p *plan) dimensionNames() string {
	names := make([]string, len(p.table.Dimensions))
	for i, d := range p.table.Dimensions {
		names[i] = d.Name
	}
	return strings.Join(names, ", ")
}

func (p *plan) dims() []string  { return p.names }
func (p *plan) mapping() string { return strings.Join(p.text, ", ") }

// set puts text into r, or says why it does not fit.
func (p *plan) set(r *row, to int, text []byte, null bool) string {
	switch to {
	case toSkip:
	case toCount:
		n, reason := parseCount(string(text))
		if reason != "" {
			return reason
		}
		r.count = n
	case toTime:
		ms, reason := parseTime(string(text))
		if reason != "" {
			return reason
		}
		r.event = ms
	default:
		if null {
			text = nil
		}
		r.values[to] = text
		return checkValue(p.info[to], text)
	}
	return ""
}

func checkValue(d client.DimensionInfo, v []byte) string {
	switch {
	case v == nil && d.NotNull:
		return fmt.Sprintf("column %q is NOT NULL", d.Name)
	case v == nil:
		return ""
	case len(v) > 1<<10:
		return fmt.Sprintf("value of %q has %d bytes, the limit is 1024", d.Name, len(v))
	case d.Type == "int8":
		if _, err := strconv.ParseInt(strings.TrimSpace(string(v)), 10, 64); err != nil {
			return fmt.Sprintf("value %q of %q is not an int8", v, d.Name)
		}
	case len(d.Order) > 0 && !slices.Contains(d.Order, string(v)):
		return fmt.Sprintf("value %q of %q is not in its declared order (%s)", v, d.Name, strings.Join(d.Order, ", "))
	}
	return ""
}

// parseCount takes whole numbers only: a count that was rounded would be a wrong one.
func parseCount(s string) (int64, string) {
	s = strings.TrimSpace(s)
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err == nil && n > 0:
		return n, ""
	case err == nil && n == 0:
		return 0, "count 0 changes nothing"
	case err == nil:
		return 0, fmt.Sprintf("count %d is negative; corrections are made with INSERT", n)
	}
	if f, ferr := strconv.ParseFloat(s, 64); ferr == nil || !math.IsNaN(f) && math.IsInf(f, 0) {
		return 0, fmt.Sprintf("count %q is not a whole number between 1 and %d", s, int64(math.MaxInt64))
	}
	return 0, fmt.Sprintf("count %q is not a number", s)
}

var timeLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02"}

// parseTime takes RFC 3339, SQL timestamps (UTC if they name no zone), dates, or Unix seconds.
func parseTime(s string) (int64, string) {
	s = strings.TrimSpace(s)
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return max(t.UnixMilli(), 1), ""
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 && n < math.MaxInt64/1000 {
		return n * 1000, ""
	}
	return 0, fmt.Sprintf("time %q is neither RFC 3339 nor Unix seconds", s)
}

// separated is a CSV or TSV file with a header line.
type separated struct {
	plan
	c  *records.CSV
	to []int // by column
}

func newSeparated(o Options, t client.TableInfo, r io.Reader) (*separated, error) {
	comma := o.delimiter()
	s := &separated{plan: plan{table: t}, c: records.NewCSV(r, comma)}
	header, err := s.c.Next()
	if err == io.EOF {
		return nil, fmt.Errorf("%s is empty; its first line must name the columns", o.Path)
	}
	if err != nil {
		return nil, fmt.Errorf("header of %s: %w", o.Path, err)
	}
	for _, column := range header {
		name := strings.TrimSpace(string(column))
		to, err := s.add(name, o)
		if other := strings.IndexAny(name, ";\t|,"); err != nil && len(header) == 1 && other >= 0 {
			return nil, fmt.Errorf("header of %s is one column, %q: if its columns are separated by %q, say --delimiter %q", o.Path, name, name[other], name[other:other+1])
		}
		if err != nil {
			return nil, fmt.Errorf("header of %s: %w", o.Path, err)
		}
		s.to = append(s.to, to)
	}
	if len(s.names) == 0 {
		return nil, fmt.Errorf("header of %s names no dimension of table %q (%s)", o.Path, t.Name, s.dimensionNames())
	}
	return s, nil
}

func (s *separated) offset() int64 { return s.c.Offset() }

// next takes an empty field as NULL, as COPY does; the empty text is "".
func (s *separated) next(r *row) error {
	fields, err := s.c.Next()
	if err != nil {
		return err
	}
	line := s.c.Began()
	r.line, r.raw = line, s.c.Raw()
	if len(fields) != len(s.to) {
		return &records.BadRecord{Line: line, Raw: r.raw, Reason: fmt.Sprintf("%d fields, the header has %d", len(fields), len(s.to))}
	}
	r.reset(len(s.names))
	for i, f := range fields {
		null := len(f) == 0 && s.to[i] >= 0 && (!s.c.Quoted(i) || s.info[s.to[i]].Type != "text")
		if reason := s.set(r, s.to[i], f, null); reason != "" {
			return &records.BadRecord{Line: line, Raw: r.raw, Reason: reason}
		}
	}
	return nil
}

func (r *row) reset(dims int) {
	if len(r.values) != dims {
		r.values = make([][]byte, dims)
	}
	clear(r.values)
	r.count, r.event = 1, 0
}

// objects is an NDJSON file. Every dimension of the table is looked for in each object; what is missing is NULL.
type objects struct {
	plan
	n  *records.NDJSON
	to map[string]int
	o  Options
}

func newObjects(o Options, t client.TableInfo, r io.Reader) (*objects, error) {
	s := &objects{plan: plan{table: t}, n: records.NewNDJSON(r), to: map[string]int{}, o: o}
	named := map[string]string{} // dimension → key
	for key, to := range o.Columns {
		named[to] = key
	}
	columns := []string{}
	for _, d := range append(slices.Clone(t.Dimensions), client.DimensionInfo{Name: "count"}, client.DimensionInfo{Name: "ts"}) {
		key := d.Name
		if k, ok := named[d.Name]; ok {
			key = k
		}
		columns = append(columns, key)
	}
	for _, key := range columns {
		to, err := s.add(key, o)
		if err != nil {
			return nil, err
		}
		s.to[key] = to
	}
	return s, nil
}

func (s *objects) offset() int64 { return s.n.Offset() }

func (s *objects) next(r *row) error {
	fields, err := s.n.Next()
	if err != nil {
		return err
	}
	line := s.n.Began()
	r.line, r.raw = line, s.n.Raw()
	r.reset(len(s.names))
	for key, f := range fields {
		to, ok := s.to[key]
		if !ok {
			if slices.Contains(s.o.Skip, key) {
				continue
			}
			return &records.BadRecord{Line: line, Raw: r.raw, Reason: fmt.Sprintf("key %q is no dimension of table %q (leave it out with --skip %s)", key, s.table.Name, key)}
		}
		if reason := s.set(r, to, []byte(f.Text), f.Null); reason != "" {
			return &records.BadRecord{Line: line, Raw: r.raw, Reason: reason}
		}
	}
	for i := range r.values {
		if reason := checkValue(s.info[i], r.values[i]); reason != "" {
			return &records.BadRecord{Line: line, Raw: r.raw, Reason: reason}
		}
	}
	return nil
}
