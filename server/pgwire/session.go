package pgwire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/quipudb/quipu/query"
	"github.com/quipudb/quipu/query/plan"
	"github.com/quipudb/quipu/query/sql"
	"github.com/quipudb/quipu/server/errcode"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// effective are the settings that a statement runs with.
func (c *conn) effective() map[string]string {
	if c.block == nil || len(c.block.local) == 0 && !c.block.readOnly && !c.readOnlyByDefault() {
		return c.settings
	}
	all := altered(c.settings, c.block.local)
	delete(all, readOnlyDefault) // the block has its own mode, which is asked before the engine is
	if c.block.readOnly {
		all[transactionReadOnly] = "on"
	}
	return all
}

// set runs SET and RESET: the engine knows the settings, the connection keeps what differs.
func (c *conn) set(ctx context.Context, st *query.Statement, res *result) error {
	if err := c.engine(ctx, st, nil, res); err != nil {
		return err
	}
	set, isSet := st.Tree.(*sql.Set)
	for name, value := range res.changed {
		switch was, had := c.initial[name]; {
		case isSet && set.Local:
			c.setLocal(name, value)
		case isSet:
			c.keep(name, value)
		case had:
			c.keep(name, was)
		default:
			c.settings = maps.Clone(c.settings)
			delete(c.settings, name)
			c.kept(name)
		}
	}
	return nil
}

// changed keeps what a query has set by set_config.
func (c *conn) changed(res *result) {
	for name, value := range res.changed {
		c.keep(name, value)
	}
	for name, value := range res.local {
		c.setLocal(name, value)
	}
}

// transactionReadOnly is of the block and not of the session.
const transactionReadOnly = "transaction_read_only"

func (c *conn) keep(name, value string) {
	if name == transactionReadOnly {
		c.setLocal(name, value)
		return
	}
	c.settings = altered(c.settings, map[string]string{name: value})
	c.kept(name)
}

// altered is settings with others in their place. The old ones stay as they were.
func altered(settings, by map[string]string) map[string]string {
	out := maps.Clone(settings)
	maps.Copy(out, by)
	return out
}

// kept ends what SET LOCAL had put in the place of a setting, and tells the client.
func (c *conn) kept(name string) {
	if c.block != nil {
		delete(c.block.local, name)
	}
	c.reportSetting(name)
}

func (c *conn) setLocal(name, value string) {
	switch {
	case c.block == nil:
		c.warn(stateNoBlock, "SET LOCAL can only be used in transaction blocks")
		return
	case name == transactionReadOnly:
		c.block.readOnly = value == "on"
		return
	case c.block.local == nil:
		c.block.local = map[string]string{}
	}
	c.block.local[name] = value
}

const readOnlyDefault = "default_transaction_read_only"

// readOnlyByDefault says that blocks, and statements outside of one, may not change anything.
func (c *conn) readOnlyByDefault() bool { return c.settings[readOnlyDefault] == "on" }

// reportSetting tells the client of a setting that it follows.
func (c *conn) reportSetting(name string) {
	if shown, ok := reported[name]; ok {
		value, set := c.settings[name]
		if !set {
			value = map[string]string{"client_encoding": "UTF8", "datestyle": "ISO, MDY", "timezone": "UTC", "standard_conforming_strings": "on",
				readOnlyDefault: "off"}[name]
		}
		c.report(shown, value)
	}
}

func (c *conn) discard(t *sql.Discard, res *result) error {
	if t.What != "all" {
		return res.done("DISCARD " + strings.ToUpper(t.What))
	}
	if c.block != nil {
		return failure(stateInBlock, "DISCARD ALL cannot run inside a transaction block").WithHint("COMMIT or ROLLBACK first")
	}
	c.portals.closeAll()
	c.statements = statements{}
	c.restore(c.initial)
	return res.done("DISCARD ALL")
}

// prepareNamed keeps a statement as a Parse of its name would.
func (c *conn) prepareNamed(ctx context.Context, st *query.Statement, t *sql.Prepare, res *result) error {
	if err := c.statements.room(t.Name, len(st.Text)); err != nil {
		return err
	}
	p, err := c.s.o.Engine.PrepareNamed(ctx, st, c.request(nil))
	if err != nil {
		return err
	}
	c.statements.put(t.Name, &prepared{Prepared: p, oids: paramOIDs(nil, p.Params), text: len(st.Text)})
	return res.done("PREPARE")
}

// executeNamed runs a statement that PREPARE, or a Parse, has named.
func (c *conn) executeNamed(ctx context.Context, st *query.Statement, t *sql.Execute, res *result) error {
	p, args, err := c.named(ctx, st, t)
	if err != nil {
		return err
	}
	return unplaced(c.dispatch(ctx, p, args, res))
}

// explainNamed is EXPLAIN EXECUTE.
func (c *conn) explainNamed(ctx context.Context, st *query.Statement, x *sql.Explain, t *sql.Execute, res *result) error {
	p, args, err := c.named(ctx, st, t)
	if err != nil {
		return err
	}
	return unplaced(c.dispatch(ctx, p.Explained(x), args, res))
}

// named finds the statement of an EXECUTE, with the values of its parameters.
func (c *conn) named(ctx context.Context, st *query.Statement, t *sql.Execute) (*query.Statement, []plan.Value, error) {
	p, err := c.statements.find(t.Name)
	if err != nil {
		return nil, nil, err
	}
	if p.Statement == nil {
		return nil, nil, failure(stateUnknownStatement, "prepared statement %q is empty", t.Name)
	}
	args, err := c.s.o.Engine.Arguments(ctx, st, t, c.request(nil), p.Params)
	return p.Statement, args, err
}

