package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// usual is how many columns a line may have where nobody says how many there are.
const usual = 80

// columns is how many columns a line has that is made for people, wherever it goes: the terminal's, or the usual ones.
func (t *terminal) columns() int {
	if !t.shown {
		return usual
	}
	return t.width()
}

// flow breaks a text between words, so that no line has more columns; every line but the first begins with indent, and the first has so many columns less. A word that is longer is broken where it has to be.
func flow(said string, columns int, indent string) string {
	room := max(columns-utf8.RuneCountInString(indent), 8)
	lines := strings.Split(text.WrapSoft(strings.Join(strings.Fields(said), " "), room), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n"+indent)
}

// field is a line with a name, and a text that goes on below itself.
func field(name, said string, columns int) string {
	if said == "" {
		return ""
	}
	var lines []string
	for line := range strings.Lines(said) {
		lines = append(lines, flow(line, columns, indent))
	}
	return fmt.Sprintf("%-9s %s\n", name, strings.Join(lines, "\n"+indent))
}

// narrow limits the columns of a table: each to its width, at which its text goes on in the next line; the first to what is left of so many columns in all.
func narrow(w table.Writer, columns int, widths ...int) {
	left := columns
	for _, n := range widths {
		left -= n + 2
	}
	configs := []table.ColumnConfig{{Number: 1, WidthMax: max(left, 8), WidthMaxEnforcer: text.WrapSoft}}
	for i, n := range widths {
		configs = append(configs, table.ColumnConfig{Number: i + 2, WidthMax: n, WidthMaxEnforcer: text.WrapSoft})
	}
	w.SetColumnConfigs(configs)
}

// ago is a length of time for people who look at a list.
func ago(seconds float64) string {
	switch {
	case seconds < 600:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 2*3600:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 2*86400:
		return fmt.Sprintf("%.0f h", seconds/3600)
	}
	return fmt.Sprintf("%.0f days", seconds/86400)
}

// lagWords is what a site has not got, in studies, bytes and time.
func lagWords(studies int, bytes int64, seconds float64) string {
	if studies == 0 {
		return "nothing"
	}
	noun := "studies"
	if studies == 1 {
		noun = "study"
	}
	if bytes == 0 { // of what this site lacks nobody has said how much it is
		return fmt.Sprintf("%d %s, for %s", studies, noun, ago(seconds))
	}
	return fmt.Sprintf("%d %s, %s, for %s", studies, noun, size(bytes), ago(seconds))
}
