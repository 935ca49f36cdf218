package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/quipudb/quipu/cmd/internal/shell"
	"github.com/spf13/cobra"
)

func exportCommand() *cobra.Command {
	var out, format string
	c := &cobra.Command{
		Use:   "export TABLE",
		Short: "Write the cells of a table, read at one instant",
		Example: `  quipu export checkout -o checkout.csv
  quipu export checkout --format ndjson | head`,
		Args: exactly(1, "one table"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := render.Check(format); err != nil {
				return &usageError{err}
			}
			cl, err := connect(cmd)
			if err != nil {
				return err
			}
			defer closing(cmd.Context(), cl, &err)
			t, err := cl.DescribeTable(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			columns := make([]string, 0, len(t.Dimensions)+2)
			if t.Window > 0 {
				columns = append(columns, "ts")
			}
			for _, d := range t.Dimensions {
				columns = append(columns, quoted(d.Name))
			}
			w, done, err := output(cmd.OutOrStdout(), out)
			if err != nil {
				return err
			}
			s := &shell.Session{Conn: shell.API(cl, urlOf(cmd)), Out: w, Err: cmd.ErrOrStderr(), Format: format}
			err = s.Execute(cmd.Context(), fmt.Sprintf("SELECT %s, count FROM %s", strings.Join(columns, ", "), quoted(t.Name)))
			if cerr := done(); err == nil {
				err = cerr
			}
			return err
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "file to write (default: standard output)")
	c.Flags().StringVar(&format, "format", "csv", "output: "+strings.Join(render.Formats, ", "))
	return c
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// output is buffered. A file appears under its name only when it is complete.
func output(stdout io.Writer, path string) (io.Writer, func() error, error) {
	if path == "" {
		w := bufio.NewWriter(stdout)
		return w, w.Flush, nil
	}
	tmp := path + ".partial"
	f, err := os.Create(tmp)
	if err != nil {
		return nil, nil, err
	}
	w := bufio.NewWriter(f)
	return w, func() error {
		if err := w.Flush(); err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		return os.Rename(tmp, path)
	}, nil
}
