package table

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

type column struct {
	title string
	right bool
	cell  func(Row) string
}

func columns() []column {
	return []column{
		{"scenario", false, func(r Row) string { return r.Scenario }},
		{"figure", false, func(r Row) string { return r.Name }},
		{"median", true, func(r Row) string { return number(r.Figure.Median) }},
		{"min - max", true, func(r Row) string { return fromTo(r.Figure, number) }},
		{"unit", false, func(r Row) string { return r.Unit }},
		{"floor", true, func(r Row) string { return orNothing(r.Floor, number(r.Floor.Median)) }},
		{"ratio", true, func(r Row) string { return orNothing(r.Ratio, times(r.Ratio.Median)) }},
		{"min - max", true, func(r Row) string { return orNothing(r.Ratio, fromTo(r.Ratio, times)) }},
		{"target", true, func(r Row) string { return r.Target.String() }},
		{"verdict", false, Row.Verdict},
	}
}

// WriteText writes the table with aligned columns for a terminal.
func (t *Table) WriteText(w io.Writer) error {
	cols := columns()
	widths := make([]int, len(cols))
	lines := make([][]string, 0, len(t.Rows)+1)
	lines = append(lines, make([]string, len(cols)))
	for i, c := range cols {
		lines[0][i] = c.title
	}
	for _, r := range t.Rows {
		line := make([]string, len(cols))
		for i, c := range cols {
			line[i] = c.cell(r)
		}
		lines = append(lines, line)
	}
	for _, line := range lines {
		for i, s := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(s))
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for i, s := range line {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(s))
			if cols[i].right {
				s = pad + s
			} else {
				s += pad
			}
			b.WriteString(s)
			b.WriteString("  ")
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}

// WriteMarkdown writes the table for a document.
func (t *Table) WriteMarkdown(w io.Writer) error {
	var titles, rules strings.Builder
	cols := columns()
	for _, c := range cols {
		titles.WriteString("| " + c.title + " ")
		if c.right {
			rules.WriteString("|---:")
		} else {
			rules.WriteString("|---")
		}
	}
	if _, err := fmt.Fprintf(w, "%s|\n%s|\n", &titles, &rules); err != nil {
		return err
	}
	for _, r := range t.Rows {
		var b strings.Builder
		for _, c := range cols {
			b.WriteString("| " + strings.ReplaceAll(c.cell(r), "|", `\|`) + " ")
		}
		if _, err := fmt.Fprintf(w, "%s|\n", &b); err != nil {
			return err
		}
	}
	return nil
}

func orNothing(s Spread, text string) string {
	if s == (Spread{}) {
		return ""
	}
	return text
}

func fromTo(s Spread, write func(float64) string) string {
	return write(s.Min) + " - " + write(s.Max)
}

func times(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) + "x" }

// number writes three digits that count, or all of a whole number, with commas between thousands.
func number(x float64) string {
	digits := 0
	if a := math.Abs(x); x != math.Trunc(x) && a < 100 {
		digits = 2
		if a > 0 && a < 1 {
			digits = min(9, 2-int(math.Floor(math.Log10(a))))
		} else if a >= 10 {
			digits = 1
		}
	}
	s := strconv.FormatFloat(x, 'f', digits, 64)
	whole, fraction, _ := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		whole += "." + fraction
	}
	return sign + whole
}
