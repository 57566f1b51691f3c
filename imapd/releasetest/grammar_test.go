package releasetest

import (
	"math/rand/v2"
	"strings"
)

// grammar is a piece of the grammar of a command.
type grammar interface {
	// walk is sentences enough for every alternative to be in one of them.
	walk() []string
	// pick is one of all sentences there are.
	pick(r *rand.Rand) string
}

// word stands for itself.
type word string

func (w word) walk() []string         { return []string{string(w)} }
func (w word) pick(*rand.Rand) string { return string(w) }

// either is one of its alternatives.
type either []grammar

func (e either) walk() (all []string) {
	for _, g := range e {
		all = append(all, g.walk()...)
	}
	return all
}

func (e either) pick(r *rand.Rand) string { return e[r.IntN(len(e))].pick(r) }

// words is either of some words.
func words(list ...string) either {
	e := make(either, len(list))
	for i, w := range list {
		e[i] = word(w)
	}
	return e
}

// series is one piece after the other. Its walk has every alternative of each,
// met with changing ones of the others.
type series []grammar

func (s series) walk() []string {
	n, pieces := 0, make([][]string, len(s))
	for i, g := range s {
		pieces[i] = g.walk()
		n = max(n, len(pieces[i]))
	}
	all := make([]string, n)
	for i := range all {
		for j, p := range pieces {
			all[i] += p[(i+i/len(p)*j)%len(p)]
		}
	}
	return all
}

func (s series) pick(r *rand.Rand) string {
	var text strings.Builder
	for _, g := range s {
		text.WriteString(g.pick(r))
	}
	return text.String()
}

// every is a series whose walk has every combination.
type every []grammar

func (e every) walk() []string {
	all := []string{""}
	for _, g := range e {
		var longer []string
		for _, front := range all {
			for _, end := range g.walk() {
				longer = append(longer, front+end)
			}
		}
		all = longer
	}
	return all
}

func (e every) pick(r *rand.Rand) string { return series(e).pick(r) }

// some is a piece whose alternatives have all been walked elsewhere: its walk has
// one of n.
type some struct {
	of grammar
	n  int
}

func (s some) walk() (list []string) {
	for i, sentence := range s.of.walk() {
		if i%s.n == 0 {
			list = append(list, sentence)
		}
	}
	return list
}

func (s some) pick(r *rand.Rand) string { return s.of.pick(r) }
