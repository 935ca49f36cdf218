package query

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quipudb/quipu/query/catalog"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

// setting is one that sessions have.
type setting struct {
	name, value, about string
	check              func(value string) error
}

// known are the settings. Clients of PostgreSQL set some that change nothing here.
var known = []setting{
	{"application_name", "", "name of the program that asks", nil},
	{"client_encoding", "UTF8", "always UTF8", oneOf("UTF8", "utf8", "UTF-8")},
	{"datestyle", "ISO, MDY", "always ISO", nil},
	{"extra_float_digits", "1", "floats always have all digits", nil},
	{"password_encryption", "scram-sha-256", "always scram-sha-256", oneOf("scram-sha-256")},
	{"quipu.force_mode", "auto", "how tests are cut, for checks: auto, local, sums, margins or cells", oneOf("auto", "local", "sums", "margins", "cells")},
	{"quipu.max_staleness", "", "how old a stale read may be", isSpan},
	{"quipu.memory_limit", "256MiB", "memory of one query", isBytes},
	{"quipu.min_index", "", "what a session read must hold, as receipts give it", nil},
	{"quipu.parallelism", "0", "goroutines of one scan; 0 is one for each processor", isCount},
	{"quipu.read_consistency", "strict", "strict, linearizable, session or stale", oneOf("strict", "linearizable", "session", "stale")},
	{"search_path", "public", "schemas; tables are in public", nil},
	{"server_version", "15.0 (quipu 0.1)", "read only", readOnly},
	{"server_version_num", "150000", "read only", readOnly},
	{"standard_conforming_strings", "on", "always on", oneOf("on")},
	{"statement_timeout", "0", "time of one statement; 0 has no bound of its own", isSpan},
	{"timezone", "UTC", "always UTC", oneOf("UTC", "utc", "Etc/UTC", "GMT")},
	{"transaction_isolation", "serializable", "read only", nil},
}

func oneOf(values ...string) func(string) error {
	return func(v string) error {
		if slices.Contains(values, v) {
			return nil
		}
		return errcode.New(errcode.InvalidOption, "invalid value %q", v).WithHint("it may be %s", strings.Join(values, ", "))
	}
}

func readOnly(string) error { return errcode.New(errcode.InvalidOption, "it cannot be changed") }

func isCount(v string) error {
	if n, err := strconv.ParseInt(v, 10, 32); err != nil || n < 0 || n > 256 {
		return errcode.New(errcode.InvalidOption, "invalid value %q", v).WithHint("give a whole number from 0 to 256")
	}
	return nil
}

func isBytes(v string) error {
	if n, ok := parseBytes(v); !ok || n < 1<<20 {
		return errcode.New(errcode.InvalidOption, "invalid value %q", v).WithHint("give a size of at least 1MiB, such as 512MiB")
	}
	return nil
}

func isSpan(v string) error {
	if _, ok := parseSpan(v); !ok {
		return errcode.New(errcode.InvalidOption, "invalid value %q", v).WithHint("give a time such as '5s' or '200ms', or a number of milliseconds")
	}
	return nil
}

func parseBytes(v string) (int64, bool) {
	for suffix, unit := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30} {
		if number, ok := strings.CutSuffix(v, suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
			return n * unit, err == nil && n >= 0
		}
	}
	n, err := strconv.ParseInt(v, 10, 64)
	return n, err == nil && n >= 0
}

// parseSpan takes a number of milliseconds, or a duration in Go's or PostgreSQL's units.
func parseSpan(v string) (time.Duration, bool) {
	if v == "" {
		return 0, true
	}
	if n, err := strconv.ParseInt(v, 10, 40); err == nil {
		return time.Duration(n) * time.Millisecond, n >= 0
	}
	for suffix, unit := range map[string]time.Duration{"min": time.Minute, "d": 24 * time.Hour} {
		if number, ok := strings.CutSuffix(v, suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
			return time.Duration(n) * unit, err == nil && n >= 0 && n < 1<<16
		}
	}
	d, err := time.ParseDuration(strings.ReplaceAll(v, " ", ""))
	return d, err == nil && d >= 0
}

// spanText is how a time shows: in the largest unit that it is whole in, as in PostgreSQL.
func spanText(v string) string {
	d, ok := parseSpan(v)
	if !ok || d == 0 {
		return v
	}
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if d%u.unit == 0 {
			return strconv.FormatInt(int64(d/u.unit), 10) + u.name
		}
	}
	return v
}

// Usable are those of the settings that this release takes: what was right when it was kept may not be any more.
func Usable(of map[string]string) map[string]string {
	out := settings{}
	for name, value := range of {
		_ = out.set(name, value) // what is refused is left out
	}
	return out
}

// settings are those that differ from their defaults.
type settings map[string]string

func find(name string) (*setting, error) {
	for i := range known {
		if known[i].name == name {
			return &known[i], nil
		}
	}
	names := make([]string, len(known))
	for i := range known {
		names[i] = known[i].name
	}
	e := errcode.New(errcode.UnknownSetting, "unrecognized configuration parameter %q", name)
	if near, ok := plan.Nearest(name, names); ok {
		return nil, e.WithHint("did you mean %q?", near)
	}
	return nil, e.WithHint("SHOW ALL lists them")
}

