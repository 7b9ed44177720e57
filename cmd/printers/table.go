package printers

import (
	"io"
	"strings"
	"unicode/utf8"
)

// cell is one field of a table; sgr paints it.
type cell struct{ text, sgr string }

func plain(text string) cell { return cell{text: text} }

// table is rows below a header, each column as wide as its widest field.
type table struct {
	header []string
	rows   [][]cell
}

func (t *table) add(row ...cell) { t.rows = append(t.rows, row) }

// widths of the columns.
func (t *table) widths() []int {
	w := make([]int, len(t.header))
	for i, h := range t.header {
		w[i] = utf8.RuneCountInString(h)
	}
	for _, row := range t.rows {
		for i, c := range row {
			w[i] = max(w[i], utf8.RuneCountInString(c.text))
		}
	}
	return w
}

// print writes the table, two spaces between columns and none at the end of a line.
func (t *table) print(out io.Writer, s Style) {
	widths := t.widths()
	head := make([]cell, len(t.header))
	for i, h := range t.header {
		head[i] = cell{h, faint}
	}
	var b strings.Builder
	for _, row := range append([][]cell{head}, t.rows...) {
		last := len(row) - 1
		for last > 0 && row[last].text == "" {
			last--
		}
		for i, c := range row[:last+1] {
			text := c.text
			if i < last {
				text = pad(text, widths[i])
			}
			b.WriteString(s.paint(c.sgr, text))
			if i < last {
				b.WriteString("  ")
			}
		}
		b.WriteByte('\n')
	}
	_, _ = io.WriteString(out, b.String())
}
