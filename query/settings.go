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
	check              check // nil: any value
}

// check gives the form in which a value is kept, or says why it is refused.
type check func(value string) (kept string, err error)

// known are the settings. Those that are here for clients of PostgreSQL take the values that mean what the server does anyway.
var known = []setting{
	{"application_name", "", "name of the program that asks", nil},
	{"bytea_output", "hex", "there are no bytes to show", oneOf("hex", "escape")},
	{"check_function_bodies", "on", "there are none", isBool},
	{"client_encoding", "UTF8", "always UTF8", always("UTF8", "UTF-8", "UNICODE")},
	{"client_min_messages", "notice", "least severity of notices that PostgreSQL's clients get", oneOf("debug5", "debug4", "debug3", "debug2", "debug1", "log", "notice", "warning", "error")},
	{"datestyle", "ISO, MDY", "always ISO", isDateStyle},
	{"default_table_access_method", "heap", "there is one", always("heap")},
	{"default_tablespace", "", "there is one", always("", "pg_default")},
	{"default_transaction_deferrable", "off", "no transaction waits", isBool},
	{"default_transaction_isolation", "serializable", "every level is the same", isIsolation},
	{"default_transaction_read_only", "off", "on refuses what changes something", isBool},
	{"escape_string_warning", "on", "nothing is warned of", isBool},
	{"extra_float_digits", "1", "floats always have all digits", oneOf("1", "2", "3")},
	{"idle_in_transaction_session_timeout", "0", "how long a transaction may be idle, within the bound of the server", isSpan},
	{"idle_session_timeout", "0", "how long a connection may be idle, within the bound of the server", isSpan},
	{"intervalstyle", "postgres", "always postgres", always("postgres")},
	{"jit", "off", "there is none", isBool},
	{"lc_messages", "C", "always C", isLocale},
	{"lc_monetary", "C", "always C", isLocale},
	{"lc_numeric", "C", "always C", isLocale},
	{"lc_time", "C", "always C", isLocale},
	{"lock_timeout", "0", "nothing waits for a lock", isSpan},
	{"password_encryption", "scram-sha-256", "always scram-sha-256", always("scram-sha-256")},
	{"quipu.force_mode", "auto", "how tests are cut, for checks: auto, local, sums, margins or cells", oneOf("auto", "local", "sums", "margins", "cells")},
	{"quipu.max_staleness", "", "how old the shards of a stale read may be; 0 or empty takes any age", isSpan},
	{"quipu.memory_limit", "256MiB", "memory of one query", isBytes},
	{"quipu.min_index", "", "what a session read must hold, as receipts give it", nil},
	{"quipu.parallelism", "0", "goroutines of one scan; 0 is one for each processor", isCount},
	{"quipu.read_consistency", "strict", "strict, linearizable, session or stale", oneOf("strict", "linearizable", "session", "stale")},
	{"quote_all_identifiers", "off", "always off", always("off", "false", "no", "0")},
	{"row_security", "on", "there are no policies", isBool},
	{"search_path", "public", "schemas; tables are in public", isSearchPath},
	{"server_encoding", "UTF8", "read only", readOnly},
	{"server_version", "15.0 (quipu 0.1)", "read only", readOnly},
	{"server_version_num", "150000", "read only", readOnly},
	{"standard_conforming_strings", "on", "always on", always("on", "true", "yes", "1")},
	{"statement_timeout", "0", "time of one statement; 0 has no bound of its own", isSpan},
	{"synchronize_seqscans", "on", "rows have no order without ORDER BY", isBool},
	{"synchronous_commit", "on", "what is acknowledged is always durable", oneOf("on", "off", "local", "remote_write", "remote_apply")},
	{"timezone", "UTC", "always UTC", always("UTC", "Etc/UTC", "GMT", "Z", "Zulu", "Universal")},
	{"transaction_isolation", "serializable", "every level is the same", isIsolation},
	{"transaction_read_only", "off", "on refuses what changes something", isBool},
	{"xmloption", "content", "there is no XML", oneOf("content", "document")},
}

// knownByName finds them.
var knownByName = func() map[string]*setting {
	m := make(map[string]*setting, len(known))
	for i := range known {
		m[known[i].name] = &known[i]
	}
	return m
}()

func badValue(v string) *errcode.Error {
	return errcode.New(errcode.InvalidOption, "invalid value %q", v)
}

// oneOf takes one of some words and keeps it as it stands here.
func oneOf(values ...string) check {
	return func(v string) (string, error) {
		for _, w := range values {
			if strings.EqualFold(v, w) {
				return w, nil
			}
		}
		return "", badValue(v).WithHint("it may be %s", strings.Join(values, ", "))
	}
}

// always takes one value, which has other spellings.
func always(value string, spellings ...string) check {
	return func(v string) (string, error) {
		if strings.EqualFold(v, value) || slices.ContainsFunc(spellings, func(s string) bool { return strings.EqualFold(v, s) }) {
			return value, nil
		}
		return "", badValue(v).WithHint("it is always %q", value)
	}
}

var (
	isIsolation = oneOf("serializable", "repeatable read", "read committed", "read uncommitted")
	isLocale    = always("C", "", "POSIX", "C.UTF-8", "C.utf8", "en_US.UTF-8", "en_US.utf8") // in which English words and decimal points are the same
)

func readOnly(string) (string, error) {
	return "", errcode.New(errcode.InvalidOption, "it cannot be changed")
}

func isBool(v string) (string, error) {
	switch strings.ToLower(v) {
	case "on", "true", "yes", "1", "t", "y":
		return "on", nil
	case "off", "false", "no", "0", "f", "n":
		return "off", nil
	}
	return "", badValue(v).WithHint("it may be on or off")
}

