package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is one measurement: a value and the CPU time the house used for it.
type figure struct {
	value float64
	cpu   time.Duration
}

// table collects the figures of several houses over several rounds, and prints
// their medians in the order the rows came.
type table struct {
	title   string
	houses  []string
	better  direction
	order   []string
	figures map[string]map[string][]figure // by row, by house
}

// direction says which values are good.
type direction int

const (
	less direction = iota // times and memory
	more                  // rates
)

func newTable(title string, better direction, houses ...string) *table {
	return &table{title: title, houses: houses, better: better, figures: make(map[string]map[string][]figure)}
}

// note adds a measurement.
func (t *table) note(row, house string, f figure) {
	if t.figures[row] == nil {
		t.figures[row] = make(map[string][]figure)
		t.order = append(t.order, row)
	}
	t.figures[row][house] = append(t.figures[row][house], f)
}

// get is the median of a row's values and of its CPU times; ok is false where
// the row was not measured.
func (t *table) get(row, house string) (f figure, ok bool) {
	all := t.figures[row][house]
	if len(all) == 0 {
		return f, false
	}
	var values []float64
	var cpus []time.Duration
	for _, a := range all {
		values, cpus = append(values, a.value), append(cpus, a.cpu)
	}
	return figure{median(values), median(cpus)}, true
}

// ratio is how much better the first house is than the given one.
func (t *table) ratio(row, house string) (float64, bool) {
	ours, ok := t.get(row, t.houses[0])
	theirs, there := t.get(row, house)
	if !ok || !there || ours.value == 0 || theirs.value == 0 {
		return 0, false
	}
	if t.better == less {
		return theirs.value / ours.value, true
	}
	return ours.value / theirs.value, true
}

// print writes the medians; beside each house but the first, how much better
// the first is.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", t.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	head := []string{""}
	for i, h := range t.houses {
		head = append(head, h, "cpu ms")
		if i > 0 {
			head = append(head, "ratio")
		}
	}
	width := 0
	for _, row := range t.order {
		width = max(width, len(row))
	}
	fmt.Fprintf(tw, "%-*s\t%s\t\n", width, head[0], strings.Join(head[1:], "\t"))
	for _, row := range t.order {
		fmt.Fprintf(tw, "%-*s\t", width, row)
		for i, h := range t.houses {
			f, ok := t.get(row, h)
			fmt.Fprintf(tw, "%s\t%s\t", shown(f.value, ok), shown(f.cpu.Seconds()*1000, ok && f.cpu > 0))
			if i > 0 {
				r, ok := t.ratio(row, h)
				fmt.Fprintf(tw, "%s\t", shown(r, ok))
			}
		}
		fmt.Fprintln(tw)
	}
	_ = tw.Flush() // whoever closed our output knows
}

// shown is a number with as many digits as mean something.
func shown(v float64, ok bool) string {
	switch {
	case !ok:
		return "-"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func median[T int | int64 | float64 | time.Duration](all []T) T {
	all = slices.Clone(all)
	slices.Sort(all)
	return all[len(all)/2]
}
