package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/quipudb/quipu/cmd/internal/importer"
	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

func importCommand() *cobra.Command {
	o := importer.Options{Columns: map[string]string{}}
	var maps []string
	var delimiter string
	c := &cobra.Command{
		Use:   "import FILE --table TABLE",
		Short: "Count the rows of a CSV, TSV or NDJSON file, each exactly once",
		Long: `Each row of the file is one observation of the cell that its columns name; a column "count" says how many,
a column "ts" when. The cluster remembers the file: a second run, or one after a crash, goes on where the
first one stopped and counts nothing twice. Rows that cannot be counted go to FILE.rejected with the reason.
In CSV and TSV an empty field is NULL, and "" is the empty text.`,
		Example: `  quipu import events.csv --table checkout
  quipu import events.csv --table checkout --map country_code=country --skip user_agent
  quipu import ereignisse.csv --table checkout --delimiter ';'`,
		Args: exactly(1, "one file"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			o.Path = args[0]
			if len(delimiter) > 1 {
				return &usageError{fmt.Errorf("--delimiter %q is not one byte", delimiter)}
			}
			if delimiter != "" {
				o.Delimiter = delimiter[0]
			}
			for _, m := range maps {
				from, to, ok := strings.Cut(m, "=")
				if !ok {
					return &usageError{fmt.Errorf("--map %q is not of the form column=dimension", m)}
				}
				o.Columns[from] = to
			}
			cl, err := connect(cmd)
			if err != nil {
				return err
			}
			defer closing(cmd.Context(), cl, &err)
			o.Client = cl
			done := showProgress(cmd.ErrOrStderr(), &o)
			sum, err := importer.Run(cmd.Context(), o)
			done(err)
			if err == nil || sum.Rows > 0 {
				report(cmd.OutOrStdout(), o, sum)
			}
			if err == nil && sum.Rejected > 0 {
				return &partialError{fmt.Errorf("%s rejected, see %s", plural(sum.Rejected, "row was", "rows were"), cmp.Or(o.Rejects, o.Path+".rejected"))}
			}
			return err
		},
	}
	c.Flags().StringVar(&o.Table, "table", "", "table to count into (required)")
	c.Flags().StringVar(&o.Format, "format", "", "csv, tsv or ndjson (default: by the file's name)")
	c.Flags().StringVar(&delimiter, "delimiter", "", "byte between the columns of a CSV (default ,)")
	c.Flags().StringArrayVar(&maps, "map", nil, "column=dimension, or column=count, or column=ts; may be given several times")
	c.Flags().StringArrayVar(&o.Skip, "skip", nil, "column to leave out; may be given several times")
	c.Flags().IntVar(&o.ChunkRows, "chunk-rows", 0, "rows of one chunk (default 20000)")
	c.Flags().StringVar(&o.Rejects, "rejects", "", "file for rejected rows (default FILE.rejected)")
	c.Flags().BoolVar(&o.Again, "again", false, "count a file that was counted before once more")
	c.MarkFlagRequired("table")
	return c
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

// report is the line that reconciles: every row of the file was counted or rejected.
func report(w io.Writer, o importer.Options, s importer.Summary) {
	if s.Known {
		fmt.Fprintf(w, "%s was counted into %s before; nothing was sent (--again counts it once more)\n", o.Path, o.Table)
	}
	fmt.Fprintf(w, "rows %d = counted %d + rejected %d", s.Rows, s.Counted, s.Rejected)
	if sec := s.Elapsed.Seconds(); sec > 0 && !s.Known {
		fmt.Fprintf(w, "   (%s", s.Elapsed.Round(10*time.Millisecond))
		if s.Resumed {
			fmt.Fprint(w, ", resumed")
		}
		fmt.Fprint(w, ")")
	}
	fmt.Fprintln(w)
}

// showProgress draws a bar on a terminal, and a line every few seconds elsewhere. The function returned ends it.
func showProgress(w io.Writer, o *importer.Options) (end func(err error)) {
	if f, ok := w.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		last := time.Now()
		o.Progress = func(done, total, counted, rejected int64) {
			if now := time.Now(); now.Sub(last) > 5*time.Second {
				last = now
				fmt.Fprintf(w, "%3d %%  counted %d, rejected %d\n", 100*done/max(total, 1), counted, rejected)
			}
		}
		return func(error) {}
	}
	p := mpb.New(mpb.WithOutput(w), mpb.WithWidth(40))
	var rows string
	bar := p.AddBar(0,
		mpb.PrependDecorators(decor.Percentage(), decor.Any(func(decor.Statistics) string { return rows })),
		mpb.AppendDecorators(decor.Name("ETA "), decor.EwmaETA(decor.ET_STYLE_GO, 30)))
	var first, at, last int64 // rows settled by earlier runs; bytes settled, and before that
	var began, before time.Time
	o.Progress = func(done, total, counted, rejected int64) {
		now := time.Now()
		if at == 0 { // what came before was connecting and hashing
			first, began, before = counted+rejected, now, now
		}
		rate := float64(counted+rejected-first) / max(now.Sub(began).Seconds(), 1e-3)
		rows = fmt.Sprintf("  %d rows, %d rejected, %.0f k rows/s ", counted, rejected, rate/1000)
		bar.SetTotal(total, false)
		last, at = at, done
		bar.EwmaIncrInt64(at-last, now.Sub(before))
		before = now
	}
	return func(err error) {
		if err == nil {
			bar.SetTotal(-1, true)
		}
		bar.Abort(false)
		p.Wait()
	}
}