func (s settings) set(name, value string) error {
	name = strings.ToLower(name)
	k, err := find(name)
	if err != nil {
		return err
	}
	if k.check != nil {
		if err := k.check(value); err != nil {
			e := *errcode.From(err)
			e.Message = "parameter " + strconv.Quote(name) + ": " + e.Message
			return &e
		}
	}
	if name == "statement_timeout" || name == "quipu.max_staleness" {
		value = spanText(value)
	}
	s[name] = value
	return nil
}

func (s settings) get(name string) string {
	if v, ok := s[name]; ok {
		return v
	}
	k, err := find(name)
	if err != nil {
		return ""
	}
	return k.value
}

func (s settings) lookup(name string) (string, bool) {
	if _, err := find(strings.ToLower(name)); err != nil {
		return "", false
	}
	return s.get(strings.ToLower(name)), true
}

// list shows all settings.
func (s settings) list() []catalog.Setting {
	out := make([]catalog.Setting, len(known))
	for i, k := range known {
		out[i] = catalog.Setting{Name: k.name, Value: s.get(k.name), Default: k.value, About: k.about}
	}
	return out
}

func (s settings) number(name string) int64 {
	n, _ := strconv.ParseInt(s.get(name), 10, 64)
	return n
}

func (s settings) bytes(name string) int64 {
	n, _ := parseBytes(s.get(name))
	return n
}

func (s settings) duration(name string) time.Duration {
	d, _ := parseSpan(s.get(name))
	return d
}

func (s *session) set(st *sql.Set, sink Sink) error {
	value, err := s.settingValue(st)
	if err != nil {
		return err
	}
	if err := s.settings.set(st.Name, value); err != nil {
		return s.at(err, st.Pos)
	}
	s.changed[st.Name] = s.settings.get(st.Name)
	return s.done(sink, "SET")
}

func (s *session) settingValue(st *sql.Set) (string, error) {
	if st.Values == nil {
		k, err := find(st.Name)
		if err != nil {
			return "", s.at(err, st.Pos)
		}
		return k.value, nil
	}
	var parts []string
	for _, x := range st.Values {
		l, ok := x.(*sql.Literal)
		if !ok {
			return "", errcode.New(errcode.InvalidOption, "a setting takes a literal").At(sql.CharPos(s.r.SQL, x.At()))
		}
		parts = append(parts, l.Text)
	}
	return strings.Join(parts, ", "), nil
}

func (s *session) at(err error, pos sql.Pos) error {
	e := *errcode.From(err)
	e.Position = sql.CharPos(s.r.SQL, pos)
	return &e
}

func (s *session) reset(st *sql.Reset, sink Sink) error {
	for _, k := range known {
		if st.Name != "all" && st.Name != k.name || k.name == "server_version" {
			continue
		}
		delete(s.settings, k.name)
		s.changed[k.name] = k.value
	}
	if st.Name != "all" {
		if _, err := find(st.Name); err != nil {
			return s.at(err, st.Pos)
		}
	}
	return s.done(sink, "RESET")
}

func (s *session) done(sink Sink, tag string) error {
	if err := sink.Columns(nil); err != nil {
		return err
	}
	return s.end(sink, &End{Tag: tag})
}

func (s *session) show(ctx context.Context, st *sql.Show, sink Sink) error {
	text := func(names ...string) []plan.Column {
		var cols []plan.Column
		for _, n := range names {
			cols = append(cols, plan.Column{Name: n, Type: plan.Text})
		}
		return cols
	}
	switch st.Name {
	case "all":
		return s.list(sink, text("name", "setting", "description"), func(row func(...string) error) error {
			for _, k := range known {
				if err := row(k.name, s.settings.get(k.name), k.about); err != nil {
					return err
				}
			}
			return nil
		})
	case "roles":
		return s.showRoles(ctx, sink)
	case "grants":
		return s.showGrants(ctx, sink)
	case "tokens":
		return s.showTokens(ctx, sink)
	case "tables":
		_, view, err := s.binder(ctx, true)
		if err != nil {
			return err
		}
		root := plan.TableList(view.Tables(s.r.Database))
		return s.run(ctx, nil, &plan.Query{Root: root, Columns: root.Columns()}, sink, nil)
	}
	if _, err := find(st.Name); err != nil {
		return s.at(err, st.Pos)
	}
	return s.list(sink, text(st.Name), func(row func(...string) error) error { return row(s.settings.get(st.Name)) })
}

func (s *session) list(sink Sink, cols []plan.Column, rows func(row func(...string) error) error) error {
	if err := sink.Columns(cols); err != nil {
		return err
	}
	n := int64(0)
	err := rows(func(texts ...string) error {
		n++
		values := make([]plan.Value, len(texts))
		for i, t := range texts {
			values[i] = plan.TextValue(t)
		}
		return sink.Row(values)
	})
	if err != nil {
		return err
	}
	return s.end(sink, &End{Tag: "SHOW", Rows: n})
}