// isDateStyle takes ISO. The order of day and month behind it is that of input which is not ISO, and there is none.
func isDateStyle(v string) (string, error) {
	for word := range strings.SplitSeq(strings.ToLower(v), ",") {
		switch strings.TrimSpace(word) {
		case "iso", "mdy", "dmy", "ymd", "us", "euro", "european", "noneuropean", "default":
		default:
			return "", badValue(v).WithHint("times are always written as ISO has them")
		}
	}
	return "ISO, MDY", nil
}

// isSearchPath takes the schemas that there are. A path without public finds the tables there all the same.
func isSearchPath(v string) (string, error) {
	var path []string
	for part := range strings.SplitSeq(v, ",") {
		name := strings.Trim(strings.TrimSpace(part), `"`)
		switch strings.ToLower(name) {
		case "":
			continue
		case "$user":
			name = `"$user"`
		case "public", "pg_catalog", "information_schema", "quipu", "pg_temp":
			name = strings.ToLower(name)
		default:
			return "", errcode.New(errcode.InvalidOption, "schema %q does not exist", name).WithHint("tables are in the schema public")
		}
		path = append(path, name)
	}
	return strings.Join(path, ", "), nil
}

func isCount(v string) (string, error) {
	if n, err := strconv.ParseInt(v, 10, 32); err != nil || n < 0 || n > 256 {
		return "", badValue(v).WithHint("give a whole number from 0 to 256")
	}
	return v, nil
}

func isBytes(v string) (string, error) {
	if n, ok := parseBytes(v); !ok || n < 1<<20 {
		return "", badValue(v).WithHint("give a size of at least 1MiB, such as 512MiB")
	}
	return v, nil
}

func isSpan(v string) (string, error) {
	if _, ok := parseSpan(v); !ok {
		return "", badValue(v).WithHint("give a time such as '5s' or '200ms', or a number of milliseconds")
	}
	return spanText(v), nil
}

var byteUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"kB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}}

// Span is the time that a setting of a session names; 0 is none.
func Span(value string) time.Duration {
	d, _ := parseSpan(value)
	return d
}

func parseBytes(v string) (int64, bool) {
	for _, u := range byteUnits {
		if number, ok := strings.CutSuffix(v, u.suffix); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
			return n * u.bytes, err == nil && n >= 0
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
	if k := knownByName[name]; k != nil {
		return k, nil
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
		kept, err := k.check(value)
		if err != nil {
			e := *errcode.From(err)
			e.Message = "parameter " + strconv.Quote(name) + ": " + e.Message
			return &e
		}
		value = kept
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

// figures are what the settings mean to every statement.
type figures struct {
	timeout  time.Duration // 0: none
	readOnly bool          // nothing may be changed
	mode     string        // of the cut of tests
	parallel int           // goroutines of one scan; 0: as many as processors
	memory   int64         // bytes of one query
	read     Read          // of all shards
}

func (s settings) figures() *figures {
	parallel, _ := strconv.Atoi(s.get("quipu.parallelism"))
	memory, _ := parseBytes(s.get("quipu.memory_limit"))
	return &figures{
		timeout:  Span(s.get("statement_timeout")),
		readOnly: s["transaction_read_only"] == "on" || s["default_transaction_read_only"] == "on",
		mode:     s.get("quipu.force_mode"),
		parallel: parallel,
		memory:   memory,
		read:     Read{Level: Level(s.get("quipu.read_consistency")), MinIndex: s.get("quipu.min_index"), MaxStaleness: Span(s.get("quipu.max_staleness"))},
	}
}

func (s *session) set(st *sql.Set, sink Sink) error {
	value, err := s.settingValue(st)
	if err != nil {
		return err
	}
	if err := s.alter(func(own settings) error { return own.set(st.Name, value) }); err != nil {
		return s.at(err, st.Pos)
	}
	s.change(&s.changed, st.Name, s.settings.get(st.Name))
	return s.done(sink, "SET")
}

// setConfig is the function set_config. What it changes leaves with the end of the statement, as with SET.
func (s *session) setConfig(name, value string, local bool) (string, error) {
	name = strings.ToLower(name)
	if err := s.alter(func(own settings) error { return own.set(name, value) }); err != nil {
		return "", err
	}
	value = s.settings.get(name)
	if local {
		s.change(&s.local, name, value)
	} else {
		s.change(&s.changed, name, value)
	}
	return value, nil
}

// change notes a change for the end of the statement.
func (s *session) change(of *map[string]string, name, value string) {
	if *of == nil {
		*of = map[string]string{}
	}
	(*of)[name] = value
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
		sign := ""
		if u, ok := x.(*sql.Unary); ok {
			sign, x = u.Op, u.X
		}
		l, ok := x.(*sql.Literal)
		if !ok {
			return "", errcode.New(errcode.InvalidOption, "a setting takes a literal").At(sql.CharPos(s.r.SQL, x.At()))
		}
		parts = append(parts, sign+l.Text)
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
		s.alter(func(own settings) error {
			delete(own, k.name)
			return nil
		})
		s.change(&s.changed, k.name, k.value)
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
		return s.run(ctx, nil, &plan.Query{Root: root, Columns: root.Columns()}, sink)
	}
	if _, err := find(st.Name); err != nil {
		return s.at(err, st.Pos)
	}
	shown := st.Name
	if c, ok := capitals[shown]; ok {
		shown = c
	}
	return s.list(sink, text(shown), func(row func(...string) error) error { return row(s.settings.get(st.Name)) })
}

// capitals are the settings whose names PostgreSQL shows with capitals.
var capitals = map[string]string{"timezone": "TimeZone", "datestyle": "DateStyle"}

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
