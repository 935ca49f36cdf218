package main

import (
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

func sqlCommand() *cobra.Command {
	var text, file, format string
	c := &cobra.Command{
		Use:   "sql",
		Short: "Run SQL: interactively, or with -c and -f",
		Example: `  quipu sql
  quipu sql -c "SELECT dept, chi2_test(gender, admitted) FROM admissions GROUP BY dept ORDER BY ln_p"
  quipu sql -f report.sql --format csv > report.csv
  quipu sql -c '\d checkout'
  echo "SHOW tables" | quipu sql`,
		Args: exactly(0, `no argument but -c "SQL"`),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := render.Check(format); err != nil {
				return &usageError{err}
			}
			cl, err := connect(cmd)
			if err != nil {
				return err
			}
			defer closing(cmd.Context(), cl, &err)
			s := &shell.Session{Client: cl, Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Format: format}
			switch {
			case cmd.Flags().Changed("command"):
				return s.Script(cmd.Context(), strings.NewReader(text))
			case file != "" && file != "-":
				f, err := os.Open(file)
				if err != nil {
					return err
				}
				defer f.Close()
				return s.Script(cmd.Context(), f)
			case term.IsTerminal(int(os.Stdin.Fd())) && file == "":
				fmt.Fprintln(s.Out, `Statements end with a semicolon; \? lists commands, \q leaves.`)
				return s.Interactive(cmd.Context(), "quipu> ")
			}
			return s.Script(cmd.Context(), cmd.InOrStdin())
		},
	}
	c.Flags().StringVarP(&text, "command", "c", "", "run these statements and end")
	c.Flags().StringVarP(&file, "file", "f", "", "run the statements of a file (- is standard input) and end")
	c.Flags().StringVar(&format, "format", "table", "output: "+strings.Join(render.Formats, ", "))
	c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(render.Formats, cobra.ShellCompDirectiveNoFileComp))
	return c
}
