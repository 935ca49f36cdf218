package mosaic

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// The looks of the five shades from much less to much more: a character without colours; with them the colours of text and ground among the
// 256 that terminals have.
var (
	fills   = [5]byte{'=', '-', ' ', '+', '#'}
	colours = [5]string{"\x1b[38;5;231;48;5;124m", "\x1b[38;5;16;48;5;216m", "\x1b[38;5;16;48;5;254m", "\x1b[38;5;16;48;5;110m", "\x1b[38;5;231;48;5;25m"}
)

const plain = "\x1b[0m"

// line ends a line without the spaces at its end.
func (p *picture) line(s string) { p.b.WriteString(strings.TrimRight(s, " ") + "\n") }

// border is what stands above the first band, under the last one, and between two where there is room.
func (p *picture) border() string {
	if p.o.Colour {
		return ""
	}
	return strings.Repeat(" ", p.left+1) + "+" + strings.Repeat("-", p.inner) + "+"
}

func (p *picture) draw(b *band) {
	if p.ruled && !(p.o.Colour && b == &p.bands[0]) || b == &p.bands[0] && !p.o.Colour {
		p.line(p.border())
	}
	labels := make([][]string, len(b.tiles)) // the text of each tile, by line
	for i, t := range b.tiles {
		labels[i] = t.label(b.lines)
	}
	middle := (b.lines - 1) / 2
	for n := range b.lines {
		name := ""
		if n == middle {
			name = b.name
		}
		var row strings.Builder
		row.WriteString(fit(name, p.left) + " ")
		row.WriteString(p.edge())
		for i, t := range b.tiles {
			at := n - (b.lines-len(labels[i]))/2
			content := ""
			if at >= 0 && at < len(labels[i]) {
				content = labels[i][at]
			}
			row.WriteString(p.tile(t, content) + p.edge())
		}
		p.line(row.String())
	}
}

// edge is what stands beside a tile.
func (p *picture) edge() string {
	if p.o.Colour {
		return " "
	}
	return "|"
}

// tile is one line of a tile, with a text in the middle.
func (p *picture) tile(t tile, content string) string {
	shade := p.class(t.z) + 2
	fill := " "
	if !p.o.Colour {
		fill = string(fills[shade])
	}
	if content != "" && t.width >= text.StringWidth(content)+2 {
		content = " " + content + " "
	}
	room := t.width - text.StringWidth(content)
	s := strings.Repeat(fill, room/2) + content + strings.Repeat(fill, room-room/2)
	if p.o.Colour {
		return colours[shade] + s + plain
	}
	return s
}

// label is what a tile of so many lines says: name, count and z, as much of it as there is room for.
func (t tile) label(lines int) []string {
	count, z := grouped(t.count), fmt.Sprintf("%+.1f", t.z)
	choices := [][]string{{t.name + " " + count}, {t.name}, {count}}
	if t.defined {
		choices = append([][]string{{t.name + " " + count + " " + z}}, choices...)
	}
	if t.defined && lines >= 2 {
		choices = append([][]string{{t.name + " " + count, z}}, choices...)
	}
	if t.defined && lines >= 3 {
		choices = append(choices[:1:1], append([][]string{{t.name, count, z}}, choices[1:]...)...)
	}
	for _, c := range choices {
		if fits(c, t.width) {
			return c
		}
	}
	return nil
}

func fits(lines []string, width int) bool {
	for _, l := range lines {
		if text.StringWidth(l) > width {
			return false
		}
	}
	return true
}

// fit is s in exactly so many columns.
func fit(s string, width int) string {
	if text.StringWidth(s) > width {
		s = text.Trim(s, max(width-1, 0)) + "~"
	}
	return s + strings.Repeat(" ", max(0, width-text.StringWidth(s)))
}

// legend says what the shades mean, and what is not drawn.
func (p *picture) legend() {
	at := [5]string{"z <= -4", "z <= -2", "between", "z >= 2", "z >= 4"}
	var parts []string
	for _, shade := range [...]int{4, 3, 1, 0} {
		if p.faint && (shade == 4 || shade == 0) {
			continue
		}
		sample := strings.Repeat(string(fills[shade]), 2)
		if p.o.Colour {
			sample = colours[shade] + "  " + plain
		}
		parts = append(parts, sample+" "+at[shade])
	}
	p.wrap(append(parts, "(adjusted residuals)"), "   ")
	if p.faint {
		p.wrap([]string{"p > 0.05:", "the shades are faint"}, " ")
	}
	var left []string
	if p.rows > 0 {
		left = append(left, counted(p.rows, "smaller row"))
	}
	if p.cols > 0 {
		left = append(left, counted(p.cols, "smaller column"))
	}
	if left != nil {
		left[0] = "not drawn: " + left[0]
		p.wrap(left, ", ")
	}
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// wrap writes parts on as few lines as the width allows.
func (p *picture) wrap(parts []string, between string) {
	line := ""
	for _, part := range parts {
		if text.StringWidthWithoutEscSequences(part) > p.o.Width {
			part = strings.TrimRight(fit(part, p.o.Width), " ")
		}
		if line != "" && text.StringWidthWithoutEscSequences(line+between+part) > p.o.Width {
			p.line(line)
			line = ""
		}
		if line != "" {
			line += between
		}
		line += part
	}
	p.line(line)
}
