// Package shell runs SQL for a person or a script: it prints results, errors with a caret under the place, and what a test warns of.
// It speaks to a server over the API or over PostgreSQL's protocol and looks the same on both: what it knows of the catalog it asks in SQL.
//
//	s := &shell.Session{Conn: shell.API(c, url), Out: os.Stdout, Err: os.Stderr, Format: "table"}
//	err := s.Script(ctx, strings.NewReader(`SELECT chi2_test(gender, admitted) FROM admissions \gx`))
package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/render"
)

// Session is one connection with its output. The zero values of its fields are usable but for Conn, Out, Err and Format.
type Session struct {
	Conn     Conn
	Out      io.Writer // results
	Err      io.Writer // errors and notices
	In       io.Reader // of \copy FROM PSTDIN, and of FROM STDIN outside of scripts; nil: what is typed at the terminal
	Format   string    // one of render.Formats
	Expanded string    // on, off or auto; empty is off
	Null     string    // what stands for NULL in tables
	Timing   bool
	Terminal *Terminal // where Out is one; nil else
	NoPager  bool
	Commands []Command // beside those of every shell

	script *bufio.Scanner // the script that is being read, whose next lines may be the data of \copy; nil at a terminal

	split Splitter // input that waits for its semicolon
	last  string   // the statement that ran last, which \g, \watch and \plot repeat
	to    *os.File // where \o sends results; nil: Out
	depth int      // of \i in \i
	quit  bool     // \q was given
}

// Command is a backslash command.
type Command struct {
	Name, Arg, Help string // such as \kill, N, "end node N"; one line of \?
	Run             func(ctx context.Context, arg string) error
}

// ErrFailed is returned by scripts in which a statement failed; the statement's own error has been printed.
var ErrFailed = errors.New("a statement failed")

// Execute runs one statement and prints its result or its error.
func (s *Session) Execute(ctx context.Context, sql string) error {
	s.last = sql
	return s.executeAs(ctx, sql, s.Expanded)
}

// executeAs is Execute for a table that is expanded or not.
func (s *Session) executeAs(ctx context.Context, sql, expanded string) error {
	began := time.Now()
	if err := s.print(ctx, sql, expanded); err != nil {
		if ctx.Err() != nil {
			err = context.Canceled // Ctrl-C, whatever the server says of it
		}
		s.explain(sql, err)
		return ErrFailed
	}
	if s.Timing {
		fmt.Fprintf(s.Err, "Time: %.3f ms\n", float64(time.Since(began).Microseconds())/1000)
	}
	return nil
}

