package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/render"
)

// commands are all of them, in the order in which \? shows them. One without a name is a heading.
func (s *Session) commands() []Command {
	all := s.Commands
	if len(all) > 0 {
		all = append([]Command{{Help: "Of this shell"}}, all...)
	}
	return append(all, []Command{
		{Help: "Statements, which end with a semicolon, or with one of"},
		{`\g`, "[FILE]", "run it, or the last one again; to a file if you like", s.goOn},
		{`\gx`, "[FILE]", "the same, each row as a list", s.goExpanded},
		{`\watch`, "[SECONDS] [c=TIMES]", "run it every 2 seconds, until Ctrl-C", s.watch},
		{`\plot`, "[TABLE ROWS COLS]", "draw a crosstab: of two dimensions, or its own", s.plot},
		{`\e`, "", "edit it, or the last one, in $EDITOR", s.edit},
		{`\p`, "", "show what waits for its semicolon", s.showPending},
		{`\r`, "", "forget it", func(context.Context, string) error { s.split.Reset(); return nil }},
		{Help: "What there is (PATTERN: * and ? stand for anything)"},
		{`\d`, "[PATTERN]", "the tables, or the columns of some", s.describe},
		{`\dt`, "[PATTERN]", `tables, also of a schema: \dt quipu.*`, s.listTables},
		{`\df`, "[PATTERN]", "functions", s.listFunctions},
		{`\dn`, "", "schemas", s.listSchemas},
		{`\du`, "", "roles", s.asking("SHOW roles")},
		{`\dp`, "", "privileges", s.asking("SHOW grants")},
		{`\l`, "", "databases", s.asking("SELECT datname AS name, pg_get_userbyid(datdba) AS owner FROM pg_catalog.pg_database ORDER BY 1")},
		{`\dconfig`, "[PATTERN]", "settings", s.listSettings},
		{`\conninfo`, "", "the connection", func(context.Context, string) error {
			_, err := fmt.Fprintf(s.Out, "Connected to %s.\n", s.Conn.About())
			return err
		}},
		{Help: "How results look"},
		{`\x`, "[on|off|auto]", "each row as a list; auto: if the table is too wide", s.expand},
		{`\timing`, "[on|off]", "how long a statement takes", s.time},
		{`\format`, "FORMAT", strings.Join(render.Formats, ", "), s.format},
		{`\pset`, "[NAME VALUE]", "expanded, format, null or pager, as psql sets them", s.pset},
		{Help: "Input and output"},
		{`\copy`, "TABLE FROM|TO FILE", "count the rows of a file, or write one", s.copy},
		{`\i`, "FILE", "run the statements of a file", s.include},
		{`\o`, "[FILE]", "send results to a file, or back here", s.redirect},
		{`\echo`, "[TEXT]", "print text", func(_ context.Context, arg string) error {
			_, err := fmt.Fprintln(s.Out, unquoted(arg))
			return err
		}},
		{`\?`, "", "this list", s.help},
		{`\q`, "", "leave", func(context.Context, string) error { s.quit = true; return nil }},
	}...)
}

// aliases are other names of commands.
var aliases = map[string]string{`\help`: `\?`, `\h`: `\?`, `\list`: `\l`, `\edit`: `\e`, `\include`: `\i`, `\out`: `\o`, `\quit`: `\q`, `\print`: `\p`,
	`\reset`: `\r`, `\dg`: `\du`, `\z`: `\dp`, `\dt+`: `\dt`, `\d+`: `\d`, `\df+`: `\df`, `\du+`: `\du`, `\l+`: `\l`, `\dn+`: `\dn`, `\exit`: `\q`}

// command runs a backslash command and prints its error; then it returns ErrFailed.
func (s *Session) command(ctx context.Context, line string) error {
	word, arg, _ := strings.Cut(line, " ")
	word, arg = strings.TrimRight(word, ";"), strings.TrimSpace(strings.TrimRight(strings.TrimSpace(arg), ";"))
	if to, ok := aliases[word]; ok {
		word = to
	}
	err := errUnknownCommand(word)
	for _, c := range s.commands() {
		if c.Name == word && word != "" {
			err = c.Run(ctx, arg)
			break
		}
	}
	if err != nil && !errors.Is(err, ErrFailed) {
		s.explain("", err)
		err = ErrFailed
	}
	return err
}

func errUnknownCommand(word string) error {
	return fmt.Errorf(`unknown command %s; \? lists them`, word)
}

func (s *Session) help(context.Context, string) error {
	var b strings.Builder
	for _, c := range s.commands() {
		if c.Name == "" {
			fmt.Fprintln(&b, c.Help)
			continue
		}
		fmt.Fprintf(&b, "  %-24s %s\n", strings.TrimSpace(c.Name+" "+c.Arg), c.Help)
	}
	b.WriteString("Ctrl-C ends a running statement. Tab completes. What begins with a space is not\nkept in the history.\n")
	out, finish := s.results()
	if _, err := out.Write([]byte(b.String())); err != nil && !errors.Is(err, errPagerLeft) {
		return err
	}
	return finish()
}

// statement is what waits for its semicolon, else what ran last.
func (s *Session) statement() (string, error) {
	if sql := s.take(); sql != "" {
		return sql, nil
	}
	if s.last == "" {
		return "", errors.New("there is no statement yet")
	}
	return s.last, nil
}

