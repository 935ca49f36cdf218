package render

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// lists gives each row as a list of names and values, one a line, or a table after all where it may choose and the table is not too wide.
type lists struct {
	w       io.Writer
	o       Options
	columns []Column
	rows    [][]string
	raw     [][]any
}

func (l *lists) Row(values []any) error {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = shown(v, l.o.Null)
	}
	l.rows, l.raw = append(l.rows, row), append(l.raw, slices.Clone(values))
	return nil
}

func (l *lists) Close() error {
	if len(l.columns) == 0 {
		return nil
	}
	if l.o.Expanded == "auto" && (l.o.Width == 0 || l.width() <= l.o.Width) {
		g := newGrid(l.w, l.o, l.columns)
		for _, row := range l.raw {
			if err := g.Row(row); err != nil {
				return err
			}
		}
		return g.Close()
	}
	var b strings.Builder
	names := 0
	for _, c := range l.columns {
		names = max(names, text.StringWidthWithoutEscSequences(c.Name))
	}
	for i, row := range l.rows {
		head := fmt.Sprintf("-[ row %d ]", i+1)
		b.WriteString(head + strings.Repeat("-", max(1, names+2-len(head))) + "\n")
		for j, value := range row {
			name := text.Pad(l.columns[j].Name, names, ' ')
			b.WriteString(strings.TrimRight(name+" | "+value, " ") + "\n")
		}
	}
	if _, err := io.WriteString(l.w, b.String()); err != nil {
		return err
	}
	return rowCount(l.w, len(l.rows))
}

// width is that of the table: each column with a space on either side, and a bar between two.
func (l *lists) width() int {
	n := len(l.columns) - 1
	for i, c := range l.columns {
		w := text.StringWidthWithoutEscSequences(c.Name)
		for _, row := range l.rows {
			w = max(w, text.StringWidthWithoutEscSequences(row[i]))
		}
		n += w + 2
	}
	return n
}
