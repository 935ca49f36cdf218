package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/quipudb/quipu/cmd/internal/shell"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

const connectTimeout = 5 * time.Second

// shellGreeting is the first line of an interactive shell.
const shellGreeting = `Statements end with a semicolon; \? lists commands, \q leaves.`

func sqlCommand() *cobra.Command {
	var texts []string
	var file, format string
	var expanded bool
	c := &cobra.Command{
		Use:   "sql",
		Short: "Run SQL: interactively, or with -c and -f",
		Long: `Run SQL on a server, over its API or, if --url begins with postgres://, over PostgreSQL's protocol. On a terminal it is a shell with
completion, history (in $XDG_STATE_HOME/quipu/history, or where $QUIPU_HISTORY says) and the pager of $PAGER; \? lists its commands.
NO_COLOR keeps it without colours.`,
		Example: `  quipu sql
  quipu sql -c "SELECT dept, chi2_test(gender, admitted) FROM admissions GROUP BY dept ORDER BY ln_p"
  quipu sql -f report.sql -o csv > report.csv
  quipu sql -c '\d checkout' -c '\plot checkout variant outcome'
  quipu sql --url 'postgres://ada@db.example:7432/quipu?options=-c%20statement_timeout%3D5s'
  echo "SHOW tables" | quipu sql`,
		Args: exactly(0, `no argument but -c "SQL"`),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := render.Check(format); err != nil {
				return &usageError{err}
			}
			conn, done, err := openShell(cmd)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			s := &shell.Session{Conn: conn, Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Format: format, Terminal: shell.TerminalOf(os.Stdout)}
			defer func() { err = errors.Join(err, s.Close()) }()
			if expanded {
				s.Expanded = "on"
			}
			return runShell(cmd, s, texts, file)
		},
	}
	c.Flags().StringArrayVarP(&texts, "command", "c", nil, `run these statements, or a command such as '\d t', and end; may be given again`)
	c.Flags().StringVarP(&file, "file", "f", "", "run the statements of a file (- is standard input) and end")
	c.Flags().StringVarP(&format, "format", "o", "table", "output: "+strings.Join(render.Formats, ", "))
	c.Flags().BoolVarP(&expanded, "expanded", "x", false, "tables give each row as a list of names and values")
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(render.Formats, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func runShell(cmd *cobra.Command, s *shell.Session, texts []string, file string) error {
	ctx := cmd.Context()
	interactive := term.IsTerminal(int(os.Stdin.Fd())) && file == "" && texts == nil
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		s.In = cmd.InOrStdin()
	}
	for _, text := range texts {
		if err := s.Argument(ctx, text); err != nil {
			return err
		}
	}
	switch {
	case interactive:
		fmt.Fprintln(s.Out, shellGreeting)
		return s.Interactive(ctx, "quipu> ")
	case file != "" && file != "-":
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		return s.Script(ctx, f)
	case file == "-" || texts == nil:
		return s.Script(ctx, cmd.InOrStdin())
	}
	return nil
}

// openShell connects in the way that the URL asks for.
func openShell(cmd *cobra.Command) (conn shell.Conn, done func() error, err error) {
	url := urlOf(cmd)
	if shell.IsPostgres(url) {
		return openPostgres(cmd, url)
	}
	c, err := connect(cmd)
	if err != nil {
		return nil, nil, err
	}
	return shell.API(c, url), func() error { return c.Close(context.WithoutCancel(cmd.Context())) }, nil
}

func openPostgres(cmd *cobra.Command, url string) (shell.Conn, func() error, error) {
	config, err := shell.ParsePostgres(url)
	if err != nil {
		return nil, nil, &usageError{err}
	}
	if err := logIn(cmd, config); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), connectTimeout)
	defer cancel()
	p, err := shell.OpenPostgres(ctx, config)
	if err != nil && ctx.Err() != nil && cmd.Context().Err() == nil {
		return nil, nil, &absentError{shell.WithoutPassword(url), err}
	}
	if err != nil {
		return nil, nil, err
	}
	return p, func() error { return p.Close(context.WithoutCancel(cmd.Context())) }, nil
}
