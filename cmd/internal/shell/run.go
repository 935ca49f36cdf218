// Package shell runs SQL for a person or a script: it prints results, errors with a caret under the place, and what a test warns of.
package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/quipudb/quipu/client"
	"github.com/quipudb/quipu/cmd/internal/render"
)

// Session is one connection with its output. The zero values of its fields are usable but for Client and Out.
type Session struct {
	Client   *client.Client
	Out      io.Writer // results
	Err      io.Writer // errors and notices
	Format   string    // one of render.Formats
	Timing   bool
	settings map[string]string // what SET changed
}

// ErrFailed is returned by scripts in which a statement failed; the statement's own error has been printed.
var ErrFailed = errors.New("a statement failed")

// Execute runs one statement and prints its result or its error.
func (s *Session) Execute(ctx context.Context, sql string) error {
	began := time.Now()
	err := s.execute(ctx, sql)
	if err != nil {
		s.explain(sql, err)
		return ErrFailed
	}
	if s.Timing {
		fmt.Fprintf(s.Err, "Time: %.3f ms\n", float64(time.Since(began).Microseconds())/1000)
	}
	return nil
}

func (s *Session) execute(ctx context.Context, sql string) error {
	rows, err := s.Client.QueryWith(ctx, s.settings, sql)
	if err != nil {
		return err
	}
	defer rows.Close()
	var w render.Writer
	if cols := rows.Columns(); len(cols) > 0 {
		columns := make([]render.Column, len(cols))
		for i, c := range cols {
			columns[i] = render.Column{Name: c.Name, Numeric: c.Numeric()}
		}
		if w, err = render.New(s.Out, s.Format, columns); err != nil {
			return err
		}
	}
	for rows.Next() {
		if err := w.Row(rows.Values()); err != nil {
			return err
		}
	}
	if rows.Err() != nil {
		return rows.Err()
	}
	if w != nil {
		if err := w.Close(); err != nil {
			return err
		}
	}
	s.footing(rows.Footing(), w == nil)
	return nil
}

// footing prints what stands under a result.
func (s *Session) footing(f client.Footing, showTag bool) {
	if showTag && f.Tag != "" && s.Format == "table" {
		fmt.Fprintln(s.Out, f.Tag)
	}
	for _, n := range f.Notices {
		fmt.Fprintf(s.Err, "%s:  %s\n", n.Severity, n.Message)
		if n.Hint != "" {
			fmt.Fprintf(s.Err, "HINT:  %s\n", n.Hint)
		}
	}
	for k, v := range f.Settings {
		if s.settings == nil {
			s.settings = map[string]string{}
		}
		s.settings[k] = v
	}
}

// explain prints an error the way psql does, with a caret under its place.
func (s *Session) explain(sql string, err error) {
	var e *client.Error
	if !errors.As(err, &e) {
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
	var split Splitter
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 1<<16), statementBytesMax)
	for in.Scan() {
		if line := strings.TrimSpace(in.Text()); !split.Pending() && strings.HasPrefix(line, `\`) {
			if quit, err := s.command(ctx, line); quit || err != nil {
				return err
			}
			continue
		}
		for _, sql := range split.Feed(in.Text()) {
			if err := s.Execute(ctx, sql); err != nil {
				return err
			}
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("reading SQL: %w", err)
	}
	if rest := split.Rest(); rest != "" {
		return s.Execute(ctx, rest)
	}
	return nil
}

const statementBytesMax = 16 << 20
