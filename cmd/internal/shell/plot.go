package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/quipudb/quipu/cmd/internal/mosaic"
	"github.com/quipudb/quipu/cmd/internal/render"
	"github.com/quipudb/quipu/query/stats"
)

const plotUsage = `\plot TABLE ROWS COLUMNS [WHERE condition], or \plot after a statement that gives two columns of categories and a count`

// plot draws a crosstab: of two dimensions of a table, or of what a statement gives.
func (s *Session) plot(ctx context.Context, arg string) error {
	sql, err := s.plotted(arg)
	if err != nil {
		return err
	}
	c, err := s.crosstab(ctx, sql)
	if err != nil {
		s.explain(sql, err)
		return ErrFailed
	}
	o := mosaic.Options{Width: 80, Height: 24, Rows: c.names[0], Cols: c.names[1], UTF8: localeIsUTF8() && os.Getenv("NO_COLOR") == ""}
	if c.names == [2]string{"row", "col"} { // as crosstab calls them, whatever they are
		o.Rows, o.Cols = "", ""
	}
	if s.Terminal != nil && s.to == nil {
		o.Width, o.Height = s.Terminal.Size()
		o.Colour = s.Terminal.Colour && s.Terminal.UTF8
	}
	table, err := c.table()
	if err != nil {
		return err
	}
	var out io.Writer = s.Out
	if s.to != nil {
		out = s.to
	}
	_, err = io.WriteString(out, mosaic.Draw(table, o))
	return err
}

// plotted is the statement that \plot runs.
func (s *Session) plotted(arg string) (string, error) {
	first, _, _ := strings.Cut(strings.ToLower(arg), " ")
	switch first {
	case "":
		sql, err := s.statement()
		if err != nil {
			return "", fmt.Errorf("%w: %s", err, plotUsage)
		}
		s.last = sql
		return sql, nil
	case "select", "with", "table", "values", "(select":
		return arg, nil
	}
	words, where := plotWords(arg)
	if len(words) != 3 {
		return "", errors.New("use " + plotUsage)
	}
	sql := fmt.Sprintf("SELECT %s, %s, sum(count) FROM %s", words[1], words[2], words[0])
	if where != "" {
		sql += " WHERE " + where
	}
	return sql + " GROUP BY 1, 2 ORDER BY 1, 2", nil
}

// plotWords splits at spaces outside of quotes, up to WHERE; what follows it is the condition.
func plotWords(arg string) (words []string, where string) {
	rest := strings.TrimSpace(arg)
	for rest != "" {
		end, quoted := 0, false
		for end < len(rest) && (quoted || rest[end] != ' ') {
			if rest[end] == '"' {
				quoted = !quoted
			}
			end++
		}
		word := rest[:end]
		rest = strings.TrimSpace(rest[end:])
		if strings.EqualFold(word, "where") {
			return words, rest
		}
		words = append(words, word)
	}
	return words, ""
}

// crosstab is rows of two categories and a count.
type crosstab struct {
	names  [2]string
	levels [2][]string
	at     [2]map[string]int
	counts map[[2]int]int64
}

// cellsMax bounds what is drawn, with its empty cells.
const cellsMax = 1 << 20

// crosstab reads the result of a statement: the column "count", or the first one of numbers that is no category, and the first two others.
func (s *Session) crosstab(ctx context.Context, sql string) (*crosstab, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := s.Conn.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	places, err := crosstabColumns(rows.Columns())
	if err != nil {
		cancel()
		return nil, err
	}
	c := &crosstab{counts: map[[2]int]int64{}, at: [2]map[string]int{{}, {}}}
	for i := range c.names {
		c.names[i] = rows.Columns()[places[i]].Name
	}
	for rows.Next() {
		if err := c.add(rows.Values(), places); err != nil {
			cancel()
			return nil, err
		}
	}
	return c, rows.Err()
}

// crosstabColumns finds the places of rows, columns and count.
func crosstabColumns(columns []render.Column) (places [3]int, err error) {
	count := -1
	for i, c := range columns {
		if c.Numeric && (c.Name == "count" || c.Name == "sum" && count < 0) {
			count = i
		}
	}
	for i := len(columns) - 1; i >= 0 && count < 0; i-- {
		if columns[i].Numeric {
			count = i
		}
	}
	n := 0
	for i := range columns {
		if i != count && n < 2 {
			places[n] = i
			n++
		}
	}
	if count < 0 || n < 2 {
		return places, errors.New("the statement does not give two columns of categories and a count; use " + plotUsage)
	}
	places[2] = count
	return places, nil
}

func (c *crosstab) add(values []any, places [3]int) error {
	var at [2]int
	for i := range at {
		v := values[places[i]]
		if v == nil {
			return nil // as the tests do, NULL is left out
		}
		level := render.Text(v)
		n, known := c.at[i][level]
		if !known {
			n = len(c.levels[i])
			c.at[i][level] = n
			c.levels[i] = append(c.levels[i], level)
		}
		at[i] = n
	}
	if len(c.levels[0])*len(c.levels[1]) > cellsMax {
		return fmt.Errorf("a table of more than %d cells cannot be drawn; narrow it with WHERE", cellsMax)
	}
	switch n := values[places[2]].(type) {
	case int64:
		c.counts[at] += n
	case float64:
		if n != math.Trunc(n) || math.Abs(n) > 1<<53 {
			return fmt.Errorf("%v is no count", n)
		}
		c.counts[at] += int64(n)
	case nil:
	default:
		return fmt.Errorf("%v is no count", n)
	}
	return nil
}

func (c *crosstab) table() (*stats.Table, error) {
	cells := make([]int64, len(c.levels[0])*len(c.levels[1]))
	if len(cells) == 0 {
		return nil, errors.New("nothing to draw: the statement gave no rows")
	}
	for at, n := range c.counts {
		cells[at[0]*len(c.levels[1])+at[1]] = n
	}
	t, err := stats.NewTable(len(c.levels[0]), len(c.levels[1]), cells)
	if err != nil {
		return nil, err
	}
	return t.WithLabels(c.levels[0], c.levels[1])
}
