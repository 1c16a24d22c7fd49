package command

import (
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"
)

// cell is a place in a table.
type cell struct {
	text string
	paint
}

// table is for people: in columns, with every line whole, however long.
type table struct {
	head []string
	rows [][]cell
}

func columns(head ...string) *table { return &table{head: head} }

// row adds one, of cells and plain texts.
func (t *table) row(values ...any) {
	cells := make([]cell, len(values))
	for i, v := range values {
		switch v := v.(type) {
		case cell:
			cells[i] = v
		case string:
			cells[i] = cell{text: v}
		}
		if cells[i].text = plainly(cells[i].text); cells[i].text == "" {
			cells[i].text = "-"
		}
	}
	t.rows = append(t.rows, cells)
}

const gap = "   "

// print writes the table; nothing where there are no rows.
func (t *table) print(s screen) error {
	if len(t.rows) == 0 {
		return nil
	}
	head := make([]cell, len(t.head))
	for i, h := range t.head {
		head[i] = cell{h, faint}
	}
	widths := make([]int, len(head))
	for _, r := range append([][]cell{head}, t.rows...) {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	var b strings.Builder
	writeRow(&b, s, head, widths)
	for _, r := range t.rows {
		writeRow(&b, s, r, widths)
	}
	_, err := s.Write([]byte(b.String()))
	return err
}

func writeRow(b *strings.Builder, s screen, r []cell, widths []int) {
	for i, c := range r {
		b.WriteString(s.in(c.paint, c.text))
		if i < len(r)-1 {
			b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)) + gap)
		}
	}
	b.WriteByte('\n')
}

// health is a cell about it: on a screen with colours, with its mark.
func (s screen) health(word string) cell {
	of := signs[word]
	if s.colour && of.mark != "" {
		return cell{of.mark + " " + word, of.paint}
	}
	return cell{text: word}
}

// age is how long ago something was, as kubectl says it; "-" where that isn't known.
func age(t *time.Time, now time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return duration.HumanDuration(max(0, now.Sub(*t)))
}

// clock is a moment as people here read it.
func clock(t time.Time) string { return t.Local().Format(time.DateTime) }
