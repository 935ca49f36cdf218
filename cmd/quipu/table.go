package main

import (
	"fmt"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/quipudb/quipu/cmd/internal/shell"
	"github.com/spf13/cobra"
)

func tableCommand() *cobra.Command {
	var format string
	c := &cobra.Command{Use: "table", Short: "List, describe and drop tables (create them with SQL)"}
	c.PersistentFlags().StringVar(&format, "format", "table", "output: "+strings.Join(render.Formats, ", "))
	with := func(run func(*cobra.Command, *shell.Session, []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) (err error) {
			if err := render.Check(format); err != nil {
				return &usageError{err}
			}
			cl, err := connect(cmd)
			if err != nil {
				return err
			}
			defer closing(cmd.Context(), cl, &err)
			return run(cmd, &shell.Session{Conn: shell.API(cl, urlOf(cmd)), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(), Format: format}, args)
		}
	}
	c.AddCommand(&cobra.Command{
		Use: "list", Short: "List the tables", Args: exactly(0, "no argument"),
		RunE: with(func(cmd *cobra.Command, s *shell.Session, _ []string) error { return s.Describe(cmd.Context(), "") }),
	}, &cobra.Command{
		Use: "describe TABLE", Short: "Show the dimensions of a table", Args: exactly(1, "one table"),
		RunE: with(func(cmd *cobra.Command, s *shell.Session, args []string) error {
			return s.Describe(cmd.Context(), args[0])
		}),
	}, &cobra.Command{
		Use: "create TABLE DIMENSION…", Short: "Create a table of text dimensions", Args: cobra.MinimumNArgs(2),
		Example: "  quipu table create checkout variant outcome country",
		RunE: with(func(cmd *cobra.Command, s *shell.Session, args []string) error {
			sql := "CREATE TABLE " + quoted(args[0]) + " ("
			for i, d := range args[1:] {
				if i > 0 {
					sql += ", "
				}
				sql += quoted(d) + " text"
			}
			return s.Execute(cmd.Context(), sql+")")
		}),
	}, &cobra.Command{
		Use: "drop TABLE", Short: "Drop a table and its counts", Args: exactly(1, "one table"),
		RunE: with(func(cmd *cobra.Command, s *shell.Session, args []string) error {
			return s.Execute(cmd.Context(), "DROP TABLE "+quoted(args[0]))
		}),
	})
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: exactly(0, "no argument"),
		Run: func(cmd *cobra.Command, _ []string) { fmt.Fprintln(cmd.OutOrStdout(), "quipu", version()) },
	}
}
