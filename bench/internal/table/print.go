package table

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// column is one of the table. Its cell is of the rows of one figure, one for each store.
type column struct {
	title string
	right bool
	cell  func(figure) string
}

// figure is the rows of one figure by their stores.
type figure map[string]Row

// any returns the row of some store: scenario, name and unit are those of all.
func (f figure) any() (r Row) {
	for _, r = range f {
		break
	}
	return r
}

// figures returns the rows joined over the stores, and the stores, both in the order in which they came.
func (t *Table) figures() (all []figure, stores []string) {
	type key struct{ scenario, name, unit string }
	at := map[key]figure{}
	for _, r := range t.Rows {
		if r.Store != "" && !slices.Contains(stores, r.Store) {
			stores = append(stores, r.Store)
		}
	}
	first := ""
	if len(stores) > 0 {
		first = stores[0]
	}
	for _, r := range t.Rows {
		k := key{r.Scenario, r.Name, r.Unit}
		f, known := at[k]
		if !known {
			f = figure{}
			at[k] = f
			all = append(all, f)
		}
		if r.Store == "" { // it needs none, and stands with the first
			r.Store = first
		}
		f[r.Store] = r
	}
	if len(stores) == 0 {
		stores = []string{""}
	}
	return all, stores
}

func columns(stores []string) []column {
	out := []column{
		{"scenario", false, func(f figure) string { return f.any().Scenario }},
		{"figure", false, func(f figure) string { return f.any().Name }},
	}
	for i, store := range stores {
		of := func(cell func(Row) string) func(figure) string {
			return func(f figure) string {
				r, ok := f[store]
				if !ok {
					return ""
				}
				return cell(r)
			}
		}
		title := store
		if len(stores) == 1 {
			title = "median"
		}
		out = append(out,
			column{title, true, of(func(r Row) string { return number(r.Figure.Median) })},
			column{"min - max", true, of(func(r Row) string { return fromTo(r.Figure, number) })})
		if i == 0 {
			out = append(out, column{"unit", false, func(f figure) string { return f.any().Unit }})
		}
		out = append(out,
			column{"floor", true, of(func(r Row) string { return orNothing(r.Floor, number(r.Floor.Median)) })},
			column{"ratio", true, of(func(r Row) string { return orNothing(r.Ratio, times(r.Ratio.Median)) })},
			column{"min - max", true, of(func(r Row) string { return orNothing(r.Ratio, fromTo(r.Ratio, times)) })},
			column{"target", true, of(func(r Row) string { return r.Target.String() })},
			column{"verdict", false, of(Row.Verdict)})
		if i > 0 {
			out = append(out, column{store + "/" + stores[0], true, of(func(r Row) string { return orNothing(r.Beside, times(r.Beside.Median)) })})
		}
	}
	return out
}

// WriteText writes the table with aligned columns for a terminal.
func (t *Table) WriteText(w io.Writer) error {
	rows, stores := t.figures()
	cols := columns(stores)
	widths := make([]int, len(cols))
	lines := make([][]string, 0, len(rows)+1)
	lines = append(lines, make([]string, len(cols)))
	for i, c := range cols {
		lines[0][i] = c.title
	}
	for _, r := range rows {
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
	all, stores := t.figures()
	cols := columns(stores)
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
	for _, r := range all {
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