func (s *Session) goOn(ctx context.Context, file string) error { return s.goAs(ctx, file, s.Expanded) }

func (s *Session) goExpanded(ctx context.Context, file string) error { return s.goAs(ctx, file, "on") }

func (s *Session) goAs(ctx context.Context, file, expanded string) error {
	sql, err := s.statement()
	if err != nil {
		return err
	}
	s.last = sql
	if file == "" {
		return s.executeAs(ctx, sql, expanded)
	}
	f, err := os.Create(unquoted(file))
	if err != nil {
		return err
	}
	before := s.to
	s.to = f
	err = s.executeAs(ctx, sql, expanded)
	s.to = before
	return errors.Join(err, f.Close())
}

func (s *Session) showPending(context.Context, string) error {
	text := s.split.Rest()
	if text == "" {
		text = s.last
	}
	_, err := fmt.Fprintln(s.Out, text)
	return err
}

// asking is a command that runs a statement.
func (s *Session) asking(sql string) func(context.Context, string) error {
	return func(ctx context.Context, _ string) error { return s.ask(ctx, sql) }
}

// ask runs a statement of ours, which \g does not repeat.
func (s *Session) ask(ctx context.Context, sql string) error { return s.print(ctx, sql, s.Expanded) }

// toggle reads on or off; nothing turns the switch.
func toggle(arg string, is bool) (bool, error) {
	switch strings.ToLower(arg) {
	case "":
		return !is, nil
	case "on", "true", "1":
		return true, nil
	case "off", "false", "0":
		return false, nil
	}
	return is, fmt.Errorf("%q is neither on nor off", arg)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (s *Session) expand(_ context.Context, arg string) error {
	switch arg = strings.ToLower(arg); arg {
	case "auto":
		s.Expanded = arg
		_, err := fmt.Fprintln(s.Out, "Expanded display is used automatically.")
		return err
	default:
		on, err := toggle(arg, s.Expanded == "on")
		if err != nil {
			return fmt.Errorf("%w, and not auto", err)
		}
		s.Expanded = onOff(on)
		_, err = fmt.Fprintf(s.Out, "Expanded display is %s.\n", s.Expanded)
		return err
	}
}

func (s *Session) time(_ context.Context, arg string) (err error) {
	if s.Timing, err = toggle(arg, s.Timing); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.Out, "Timing is %s.\n", onOff(s.Timing))
	return err
}

func (s *Session) format(_ context.Context, arg string) error {
	if err := render.Check(arg); err != nil {
		return err
	}
	s.Format = arg
	return nil
}

// pset takes the settings of psql's \pset that mean something here.
func (s *Session) pset(ctx context.Context, arg string) error {
	name, value, _ := strings.Cut(arg, " ")
	value = unquoted(strings.TrimSpace(value))
	switch name {
	case "":
		_, err := fmt.Fprintf(s.Out, "expanded %s\nformat   %s\nnull     '%s'\npager    %s\n", cmp.Or(s.Expanded, "off"), s.Format, s.Null, onOff(!s.NoPager))
		return err
	case "expanded", "x":
		return s.expand(ctx, value)
	case "format":
		if value == "aligned" {
			value = "table"
		}
		return s.format(ctx, value)
	case "null":
		s.Null = value
		_, err := fmt.Fprintf(s.Out, "Null display is %q.\n", value)
		return err
	case "pager":
		on, err := toggle(value, !s.NoPager)
		if err != nil {
			return err
		}
		s.NoPager = !on
		_, err = fmt.Fprintf(s.Out, "The pager is %s.\n", onOff(on))
		return err
	}
	return fmt.Errorf(`\pset knows expanded, format, null and pager, not %q`, name)
}

const includeDepthMax = 16

func (s *Session) include(ctx context.Context, name string) error {
	if name == "" {
		return errors.New(`\i needs the name of a file`)
	}
	if s.depth == includeDepthMax {
		return fmt.Errorf("files include each other more than %d deep", includeDepthMax)
	}
	f, err := os.Open(unquoted(name))
	if err != nil {
		return err
	}
	defer f.Close()
	s.depth++
	waits := s.split
	s.split = Splitter{}
	err = s.Script(ctx, f)
	s.split = waits
	s.depth--
	if s.quit && s.depth == 0 { // \q in a file ends the file
		s.quit = false
	}
	return err
}

// redirect sends results to a file, or back.
func (s *Session) redirect(_ context.Context, name string) error {
	if strings.HasPrefix(name, "|") {
		return errors.New(`\o takes a file; for a pipe, run quipu sql -c "…" | program`)
	}
	if err := s.Close(); err != nil || name == "" {
		return err
	}
	f, err := os.Create(unquoted(name))
	if err == nil {
		s.to = f
	}
	return err
}

// Close closes the file of \o.
func (s *Session) Close() error {
	if s.to == nil {
		return nil
	}
	err := s.to.Close()
	s.to = nil
	return err
}

// unquoted is a word without the quotes around it.
func unquoted(s string) string {
	if n := len(s); n >= 2 && (s[0] == '\'' || s[0] == '"') && s[n-1] == s[0] {
		return strings.ReplaceAll(s[1:n-1], s[:1]+s[:1], s[:1])
	}
	return s
}