// tree is what a statement comes down to: of an EXECUTE, what it names.
func (c *conn) tree(st *query.Statement) sql.Statement {
	if x, ok := st.Tree.(*sql.Execute); ok {
		if p := c.statements.named[x.Name]; p != nil && p.Statement != nil {
			return p.Statement.Tree
		}
	}
	return st.Tree
}

// unplaced takes from an error its place, which is one in the text of the PREPARE and not of the EXECUTE.
func unplaced(err error) error {
	if _, ok := errors.AsType[*wireError](err); ok || err == nil {
		return err
	}
	e := *errcode.From(err)
	if e.Position == 0 {
		return err
	}
	e.Position = 0
	return &e
}

func (c *conn) deallocate(t *sql.Deallocate, res *result) error {
	if t.Name == "" {
		c.statements.clear()
		return res.done("DEALLOCATE ALL")
	}
	if _, ok := c.statements.named[t.Name]; !ok {
		return errUnknownStatement(t.Name)
	}
	c.statements.remove(t.Name)
	return res.done("DEALLOCATE")
}

// checkDatabase refuses a database that is not there: the default one, and those that have tables.
func (c *conn) checkDatabase() error {
	if c.database == databaseDefault {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.s.base, c.s.o.StartTimeout)
	defer cancel()
	view, err := c.s.o.Catalog.View(ctx, false)
	if err != nil {
		return err
	}
	if len(view.Tables(c.database)) == 0 {
		return failure(stateUnknownDatabase, "database %q does not exist", c.database).WithHint("connect to database %s", databaseDefault)
	}
	return nil
}

// applyWishes takes the settings of the startup message.
func (c *conn) applyWishes() error {
	c.settings = altered(c.settings, c.login.Settings)
	wishes := map[string]string{}
	for name, value := range c.wishes {
		if name = strings.ToLower(name); name != "options" && name != "replication" {
			wishes[name] = value
		}
	}
	if err := commandLine(c.wishes["options"], wishes); err != nil {
		return err
	}
	if r := c.wishes["replication"]; r != "" && r != "false" && r != "off" && r != "0" {
		return errcode.New(errcode.NotSupported, "replication connections are not supported").WithHint("read with COPY … TO STDOUT")
	}
	for _, name := range slices.Sorted(maps.Keys(wishes)) {
		if err := c.applyWish(name, wishes[name]); err != nil {
			return err
		}
	}
	c.initial = c.settings
	return nil
}

// cosmetic are settings that drivers send by themselves and that have one value here. Another one is no reason to turn a client away:
// timestamps carry their offset, and the value in force is reported.
var cosmetic = []string{"timezone", "datestyle", "intervalstyle", "lc_messages", "lc_monetary", "lc_numeric", "lc_time", "extra_float_digits",
	"geqo"}

func (c *conn) applyWish(name, value string) error {
	if name == "client_encoding" {
		switch strings.ToUpper(strings.NewReplacer("-", "", "_", "", "'", "", `"`, "").Replace(value)) {
		case "UTF8", "UNICODE", "SQLASCII", "AUTO":
			return nil
		}
		return errcode.New(errcode.InvalidOption, "client encoding %q is not supported", value).WithHint("the encoding is UTF8")
	}
	sink := &result{c: c}
	set := &sql.Set{Name: name, Values: []sql.Expr{&sql.Literal{Kind: sql.StringLiteral, Text: value}}}
	err := c.during(func(ctx context.Context) error {
		return c.s.o.Engine.Execute(ctx, &query.Statement{Tree: set}, c.request(nil), silent{sink})
	})
	if err != nil {
		if slices.Contains(cosmetic, name) {
			return nil
		}
		return err
	}
	c.settings = altered(c.settings, sink.changed)
	return nil
}

// silent keeps what a statement changed and sends nothing.
type silent struct{ *result }

func (silent) Columns([]plan.Column) error { return nil }
func (s silent) End(e *query.End) error {
	s.changed = e.Settings
	return nil
}

// commandLine reads -c name=value and --name=value out of the startup option "options".
func commandLine(options string, into map[string]string) error {
	words := optionWords(options)
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "-c" && i+1 < len(words):
			i++
			word = words[i]
		case strings.HasPrefix(word, "-c"):
			word = word[2:]
		case strings.HasPrefix(word, "--"):
			word = word[2:]
		default:
			return errOption(word)
		}
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return errOption(word)
		}
		into[strings.ToLower(strings.ReplaceAll(name, "-", "_"))] = value
	}
	return nil
}

func errOption(word string) error {
	return errcode.New(errcode.InvalidOption, "invalid command-line argument for server process: %s", word).
		WithHint("the form is options='-c name=value'")
}

// optionWords splits at spaces that no backslash stands before.
func optionWords(s string) []string {
	var words []string
	var word strings.Builder
	started := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			started = true
		case s[i] == ' ' || s[i] == '\t' || s[i] == '\n':
			if started {
				words = append(words, word.String())
				word.Reset()
				started = false
			}
		default:
			word.WriteByte(s[i])
			started = true
		}
	}
	if started {
		words = append(words, word.String())
	}
	return words
}

func errUnknownStatement(name string) error {
	return failure(stateUnknownStatement, "prepared statement %q does not exist", name)
}

func quoted(name string) string {
	if name == "" {
		return "the unnamed one"
	}
	return fmt.Sprintf("%q", name)
}