// print runs a statement and writes its rows to where results go.
func (s *Session) print(ctx context.Context, sql, expanded string) error {
	if isCopy(sql) {
		return &client.Error{Message: "COPY needs a stream of data", Hint: `\copy reads and writes files; quipu import counts a file exactly once`}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := s.Conn.Query(ctx, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	columns := rows.Columns()
	out, finish := s.results()
	err = s.write(out, rows, columns, expanded)
	if ended := finish(); err == nil {
		err = ended
	}
	if errors.Is(err, errPagerLeft) {
		cancel() // nobody looks at the rest
		return nil
	}
	if err != nil {
		return err
	}
	s.footing(rows.Footing(), len(columns) == 0)
	return nil
}

// isCopy says that a statement would have the server wait for data, or send some outside of rows.
func isCopy(sql string) bool {
	words := strings.Fields(strings.ToLower(sql))
	return len(words) > 0 && words[0] == "copy"
}

func (s *Session) write(out io.Writer, rows Rows, columns []render.Column, expanded string) error {
	var w render.Writer
	if len(columns) > 0 {
		o := render.Options{Format: s.Format, Null: s.Null, Expanded: expanded}
		if s.Terminal != nil {
			o.Width, _ = s.Terminal.Size()
		}
		var err error
		if w, err = render.With(out, o, columns); err != nil {
			return err
		}
	}
	for rows.Next() {
		if err := w.Row(rows.Values()); err != nil {
			return err
		}
	}
	if rows.Err() != nil || w == nil {
		return rows.Err()
	}
	return w.Close()
}

// results is where a result goes, and what is to be done when it is whole.
func (s *Session) results() (out io.Writer, finish func() error) {
	switch {
	case s.to != nil:
		return s.to, func() error { return nil }
	case s.Terminal != nil && !s.NoPager:
		p := newPager(s.Terminal, s.Out)
		return p, p.finish
	}
	return s.Out, func() error { return nil }
}

// footing prints what stands under a result.
func (s *Session) footing(f client.Footing, showTag bool) {
	if showTag && f.Tag != "" && s.Format == "table" {
		out := s.Out
		if s.to != nil {
			out = s.to
		}
		fmt.Fprintln(out, f.Tag)
	}
	for _, n := range f.Notices {
		fmt.Fprintf(s.Err, "%s:  %s\n", n.Severity, n.Message)
		if n.Hint != "" {
			fmt.Fprintf(s.Err, "HINT:  %s\n", n.Hint)
		}
	}
	if f.Age > 0 {
		fmt.Fprintf(s.Err, "as of %v ago, snapshot %s\n", f.Age, f.Snapshot)
	}
}

// explain prints an error the way psql does, with a caret under its place.
func (s *Session) explain(sql string, err error) {
	var e *client.Error
	switch {
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(s.Err, "ERROR:  canceling statement due to user request")
		return
	case !errors.As(err, &e):
		fmt.Fprintf(s.Err, "ERROR:  %v\n", err)
		return
	}
	fmt.Fprintf(s.Err, "ERROR:  %s\n", e.Message)
	for _, v := range e.Violations {
		fmt.Fprintf(s.Err, "DETAIL:  %s\n", v)
	}
	if e.Position > 0 {
		fmt.Fprint(s.Err, Caret(sql, e.Position))
	}
	if e.Hint != "" {
		fmt.Fprintf(s.Err, "HINT:  %s\n", e.Hint)
	}
}

// Caret shows the line of sql that holds the character at the 1-based position, with a caret under it.
func Caret(sql string, position int) string {
	runes := []rune(sql)
	at := min(position-1, len(runes))
	start, line := 0, 1
	for i, r := range runes[:at] {
		if r == '\n' {
			start, line = i+1, line+1
		}
	}
	end := start
	for end < len(runes) && runes[end] != '\n' {
		end++
	}
	lead := fmt.Sprintf("LINE %d: ", line)
	text := string(runes[start:end])
	pad := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, lead+string(runes[start:at]))
	return lead + text + "\n" + pad + "^\n"
}

// Script runs the statements and commands of r. It stops at the first error, as a script that goes on after one rarely does what was
// meant, or at \q.
func (s *Session) Script(ctx context.Context, r io.Reader) error {
	in := scanner(r)
	return s.lines(ctx, in, in)
}

// Argument is Script for a text of the command line, which is not where the data of a \copy comes from.
func (s *Session) Argument(ctx context.Context, text string) error {
	return s.lines(ctx, scanner(strings.NewReader(text)), nil)
}

func scanner(r io.Reader) *bufio.Scanner {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 1<<16), statementBytesMax)
	return in
}

func (s *Session) lines(ctx context.Context, in, script *bufio.Scanner) error {
	outer := s.script
	s.script = script
	defer func() { s.script = outer }()
	for in.Scan() {
		if err := s.feed(ctx, in.Text()); err != nil || s.quit {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("reading SQL: %w", err)
	}
	if rest := s.take(); rest != "" {
		return s.Execute(ctx, rest)
	}
	return nil
}

const statementBytesMax = 16 << 20

// feed takes a line of input. It stops at the first error.
func (s *Session) feed(ctx context.Context, line string) error {
	for _, it := range s.split.Feed(line) {
		var err error
		if it.Command != "" {
			err = s.command(ctx, it.Command)
		} else {
			err = s.Execute(ctx, it.SQL)
		}
		if err != nil || s.quit {
			return err
		}
	}
	return nil
}

// take is the text that waits, which waits no more.
func (s *Session) take() string {
	rest := s.split.Rest()
	s.split.Reset()
	return rest
}
