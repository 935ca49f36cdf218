package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/reeflective/readline"
)

// Interactive reads statements and commands from the terminal until \q or the end of input.
func (s *Session) Interactive(ctx context.Context, prompt string) error {
	rl := readline.NewShell()
	var split Splitter
	rl.Prompt.Primary(func() string {
		if split.Pending() {
			return strings.Repeat(" ", max(0, len(prompt)-3)) + "-> "
		}
		return prompt
	})
	if path, err := historyFile(); err == nil {
		if h, err := readline.NewHistoryFromFile(path); err == nil {
			rl.History.Add("quipu", h)
		}
	}
	words := s.words(ctx)
	rl.Completer = func(line []rune, cursor int) readline.Completions {
		return readline.CompleteValues(matching(words, string(line[:cursor]))...)
	}
	for {
		line, err := rl.Readline()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, readline.ErrInterrupt):
			split.Reset()
			continue
		case err != nil:
			return err
		}
		if !split.Pending() && strings.HasPrefix(strings.TrimSpace(line), `\`) {
			if quit, _ := s.command(ctx, strings.TrimSpace(line)); quit { // an error has been printed
				return nil
			}
			continue
		}
		for _, sql := range split.Feed(line) {
			s.interruptible(ctx, sql)
			if changesCatalog(sql) {
				words = s.words(ctx)
			}
		}
	}
}

// interruptible lets Ctrl-C end the statement and not the shell.
func (s *Session) interruptible(ctx context.Context, sql string) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	s.Execute(ctx, sql) // the error has been printed
}

func changesCatalog(sql string) bool {
	first, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(sql)), " ")
	return slices.Contains([]string{"create", "alter", "drop"}, first)
}

func historyFile() (string, error) {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, ".local", "state")
	}
	dir = filepath.Join(dir, "quipu")
	return filepath.Join(dir, "history"), os.MkdirAll(dir, 0o700)
}

var keywords = []string{
	"SELECT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "OFFSET", "DISTINCT", "FILTER", "INSERT INTO", "VALUES",
	"CREATE TABLE", "ALTER TABLE", "DROP TABLE", "TRUNCATE", "EXPLAIN", "ANALYZE", "SHOW", "SET", "COPY", "WITH", "count(*)", "sum(count)",
	"chi2_test(", "g_test(", "cramers_v(", "crosstab(", "time_bucket(",
}

// words are what completion offers: keywords, functions, tables and their columns.
func (s *Session) words(ctx context.Context) []string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	words := slices.Clone(keywords)
	tables, err := s.Client.Tables(ctx)
	if err != nil {
		return words
	}
	for _, t := range tables {
		words = append(words, t.Name)
		for _, d := range t.Dimensions {
			words = append(words, d.Name)
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// matching are the words that complete the last one of text.
func matching(words []string, text string) []string {
	at := strings.LastIndexFunc(text, func(r rune) bool {
		return !(r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
	last := text[at+1:]
	var out []string
	for _, w := range words {
		if len(last) > 0 && len(w) > len(last) && strings.EqualFold(w[:len(last)], last) {
			out = append(out, w)
		}
	}
	return out
}

const help = `  \d           list the tables          \d NAME      describe a table
  \timing      show how long a statement takes
  \format F    table, csv, tsv, json, ndjson or markdown
  \i FILE      run the statements of a file
  \?           this list                  \q           leave
Statements end with a semicolon. Ctrl-C ends a running one.
`

// command runs a backslash command and prints its error; then it returns ErrFailed.
func (s *Session) command(ctx context.Context, line string) (quit bool, err error) {
	word, arg, _ := strings.Cut(line, " ")
	word, arg = strings.TrimSuffix(word, ";"), strings.TrimSuffix(strings.TrimSpace(arg), ";")
	switch word {
	case `\q`:
		return true, nil
	case `\?`, `\help`, `\h`:
		fmt.Fprint(s.Out, help)
	case `\timing`:
		s.Timing = !s.Timing
		fmt.Fprintf(s.Out, "Timing is %s.\n", map[bool]string{true: "on", false: "off"}[s.Timing])
	case `\format`:
		if err = render.Check(arg); err == nil {
			s.Format = arg
		}
	case `\d`, `\dt`:
		err = s.Describe(ctx, arg)
	case `\i`:
		err = s.file(ctx, arg)
	default:
		err = fmt.Errorf("unknown command %s; \\? lists them", word)
	}
	if err != nil && err != ErrFailed {
		s.explain("", err)
		err = ErrFailed
	}
	return false, err
}

func (s *Session) file(ctx context.Context, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.Script(ctx, f)
}

// Describe prints one table, or all of them if name is empty.
func (s *Session) Describe(ctx context.Context, name string) error {
	if name == "" {
		return s.list(ctx)
	}
	t, err := s.Client.DescribeTable(ctx, name)
	if err != nil {
		return err
	}
	w, err := render.New(s.Out, s.Format, []render.Column{{Name: "column"}, {Name: "type"}, {Name: "nullable"}, {Name: "default"}, {Name: "partition key"}, {Name: "order"}})
	if err != nil {
		return err
	}
	for _, d := range t.Dimensions {
		var def any
		if d.Default != nil {
			def = *d.Default
		}
		if err := w.Row([]any{d.Name, d.Type, !d.NotNull, def, slices.Contains(t.PartitionBy, d.Name), strings.Join(d.Order, " < ")}); err != nil {
			return err
		}
	}
	return w.Close()
}

func (s *Session) list(ctx context.Context) error {
	tables, err := s.Client.Tables(ctx)
	if err != nil {
		return err
	}
	w, err := render.New(s.Out, s.Format, []render.Column{{Name: "table"}, {Name: "dimensions"}, {Name: "window"}, {Name: "retention"}, {Name: "partition key"}})
	if err != nil {
		return err
	}
	for _, t := range tables {
		names := make([]string, len(t.Dimensions))
		for i, d := range t.Dimensions {
			names[i] = d.Name
		}
		if err := w.Row([]any{t.Name, strings.Join(names, ", "), span(t.Window), span(t.Retention), strings.Join(t.PartitionBy, ", ")}); err != nil {
			return err
		}
	}
	return w.Close()
}

func span(d time.Duration) any {
	if d == 0 {
		return nil
	}
	return d.String()
}
